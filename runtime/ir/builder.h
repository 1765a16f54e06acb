// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "runtime/ir/graph.h"

namespace rlx {

// Appends inferred nodes to a graph. The first error sticks: later calls return an invalid Value
// and do nothing, and status() tells (for code whose inputs are the caller's). Example:
//
//   Graph g;
//   GraphBuilder b(g);
//   Value x = b.Input("x", {DType::kF32, {kBatchDim, 384}});
//   Value w = b.Param("w", {DType::kF32, {384, 384}});
//   b.Output("y", b.Gelu(b.Add(b.MatMul(x, w), b.Param("b", {DType::kF32, {384}}))));
//   RLX_TRY(b.status());
class GraphBuilder {
 public:
  explicit GraphBuilder(Graph& graph, FusionPolicy policy = FusionPolicy::kDirect)
      : graph_(graph), policy_(policy) {}

  Graph& graph() { return graph_; }
  FusionPolicy policy() const { return policy_; }
  const absl::Status& status() const { return status_; }
  // Of an invalid value (after an error): a scalar.
  const TensorType& type(Value v) const;

  // Nodes emitted from here on carry these sources.
  void SetSources(std::vector<SourceRef> sources) { sources_ = std::move(sources); }

  Value Input(std::string_view name, TensorType type);
  Value Param(std::string_view name, TensorType type);
  Value Constant(HostTensor tensor);
  // A rank-0 constant of `dtype`.
  Value Scalar(DType dtype, double value);
  void Output(std::string_view name, Value value);

  // Any op; the first result.
  Value Emit(OpKind op, std::vector<Value> operands, std::vector<Attr> attrs = {},
             std::vector<std::shared_ptr<const Graph>> subgraphs = {});
  // Any op; all results.
  std::vector<Value> EmitAll(OpKind op, std::vector<Value> operands, std::vector<Attr> attrs = {},
                             std::vector<std::shared_ptr<const Graph>> subgraphs = {});
  // A copy of `node` with other operands (same op, attributes, subgraphs, name; sources kept).
  std::vector<Value> Clone(const Node& node, std::vector<Value> operands);

  Value Unary(OpKind op, Value x) { return Emit(op, {x}); }
  Value Add(Value a, Value b) { return Emit(OpKind::kAdd, {a, b}); }
  Value Sub(Value a, Value b) { return Emit(OpKind::kSub, {a, b}); }
  Value Mul(Value a, Value b) { return Emit(OpKind::kMul, {a, b}); }
  Value Div(Value a, Value b) { return Emit(OpKind::kDiv, {a, b}); }
  Value Max(Value a, Value b) { return Emit(OpKind::kMax, {a, b}); }
  Value MatMul(Value a, Value b) { return Emit(OpKind::kMatMul, {a, b}); }
  Value Gelu(Value x) { return Emit(OpKind::kGelu, {x}); }
  Value Cast(Value x, DType to) { return Emit(OpKind::kCast, {x}, {{"to", to}}); }
  Value Where(Value c, Value a, Value b) { return Emit(OpKind::kWhere, {c, a, b}); }
  Value Reshape(Value x, Shape shape);
  Value Transpose(Value x, std::vector<int64_t> perm);
  Value Narrow(Value x, int64_t axis, int64_t start, int64_t length);
  Value Concat(std::vector<Value> parts, int64_t axis);
  Value Expand(Value x, Shape shape);
  Value Gather(Value table, Value indices, int64_t axis = 0);
  Value Reduce(OpKind op, Value x, std::vector<int64_t> axes, bool keep_dims);
  Value Softmax(Value x, int64_t axis = -1);
  Value LayerNorm(Value x, Value gamma, Value beta, double eps);
  Value RmsNorm(Value x, Value gamma, double eps);

  // Records the first error (used by decompositions that find one themselves).
  void Fail(absl::Status status);

 private:
  std::vector<Value> Append(Node node);

  Graph& graph_;
  FusionPolicy policy_;
  absl::Status status_;
  std::vector<SourceRef> sources_;
};

}  // namespace rlx
