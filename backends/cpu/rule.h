// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "runtime/device/program_builder.h"

namespace rlx::cpu {

struct MathKernels;

// What lowering needs to know of the target.
struct LowerTarget {
  const MathKernels* math = nullptr;
  int lanes = 4;  // f32 in a vector
};

// How the CPU runs one kind of op. Claims, dispatch reports and lowering all come from these rows,
// so they cannot disagree. Several rows may serve one kind: the first that does not refuse is used.
struct Rule {
  OpKind kind;
  // For reports: "packed gemm", "generated kernel".
  std::string_view how;
  // Why this row does not take the node; empty when it does.
  std::string (*refuse)(const Graph&, const Node&);
  absl::Status (*lower)(device::ProgramBuilder&, NodeId, const LowerTarget&);
};

// Row for a node, or null with the last refusal.
const Rule* FindRule(const Graph& graph, const Node& node, std::string* why);
std::span<const Rule* const> AllRules();

std::span<const Rule> GeneratedRules();
std::span<const Rule> GemmRules();
std::span<const Rule> IntGemmRules();
std::span<const Rule> DequantGemmRules();
std::span<const Rule> AttentionRules();
std::span<const Rule> ConcatRules();
std::span<const Rule> ConvRules();
std::span<const Rule> ConvRowsRules();
std::span<const Rule> GatherRules();
std::span<const Rule> TopKRules();
std::span<const Rule> DequantizeRules();
std::span<const Rule> SampleRules();
std::span<const Rule> LinearAlgebraRules();
std::span<const Rule> ComplexRules();
std::span<const Rule> RecurrenceRules();
std::span<const Rule> ScatterRules();
std::span<const Rule> ControlFlowRules();

}  // namespace rlx::cpu
