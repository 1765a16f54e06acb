// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <vector>

#include "runtime/ir/graph.h"

namespace rlx::passes {

// Counts: what a graph makes of integers in floats, positions and lengths above all. Rounded to 16
// bits they are others: 1001 is 1000 in bf16, 70000 is inf in f16, and the sine of an angle that is
// off by a few is any number. So a policy computes in full whatever reads one.
//
// A count begins at a cast to a float of an integer wider than a byte (a byte is exact in every
// float, a bool is a choice) that a run gives (weights alone decide nothing that is not computed in
// full anyway), and goes through casts, movement, +, -, min, max, where, rounding,
// sums, and through products, quotients and powers whose other factors are counts too or depend on
// weights alone. It ends at anything else, which reads it in full and whose own result is as its
// class: at sin, tanh, softmax, norms, activations, comparisons; and at a product with what the
// model computes, since rounding that is the policy's bargain. It also ends, and nobody needs it in
// full, where a mask is made of it: a product with, or a choice against, a constant of -1e4 or
// less.
class Counts {
 public:
  // `inputs`: of a body of control flow, by place, which of its inputs are counts.
  explicit Counts(const Graph& graph, const std::vector<bool>& inputs = {});

  bool holds(Value v) const { return holds_[v.node][static_cast<size_t>(v.result)]; }
  // Whether the node is to be computed in full because of what it reads.
  bool ReadBy(NodeId id) const { return read_[id]; }
  // Which inputs of one of the node's bodies are counts.
  std::vector<bool> IntoBody(NodeId id, size_t body) const;

 private:
  Counts(const Graph& graph, const std::vector<bool>& inputs, int depth);
  void Visit(NodeId id);
  void VisitBodies(NodeId id);
  std::vector<bool> Followed(const Graph& body, const std::vector<bool>& inputs) const;
  bool HoldsOrFixed(Value v) const;
  bool Carries(const Node& node) const;

  const Graph& graph_;
  const int depth_;
  const std::vector<bool> fixed_;
  std::vector<std::vector<bool>> holds_;
  std::vector<bool> read_;
  std::map<NodeId, std::vector<std::vector<bool>>> bodies_;
};

}  // namespace rlx::passes
