// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/device/backend.h"
#include "runtime/lower/lower.h"
#include "runtime/stages/stages.h"

// What became of every node of a module on its way through the stages, and what it runs as: for
// people who ask why something was fused, or was not.
namespace rlx::stages {

enum class Fate : uint8_t {
  kKept,        // stands in the result as it was
  kView,        // the same, and only an address: no bytes move
  kFused,       // part of a node that does the work of several
  kRewritten,   // one other op does its work
  kDecomposed,  // several simpler nodes do
  kFolded,      // computed while compiling
  kMerged,      // an equal node does its work
  kDead,        // no output needs it
  kDropped,     // a pass found a way without it
};
std::string_view Name(Fate fate);  // "kept" … "dropped"

struct NodeFate {
  Fate fate = Fate::kKept;
  std::string pass;            // that decided; empty when kept
  std::string rule;            // of the remark that says so; may be empty
  std::vector<NodeId> became;  // nodes of the LIR, ascending; empty for what is gone
};

// Nodes go by number (ir/all_nodes.h): those in bodies of control flow are among them.
struct Explanation {
  Graph mir;                    // entering the passes; symbols bound that the options bind
  CompileResult result;         // as of a compile that stops at LIR
  std::vector<NodeFate> fates;  // by node of `mir`
  std::vector<std::vector<NodeId>> made_from;     // by node of the LIR: nodes of `mir`, ascending
  std::vector<std::vector<NodeId>> remark_nodes;  // by remark of the report: nodes of `mir`
  // Steps and kernels where a back end lowers the result; else why there are none.
  std::optional<lower::ProgramDraft> program;
  std::string why_no_program;
};

// Compiles down to LIR and lowers to steps, but makes no code. Numbers in remarks are of `mir`,
// their sources and those of LIR nodes are the author's.
absl::StatusOr<Explanation> Explain(const Module& module, const CompileRequest& request);

// A kernel in words: its kernel IR first, then what the back end writes it as.
absl::StatusOr<std::vector<device::KernelText>> ExportKernel(const kernel::Kernel& kernel,
                                                             const device::Backend& backend,
                                                             const device::Target& target);

}  // namespace rlx::stages
