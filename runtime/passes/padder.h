// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "runtime/ir/builder.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/pad_to_capacity.h"
#include "runtime/passes/padded_axis.h"

namespace rlx::passes {

// A value of the graph in the making, and where it is true.
struct PaddedValue {
  Value value;
  PaddedAxes axes;

  bool padded() const { return AnyPadded(axes); }
};

// A graph inside a node, padded.
struct PaddedBody {
  Graph graph;  // the body's inputs, then an i64 scalar for each of `extents`
  std::vector<Dim> extents;
  std::vector<PaddedAxes> outputs;
};

// The walk of PadToCapacity: takes the symbolic graph's nodes in order and appends, for each, what
// computes it at capacity. Rules (padding_rules.h) do the emitting.
class Padder {
 public:
  // `bound` is `symbolic` at capacity, node for node. Both outlive it.
  Padder(const Graph& symbolic, const Graph& bound);

  absl::StatusOr<PaddedGraph> Run();
  // The same for a body whose inputs are true in these places. It outlives the walk too.
  absl::StatusOr<PaddedBody> RunBody(const std::vector<PaddedAxes>& inputs);

  // --- For rules. The node at hand:
  const Node& symbolic() const { return symbolic_.node(at_); }
  const Node& bound() const { return bound_.node(at_); }
  PaddedValue Operand(size_t i) const;
  size_t operands() const { return bound().operands.size(); }
  const Shape& extents(size_t result = 0) const { return symbolic().results[result].shape; }
  std::vector<int64_t> capacities(size_t result = 0) const;

  GraphBuilder& build() { return builder_; }
  // The node itself over other operands.
  std::vector<Value> Emit(std::vector<Value> operands);
  void SetResult(size_t result, Value value, PaddedAxes axes);

  // Rank 0, i64: the value of `dim` at the sizes of the run.
  Value Extent(const Dim& dim);
  // i64: 0, 1, … count - 1.
  Value Places(int64_t count);
  // bool, of the axis's capacity: where it is true.
  Value TruePlaces(const PaddedAxis& axis);
  // `x` with `fill` wherever one of `axes` is not true. Not only zeroes: what lies there may be
  // NaN.
  Value Fill(const PaddedValue& x, const std::vector<int64_t>& axes, double fill);
  // `mask` [.., capacity of the axis, ..] of a value of rank `rank`, to broadcast against it.
  Value AlongAxis(Value mask, int64_t axis, int64_t rank);

 private:
  absl::Status Take(NodeId id);
  absl::Status TakeLeaf();
  absl::Status TakeNodes();
  absl::Status AddOutputs();
  Value Compact(Value x, const PaddedAxis& axis, size_t at);

  const Graph& symbolic_;
  const Graph& bound_;
  PaddedGraph made_;
  GraphBuilder builder_;
  NodeId at_ = 0;
  std::vector<std::vector<PaddedValue>> values_;  // [symbolic node][result]
  Value extents_input_;                           // of a body: none
  const std::vector<PaddedAxes>* body_inputs_ = nullptr;
  std::map<std::string, Value> extent_, places_;  // by text of the dim, of the axis
};

absl::StatusOr<PaddedBody> PadBody(const Graph& symbolic, const Graph& bound,
                                   const std::vector<PaddedAxes>& inputs);

}  // namespace rlx::passes
