// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/builder.h"

#include "runtime/base/status.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"

namespace rlx {
namespace {

Node Leaf(OpKind op, std::string_view name, TensorType type) {
  Node node;
  node.op = op;
  node.name = name;
  node.results = {std::move(type)};
  return node;
}

}  // namespace

const TensorType& GraphBuilder::type(Value v) const {
  static const TensorType none;
  return v.valid() ? graph_.type(v) : none;
}

void GraphBuilder::Fail(absl::Status status) {
  if (status_.ok()) status_ = std::move(status);
}

std::vector<Value> GraphBuilder::Append(Node node) {
  if (!status_.ok()) return {};
  std::vector<DimConstraint> constraints;
  if (absl::Status status = CompleteAndInfer(graph_, node, constraints); !status.ok()) {
    Fail(Annotate(std::move(status), NodeLabel(graph_.size(), node)));
    return {};
  }
  graph_.AddConstraints(constraints);
  if (static_cast<int64_t>(graph_.constraints.size()) > Limits{}.max_constraints) {
    Fail(ResourceExhausted("more than ", Limits{}.max_constraints, " constraints between dims"));
    return {};
  }
  const int results = static_cast<int>(node.results.size());
  const NodeId id = graph_.Add(std::move(node));
  std::vector<Value> values;
  for (int i = 0; i < results; ++i) values.push_back({id, i});
  return values;
}

std::vector<Value> GraphBuilder::EmitAll(OpKind op, std::vector<Value> operands,
                                         std::vector<Attr> attrs,
                                         std::vector<std::shared_ptr<const Graph>> subgraphs) {
  Node node;
  node.op = op;
  node.operands = std::move(operands);
  node.attrs = std::move(attrs);
  node.subgraphs = std::move(subgraphs);
  node.sources = sources_;
  return Append(std::move(node));
}

Value GraphBuilder::Emit(OpKind op, std::vector<Value> operands, std::vector<Attr> attrs,
                         std::vector<std::shared_ptr<const Graph>> subgraphs) {
  const std::vector<Value> values =
      EmitAll(op, std::move(operands), std::move(attrs), std::move(subgraphs));
  return values.empty() ? Value{} : values.front();
}

std::vector<Value> GraphBuilder::Clone(const Node& node, std::vector<Value> operands) {
  Node copy = node;
  copy.operands = std::move(operands);
  if (Info(node.op).infer != nullptr) copy.results.clear();
  return Append(std::move(copy));
}

Value GraphBuilder::Input(std::string_view name, TensorType type) {
  const auto values = Append(Leaf(OpKind::kInput, name, std::move(type)));
  return values.empty() ? Value{} : values.front();
}

Value GraphBuilder::Param(std::string_view name, TensorType type) {
  const auto values = Append(Leaf(OpKind::kParam, name, std::move(type)));
  return values.empty() ? Value{} : values.front();
}

Value GraphBuilder::Constant(HostTensor tensor) {
  return Emit(OpKind::kConstant, {}, {{"value", std::move(tensor)}});
}

Value GraphBuilder::Scalar(DType dtype, double value) {
  const std::vector<double> complex = {value, 0}, real = {value};
  return Constant(HostTensor::FromDoubles(dtype, {}, dtype == DType::kC64 ? complex : real));
}

void GraphBuilder::Output(std::string_view name, Value value) {
  if (!status_.ok()) return;
  if (!graph_.Has(value)) {
    Fail(InvalidArgument("output \"", name, "\" refers to ", value, ", which does not exist"));
    return;
  }
  graph_.AddOutput(std::string(name), value);
}

Value GraphBuilder::Reshape(Value x, Shape shape) {
  return Emit(OpKind::kReshape, {x}, {{"shape", std::move(shape)}});
}

Value GraphBuilder::Transpose(Value x, std::vector<int64_t> perm) {
  return Emit(OpKind::kTranspose, {x}, {{"perm", std::move(perm)}});
}

Value GraphBuilder::Narrow(Value x, int64_t axis, int64_t start, int64_t length) {
  return Emit(OpKind::kNarrow, {x}, {{"axis", axis}, {"start", start}, {"length", length}});
}

Value GraphBuilder::Concat(std::vector<Value> parts, int64_t axis) {
  return Emit(OpKind::kConcat, std::move(parts), {{"axis", axis}});
}

Value GraphBuilder::Expand(Value x, Shape shape) {
  return Emit(OpKind::kExpand, {x}, {{"shape", std::move(shape)}});
}

Value GraphBuilder::Gather(Value table, Value indices, int64_t axis) {
  return Emit(OpKind::kGather, {table, indices}, {{"axis", axis}});
}

Value GraphBuilder::Reduce(OpKind op, Value x, std::vector<int64_t> axes, bool keep_dims) {
  return Emit(op, {x}, {{"axes", std::move(axes)}, {"keep_dims", keep_dims}});
}

Value GraphBuilder::Softmax(Value x, int64_t axis) {
  return Emit(OpKind::kSoftmax, {x}, {{"axis", axis}});
}

Value GraphBuilder::LayerNorm(Value x, Value gamma, Value beta, double eps) {
  return Emit(OpKind::kLayerNorm, {x, gamma, beta}, {{"eps", eps}});
}

Value GraphBuilder::RmsNorm(Value x, Value gamma, double eps) {
  return Emit(OpKind::kRmsNorm, {x, gamma}, {{"eps", eps}});
}

}  // namespace rlx
