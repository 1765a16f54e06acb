// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include "runtime/ir/evaluate.h"
#include "runtime/ir/graph.h"

// What a run of a graph that may fail has to come to. An error is allowed to vanish with the value
// it stands for when no output depends on that value: whoever compiles a graph may drop what nobody
// reads, be it a node or what some turns of a loop compute. What an output depends on has to fail.
namespace rlx::test {

// Each output by itself: its value, or the error of something that this value depends on, through
// branches and loops: on the outputs and carries that it reads and on what decides about them, not
// on whatever else a body computes.
std::vector<absl::StatusOr<EvalTensor>> EvaluateEach(const Graph& graph, const TensorMap& inputs);

struct ExpectedRun {
  absl::Status all;                 // of every node: what a run may fail with
  absl::Status live;                // of what outputs depend on: what it has to fail with
  std::vector<EvalTensor> outputs;  // when `live` is OK

  // Whether a run may end so: with the error that must be or may be, or without one.
  ::testing::AssertionResult Allows(const absl::Status& status) const;
};
ExpectedRun Expect(const Graph& graph, const TensorMap& inputs);

}  // namespace rlx::test
