// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "runtime/device/generate/loop_nest.h"
#include "runtime/device/program_builder.h"

namespace rlx::cuda {

// How a GPU runs one kind of op. Claims, dispatch reports and lowering all come from these rows.
// Several may serve one kind: the first that does not refuse is used.
struct Rule {
  OpKind kind;
  std::string_view how;
  std::string (*refuse)(const Graph&, const Node&);  // empty: it takes the node
  absl::Status (*lower)(device::ProgramBuilder&, NodeId);
};

// Row for a node, or null with the last refusal.
const Rule* FindRule(const Graph& graph, const Node& node, std::string* why);
std::span<const Rule* const> AllRules();

std::span<const Rule> AttentionRules();
std::span<const Rule> MatMulRules();
std::span<const Rule> NormRules();
std::span<const Rule> GatherRules();
std::span<const Rule> GeneratedRules();

// Blocks of eight warps; a row is walked by one warp to thirty-two.
inline constexpr device::Schedule kSchedule{
    .lanes = 256, .row_lanes = 32, .row_steps = 2, .row_registers = 32, .subgroup_rows = 2048};

}  // namespace rlx::cuda
