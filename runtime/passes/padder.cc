// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/padder.h"

#include <algorithm>
#include <numeric>

#include "runtime/base/status.h"
#include "runtime/ir/verify.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/padding_rules.h"

namespace rlx::passes {
namespace {

// A name that no leaf of the graph has.
std::string FreeName(const Graph& graph, std::string name) {
  const auto taken = [&] {
    return std::ranges::any_of(graph.nodes(), [&](const Node& node) { return node.name == name; });
  };
  while (taken()) name += '_';
  return name;
}

}  // namespace

Padder::Padder(const Graph& symbolic, const Graph& bound)
    : symbolic_(symbolic), bound_(bound), builder_(made_.graph), values_(symbolic.size()) {
  made_.graph.name = symbolic.name;
}

absl::StatusOr<PaddedGraph> Padder::Run() {
  // The signature first and whole: then the extents, which may be asked for from the start.
  std::vector<NodeId> leaves = bound_.inputs();
  const std::vector<NodeId> params = bound_.params();
  leaves.insert(leaves.end(), params.begin(), params.end());
  for (NodeId id : leaves) RLX_TRY(Take(id));
  made_.extents.name = FreeName(bound_, "extents");
  Node extents{.op = OpKind::kInput, .name = made_.extents.name};
  extents.results = {{DType::kI64, {1}}};
  extents_input_ = {made_.graph.Add(std::move(extents)), 0};
  RLX_TRY(TakeNodes());
  RLX_TRY(AddOutputs());
  RLX_TRY(builder_.status());
  if (made_.extents.dims.empty()) made_.extents.dims = {1};  // an input has an element
  return std::move(made_);
}

absl::StatusOr<PaddedBody> Padder::RunBody(const std::vector<PaddedAxes>& inputs) {
  body_inputs_ = &inputs;
  PaddedBody body;
  const std::vector<NodeId> leaves = bound_.inputs();
  for (size_t i = 0; i < leaves.size(); ++i) {
    values_[leaves[i]] = {{{made_.graph.Add(bound_.node(leaves[i])), 0}, inputs[i]}};
  }
  RLX_TRY(TakeNodes());
  RLX_TRY(builder_.status());
  for (const Output& output : symbolic_.outputs()) {
    const PaddedValue& value = values_[output.value.node][output.value.result];
    made_.graph.AddOutput(output.name, value.value);
    body.outputs.push_back(value.axes);
  }
  body.graph = std::move(made_.graph);
  body.extents = std::move(made_.extents.dims);
  return body;
}

absl::Status Padder::TakeNodes() {
  for (NodeId id = 0; id < bound_.size(); ++id) {
    if (!values_[id].empty()) continue;
    if (absl::Status status = Take(id); !status.ok()) {
      return Annotate(std::move(status), NodeLabel(symbolic_, id));
    }
  }
  return absl::OkStatus();
}

absl::Status Padder::Take(NodeId id) {
  at_ = id;
  values_[id].resize(bound().results.size());
  builder_.SetSources(bound().sources);
  if (IsLeaf(bound().op)) return TakeLeaf();
  if (!IsStatic(symbolic_, symbolic())) {
    const PaddingRule rule = PaddingRuleFor(bound().op);
    if (rule == nullptr) return FailedPrecondition("it does not know padded extents");
    RLX_TRY(rule(*this));
    return builder_.status();
  }
  std::vector<Value> operands;
  for (size_t i = 0; i < this->operands(); ++i) operands.push_back(Operand(i).value);
  const std::vector<Value> results = Emit(std::move(operands));
  RLX_TRY(builder_.status());
  for (size_t r = 0; r < results.size(); ++r) {
    PaddedAxes axes;
    for (int64_t capacity : capacities(r)) axes.emplace_back(capacity, capacity);
    SetResult(r, results[r], std::move(axes));
  }
  return absl::OkStatus();
}

absl::Status Padder::TakeLeaf() {
  const std::vector<int64_t> dims = capacities();
  PaddedAxes axes;
  for (size_t d = 0; d < dims.size(); ++d) axes.emplace_back(extents()[d], dims[d]);
  if (bound().op == OpKind::kParam && AnyPadded(axes))
    return FailedPrecondition("a weight has no fixed size");
  SetResult(0, {made_.graph.Add(bound()), 0}, std::move(axes));
  return absl::OkStatus();
}

absl::Status Padder::AddOutputs() {
  for (const Output& output : symbolic_.outputs()) {
    const PaddedValue& value = values_[output.value.node][output.value.result];
    Value compact = value.value;
    for (size_t axis = 0; axis < value.axes.size(); ++axis) {
      if (!value.axes[axis].prefix()) compact = Compact(compact, value.axes[axis], axis);
    }
    made_.graph.AddOutput(output.name, compact);
  }
  return absl::OkStatus();
}

// Place p of the result is the p-th true place: its digits, in base of the extents, are the place's
// in base of the capacities.
Value Padder::Compact(Value x, const PaddedAxis& axis, size_t at) {
  Value rest = Places(axis.capacity());
  Value source = builder_.Scalar(DType::kI64, 0);
  int64_t stride = 1;
  for (auto part = axis.parts().rbegin(); part != axis.parts().rend(); ++part) {
    const Value extent = Extent(part->extent), above = builder_.Div(rest, extent);
    const Value digit = builder_.Sub(rest, builder_.Mul(above, extent));
    const Value step = builder_.Scalar(DType::kI64, static_cast<double>(stride));
    source = builder_.Add(source, builder_.Mul(digit, step));
    rest = above;
    stride *= part->capacity;
  }
  const Value last = builder_.Scalar(DType::kI64, static_cast<double>(axis.capacity() - 1));
  return builder_.Gather(x, builder_.Emit(OpKind::kMin, {source, last}), static_cast<int64_t>(at));
}

PaddedValue Padder::Operand(size_t i) const {
  const Value operand = bound().operands[i];
  return values_[operand.node][operand.result];
}

std::vector<int64_t> Padder::capacities(size_t result) const {
  return bound().results[result].StaticDims();
}

std::vector<Value> Padder::Emit(std::vector<Value> operands) {
  return builder_.Clone(bound(), std::move(operands));
}

void Padder::SetResult(size_t result, Value value, PaddedAxes axes) {
  values_[at_][result] = {value, std::move(axes)};
}

Value Padder::Extent(const Dim& dim) {
  if (dim.is_static()) return builder_.Scalar(DType::kI64, static_cast<double>(dim.value()));
  Value& place = extent_[Cat(dim)];
  if (place.valid()) return place;
  const auto index = static_cast<int64_t>(made_.extents.dims.size());
  made_.extents.dims.push_back(dim);
  if (body_inputs_ != nullptr) return place = builder_.Input("", {DType::kI64, {}});
  TensorType& type = made_.graph.node(extents_input_.node).results[0];
  type.shape = {index + 1};
  return place = builder_.Reshape(builder_.Narrow(extents_input_, 0, index, 1), {});
}

Value Padder::Places(int64_t count) {
  std::vector<int64_t> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return builder_.Constant(HostTensor::FromInts(DType::kI64, {count}, numbers));
}

Value Padder::TruePlaces(const PaddedAxis& axis) {
  Value& place = places_[ToString(axis)];
  if (place.valid()) return place;
  const auto rank = static_cast<int64_t>(axis.parts().size());
  Value all;
  Shape shape;
  for (int64_t i = 0; i < rank; ++i) {
    const AxisPart& part = axis.parts()[i];
    shape.emplace_back(part.capacity);
    if (!part.padded()) continue;
    const Value in = AlongAxis(
        builder_.Emit(OpKind::kLt, {Places(part.capacity), Extent(part.extent)}), i, rank);
    all = all.valid() ? builder_.Emit(OpKind::kLogicalAnd, {all, in}) : in;
  }
  if (rank > 1) all = builder_.Reshape(builder_.Expand(all, shape), {axis.capacity()});
  return place = all;
}

Value Padder::AlongAxis(Value mask, int64_t axis, int64_t rank) {
  if (rank == 1) return mask;
  Shape shape(rank, Dim(1));
  shape[axis] = builder_.type(mask).shape[0];
  return builder_.Reshape(mask, std::move(shape));
}

Value Padder::Fill(const PaddedValue& x, const std::vector<int64_t>& axes, double fill) {
  Value keep;
  for (int64_t axis : axes) {
    if (!x.axes[axis].padded()) continue;
    const Value in = AlongAxis(TruePlaces(x.axes[axis]), axis, static_cast<int64_t>(x.axes.size()));
    keep = keep.valid() ? builder_.Emit(OpKind::kLogicalAnd, {keep, in}) : in;
  }
  if (!keep.valid()) return x.value;
  return builder_.Where(keep, x.value, builder_.Scalar(builder_.type(x.value).dtype, fill));
}

absl::StatusOr<PaddedBody> PadBody(const Graph& symbolic, const Graph& bound,
                                   const std::vector<PaddedAxes>& inputs) {
  return Padder(symbolic, bound).RunBody(inputs);
}

}  // namespace rlx::passes
