// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <functional>

#include "runtime/ir/builder.h"
#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {

// A graph written as exporters write it, so that each spelling is a line of C++.
struct Written {
  Graph graph;
  GraphBuilder b{graph};

  Value C(double value) { return b.Scalar(DType::kF32, value); }
  Value Param(std::string_view name, Shape shape) {
    return b.Param(name, {DType::kF32, std::move(shape)});
  }
  Value Input(std::string_view name, Shape shape) {
    return b.Input(name, {DType::kF32, std::move(shape)});
  }
  Value Op(OpKind op, std::vector<Value> operands) { return b.Emit(op, std::move(operands)); }

  // What the pass makes of it, with `y` as its output.
  Outcome Run(PassFn pass, Value y) {
    b.Output("y", y);
    EXPECT_TRUE(b.status().ok()) << b.status();
    return RunPass(pass, Print(graph));
  }
};

// How many nodes of an op there are.
inline int64_t Count(const Graph& graph, OpKind op) {
  return std::ranges::count(graph.nodes(), op, &Node::op);
}

}  // namespace rlx::passes
