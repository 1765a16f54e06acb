// SPDX-License-Identifier: Apache-2.0
// One answer of Compiler.Explain in the shape in which people read it: the module as a tree of
// blocks, and in each block the units of work, a unit being nodes of the MIR together with the
// nodes of the LIR that do their work.
#pragma once

#include <string>
#include <vector>

#include "rlx/v1/compiler.pb.h"

namespace rlx::ctl {

enum class UnitKind {
  kKept,
  kView,
  kFused,
  kRewritten,
  kDecomposed,
  kFolded,
  kMerged,
  kGone,
  kMade
};
std::string_view Name(UnitKind kind);  // "kept" … "made"

struct Unit {
  UnitKind kind = UnitKind::kKept;
  std::vector<int> before, after;    // nodes of the MIR and of the LIR, ascending
  std::vector<int> applied, missed;  // remarks, ascending; applied: fusions and other rewrites
  int block = 0;
  int steps = 0;  // of one run
};

struct Block {
  std::string name;  // of its own: "attn", "layer.0"
  std::string what;  // the HIR op, or empty
  int parent = -1;
  struct Item {
    bool is_block = false;
    int index = 0;
  };
  std::vector<Item> items;  // in the order of the module
  // With everything below:
  int before = 0, after = 0, steps = 0, fusions = 0, missed = 0, actionable = 0;
  std::string shape;  // equal for blocks that became the same
};

struct ExplainModel {
  const v1::ExplainResponse* answer = nullptr;
  std::vector<Block> blocks;  // the first is the module; parents before children
  std::vector<Unit> units;
  std::vector<int> unit_of_mir, unit_of_lir;  // -1: leaves
  std::vector<int> steps_of_lir;              // of one run

  std::string Path(int block) const;  // "layer.0.attn"
};

// `answer` has nodes and outlives the model.
ExplainModel MakeExplainModel(const v1::ExplainResponse& answer);

bool IsLeaf(const v1::ExplainedNode& node);
// "matmul + add + relu => fused_matmul_bias_act": what a unit became, in ops.
std::string UnitShape(const ExplainModel& model, const Unit& unit);

// What a run does, by the steps where there are any, else by the nodes that are more than leaves,
// addresses and weights.
struct RunCounts {
  int total = 0, launches = 0, calls = 0, copies = 0, loops = 0, branches = 0;  // outermost steps
  bool estimated = false;
};
RunCounts CountRun(const ExplainModel& model);

}  // namespace rlx::ctl
