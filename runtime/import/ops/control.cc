// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "rlx/onnx/model.pb.h"
#include "runtime/import/free_names.h"
#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

using Graphs = std::vector<std::shared_ptr<const Graph>>;
constexpr int64_t kMaxIterations = int64_t{1} << 31;

absl::StatusOr<const GraphProto*> Need(const OpNode& n, std::string_view name) {
  const GraphProto* graph = n.GraphAttr(name);
  if (graph == nullptr) return InvalidArgument("attribute \"", name, "\" is not given");
  return graph;
}

// --- If ---

Results If(OpNode& n) {
  RLX_ASSIGN(const GraphProto* yes, Need(n, "then_branch"));
  RLX_ASSIGN(const GraphProto* no, Need(n, "else_branch"));
  if (n.IsConstant(0)) {
    RLX_ASSIGN(const std::vector<int64_t> holds, n.Ints(0, "condition"));
    if (holds.size() != 1) return InvalidArgument("the condition has ", holds.size(), " elements");
    RLX_ASSIGN(const std::vector<TensorPtr> outputs, n.Inline(holds[0] != 0 ? *yes : *no, {}));
    for (size_t o = 0; o < outputs.size(); ++o) n.SetResult(static_cast<int>(o), outputs[o]);
    return std::vector<Value>{};
  }
  std::vector<std::string> names = FreeNames(*yes), more = FreeNames(*no);
  names.insert(names.end(), more.begin(), more.end());
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  RLX_ASSIGN(const OpNode::Nested then, n.Nest(*yes, {}, {}, names));
  RLX_ASSIGN(const OpNode::Nested other, n.Nest(*no, {}, {}, names));
  std::vector<Value> operands = {n.b.Reshape(n.In(0), {})};
  operands.insert(operands.end(), then.captures.begin(), then.captures.end());
  for (size_t o = 0; o < then.elements.size(); ++o)
    n.SetElement(static_cast<int>(o), then.elements[o]);
  return n.b.EmitAll(OpKind::kIf, operands, {}, {then.graph, other.graph});
}

// --- Loop ---

TensorPtr ScalarLike(DType dtype) {
  auto out = std::make_shared<Tensor>();
  out->type = {dtype, {}};
  out->element = ElementOf(dtype);
  return out;
}

// Whether an output of a body is its input `input`, or true whatever happens.
bool IsSameOrTrue(const Graph& graph, size_t output, size_t input) {
  const Value value = graph.outputs()[output].value;
  const Node& node = graph.node(value.node);
  if (node.op == OpKind::kConstant) {
    const std::vector<int64_t> held = node.Tensor("value").ToInts();
    return held.size() == 1 && held[0] != 0;
  }
  return node.op == OpKind::kInput && graph.inputs()[input] == value.node;
}

struct LoopParts {
  const GraphProto* body = nullptr;
  std::vector<std::string> names;
  std::vector<OpNode::Binding> carried;  // the condition, then the values
  std::vector<Value> start;
  std::optional<Dim> trips;  // when known
  bool unconditional = true;
};

absl::StatusOr<LoopParts> PartsOf(OpNode& n) {
  LoopParts out;
  RLX_ASSIGN(out.body, Need(n, "body"));
  out.names = FreeNames(*out.body);
  if (n.Has(0)) {
    if (const auto dims = n.Dims(0); dims && dims->size() == 1) out.trips = dims->elements[0];
  }
  GraphBuilder& b = n.b;
  Value condition = b.Scalar(DType::kBool, 1);
  if (n.Has(1)) {
    const bool known = n.IsConstant(1);
    if (known) {
      RLX_ASSIGN(const std::vector<int64_t> holds, n.Ints(1, "condition"));
      out.unconditional = holds.size() == 1 && holds[0] != 0;
    } else {
      out.unconditional = false;
    }
    if (!out.unconditional) condition = b.Reshape(n.In(1), {});
  }
  out.carried.push_back({1, ScalarLike(DType::kBool)});
  out.start.push_back(condition);
  for (int i = 2; i < n.inputs(); ++i) {
    if (!n.Has(i)) return Unimplemented("operand ", i, " is not given");
    out.carried.push_back({i, n.tensor(i)});
    out.start.push_back(n.In(i));
  }
  return out;
}

// As often as is known beforehand: a scan over 0, 1, 2 …
std::vector<Value> Counted(OpNode& n, const LoopParts& parts, const OpNode::Nested& body) {
  std::vector<Value> operands = parts.start;
  operands.insert(operands.end(), body.captures.begin(), body.captures.end());
  operands.push_back(EmitIota(n.b, *parts.trips));
  return n.b.EmitAll(OpKind::kScan, operands,
                     {{"carries", static_cast<int64_t>(parts.start.size())},
                      {"sequences", int64_t{1}},
                      {"length", Shape{*parts.trips}}},
                     {body.graph});
}

// The condition of a while: the carried one, and fewer steps than the most.
std::shared_ptr<const Graph> Going(const Graph& body, const Value* trips) {
  auto graph = std::make_shared<Graph>();
  GraphBuilder b(*graph);
  std::vector<Value> inputs;
  for (const NodeId id : body.inputs())
    inputs.push_back(b.Input(body.node(id).name, body.node(id).results[0]));
  Value going = inputs[1];
  if (trips != nullptr) {
    // The last capture is the number of trips.
    const Value fewer = b.Emit(OpKind::kLt, {inputs[0], inputs.back()});
    going = b.Emit(OpKind::kLogicalAnd, {going, fewer});
  }
  b.Output("going", going);
  return graph;
}

Results Loop(OpNode& n) {
  RLX_ASSIGN(const LoopParts parts, PartsOf(n));
  const size_t carries = parts.carried.size();
  const OpNode::Binding index{0, ScalarLike(DType::kI64)};
  if (parts.trips && parts.unconditional) {
    if (parts.trips->is_static() && parts.trips->value() < 1)
      return Unimplemented("it runs ", *parts.trips, " times");
    RLX_ASSIGN(const OpNode::Nested body, n.Nest(*parts.body, parts.carried, {index}, parts.names));
    if (IsSameOrTrue(*body.graph, 0, 0)) {
      std::vector<Value> out = Counted(n, parts, body);
      for (size_t o = 1; o < body.elements.size(); ++o)
        n.SetElement(static_cast<int>(o) - 1, body.elements[o]);
      if (!out.empty()) out.erase(out.begin());  // the condition
      return out;
    }
  }
  std::vector<OpNode::Binding> leading = parts.carried;
  leading.insert(leading.begin(), index);
  RLX_ASSIGN(const OpNode::Nested nested, n.Nest(*parts.body, leading, {}, parts.names));
  if (nested.graph->outputs().size() != carries)
    return Unimplemented("result ", carries - 1,
                         " has an extent that is known at run time only: the loop may end early");
  // The step count is carried too, and counted here.
  auto body = std::make_shared<Graph>(*nested.graph);
  GraphBuilder in_body(*body);
  Value next = in_body.Add({body->inputs()[0], 0}, in_body.Scalar(DType::kI64, 1));
  const std::vector<Output> outputs = body->outputs();
  body->ClearOutputs();
  body->AddOutput("rlx_step", next);
  for (const Output& output : outputs) body->AddOutput(output.name, output.value);
  std::vector<Value> operands = {n.b.Scalar(DType::kI64, 0)};
  operands.insert(operands.end(), parts.start.begin(), parts.start.end());
  operands.insert(operands.end(), nested.captures.begin(), nested.captures.end());
  int64_t most = kMaxIterations;
  Value trips;
  if (n.Has(0)) {
    if (parts.trips && parts.trips->is_static())
      most = std::clamp<int64_t>(parts.trips->value(), 1, kMaxIterations);
    trips = n.b.Reshape(n.In(0), {});
    operands.push_back(trips);
    in_body.Input("rlx_trips", {DType::kI64, {}});
  }
  RLX_TRY(in_body.status());
  RLX_TRY(body->Normalize(/*keep_dead=*/true).status());
  const auto going = Going(*body, trips.valid() ? &trips : nullptr);
  std::vector<Value> out = n.b.EmitAll(
      OpKind::kWhile, operands,
      {{"carries", static_cast<int64_t>(carries + 1)}, {"max_iterations", most}}, {going, body});
  for (size_t o = 1; o < nested.elements.size(); ++o)
    n.SetElement(static_cast<int>(o) - 1, nested.elements[o]);
  if (out.size() >= 2) out.erase(out.begin(), out.begin() + 2);
  return out;
}

// --- Scan ---

std::vector<int64_t> ListOr(const OpNode& n, std::string_view name, size_t size) {
  std::vector<int64_t> out = n.IntList(name);
  out.resize(std::max(out.size(), size), 0);
  return out;
}

absl::StatusOr<Value> ToFront(OpNode& n, Value x, int64_t axis, bool reversed) {
  GraphBuilder& b = n.b;
  const TensorType& type = b.type(x);
  RLX_ASSIGN(axis, n.Axis(axis, type.rank()));
  std::vector<int64_t> perm = {axis};
  for (int i = 0; i < type.rank(); ++i)
    if (i != axis) perm.push_back(i);
  if (axis != 0) x = b.Transpose(x, std::move(perm));
  if (!reversed) return x;
  const Dim extent = ShapeOf(b, x)[0];
  if (!extent.is_static()) return Unimplemented("a reversed scan of extent ", extent);
  return Strided(b, x, 0, extent.value() - 1, -1, extent.value());
}

absl::StatusOr<Value> FromFront(OpNode& n, Value x, int64_t axis, bool reversed) {
  GraphBuilder& b = n.b;
  const int rank = b.type(x).rank();
  RLX_ASSIGN(axis, n.Axis(axis, rank));
  if (reversed) {
    const Dim extent = ShapeOf(b, x)[0];
    if (!extent.is_static()) return Unimplemented("a reversed scan of extent ", extent);
    x = Strided(b, x, 0, extent.value() - 1, -1, extent.value());
  }
  std::vector<int64_t> perm;
  for (int i = 1; i < rank; ++i) perm.push_back(i);
  perm.insert(perm.begin() + axis, 0);
  return axis == 0 ? x : b.Transpose(x, std::move(perm));
}

Results Scan(OpNode& n) {
  RLX_ASSIGN(const GraphProto* graph, Need(n, "body"));
  const int64_t count = n.Int("num_scan_inputs", 0);
  if (count < 1 || count > n.inputs()) return InvalidArgument("num_scan_inputs is ", count);
  const int states = n.inputs() - static_cast<int>(count);
  const auto axes = ListOr(n, "scan_input_axes", static_cast<size_t>(count));
  const auto turned = ListOr(n, "scan_input_directions", static_cast<size_t>(count));
  std::vector<OpNode::Binding> leading, trailing;
  std::vector<Value> operands, sequences;
  for (int i = 0; i < n.inputs(); ++i) {
    if (!n.Has(i)) return InvalidArgument("operand ", i, " is not given");
    if (i < states) {
      leading.push_back({i, n.tensor(i)});
      operands.push_back(n.In(i));
      continue;
    }
    const auto at = static_cast<size_t>(i - states);
    RLX_ASSIGN(const Value sequence, ToFront(n, n.In(i), axes[at], turned[at] != 0));
    auto slice = std::make_shared<Tensor>();
    slice->type = n.b.type(sequence);
    if (slice->type.shape.empty()) return n.b.status();
    slice->type.shape.erase(slice->type.shape.begin());
    slice->element = n.element(i);
    trailing.push_back({i, std::move(slice)});
    sequences.push_back(sequence);
  }
  RLX_ASSIGN(const OpNode::Nested body, n.Nest(*graph, leading, trailing, FreeNames(*graph)));
  operands.insert(operands.end(), body.captures.begin(), body.captures.end());
  operands.insert(operands.end(), sequences.begin(), sequences.end());
  std::vector<Value> out = n.b.EmitAll(OpKind::kScan, operands,
                                       {{"carries", static_cast<int64_t>(states)},
                                        {"sequences", count},
                                        {"length", Shape{ShapeOf(n.b, sequences[0]).at(0)}}},
                                       {body.graph});
  const auto out_axes = ListOr(n, "scan_output_axes", out.size());
  const auto out_turned = ListOr(n, "scan_output_directions", out.size());
  for (size_t o = static_cast<size_t>(states); o < out.size(); ++o) {
    const size_t k = o - static_cast<size_t>(states);
    RLX_ASSIGN(out[o], FromFront(n, out[o], out_axes[k], out_turned[k] != 0));
  }
  for (size_t o = 0; o < body.elements.size(); ++o)
    n.SetElement(static_cast<int>(o), body.elements[o]);
  return out;
}

constexpr OpRow kRows[] = {
    {kOnnx, "If", 7, INT32_MAX, 1, 1, "then_branch else_branch", If, nullptr, Carries::kSelf,
     "both branches have to make the same types, unless the condition is known"},
    {kOnnx, "Loop", 7, INT32_MAX, 0, -1, "body", Loop, nullptr, Carries::kSelf,
     "stacked results need a trip count that follows from shapes, and no early end"},
    {kOnnx, "Scan", 9, INT32_MAX, 1, -1,
     "body num_scan_inputs scan_input_axes scan_input_directions scan_output_axes "
     "scan_output_directions",
     Scan, nullptr, Carries::kSelf},
};

}  // namespace

std::span<const OpRow> ControlOps() { return kRows; }

}  // namespace rlx::onnx
