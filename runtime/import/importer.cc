// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/importer.h"

#include <algorithm>

#include "runtime/base/fault.h"
#include "runtime/import/data.h"
#include "runtime/import/versions.h"
#include "runtime/ir/evaluate.h"

namespace rlx::onnx {
namespace {

constexpr int kMaxDepth = 32;           // functions and branches within each other
constexpr int64_t kSmall = 16;          // elements of an initializer that becomes a constant
constexpr int64_t kSmallList = 1024;    // the same, of a list of integers
constexpr int64_t kComputed = 1 << 16;  // elements of what is computed here

std::string_view Clip(std::string_view text) { return text.substr(0, 80); }

std::string Place(int64_t index, const NodeProto& node) {
  std::string out = Cat("node ", index, " ");
  if (!node.domain().empty() && node.domain() != "ai.onnx") out += Cat(Clip(node.domain()), "::");
  out += Clip(node.op_type());
  const std::string_view name = !node.name().empty()     ? std::string_view(node.name())
                                : node.output_size() > 0 ? std::string_view(node.output(0))
                                                         : std::string_view();
  return name.empty() ? out : Cat(out, " \"", Clip(name), "\"");
}

std::string_view DomainOf(const std::string& domain) {
  return domain == "ai.onnx" ? std::string_view() : std::string_view(domain);
}

std::string FunctionName(std::string_view domain, std::string_view name,
                         std::string_view overload) {
  return Cat(domain, "\n", name, "\n", overload);
}

absl::StatusOr<Opsets> OpsetsOf(const google::protobuf::RepeatedPtrField<OperatorSetId>& ids) {
  Opsets out;
  for (const OperatorSetId& id : ids) {
    const std::string_view domain = DomainOf(id.domain());
    if (domain.empty() && (id.version() < kMinOpset || id.version() > kMaxOpset))
      return Unimplemented("opset ", id.version(), " is not supported; supported are ", kMinOpset,
                           " to ", kMaxOpset);
    out.insert_or_assign(std::string(domain), id.version());
  }
  return out;
}

bool HasGraph(const NodeProto& node) {
  return std::any_of(node.attribute().begin(), node.attribute().end(), [](const AttributeProto& a) {
    return a.has_g() || a.type() == AttributeProto::GRAPHS;
  });
}

bool IsSmall(const TensorData& data) {
  if (data.count <= kSmall) return true;
  return IsInteger(data.element->dtype) && data.dims.size() == 1 && data.count <= kSmallList;
}

TensorPtr Known(HostTensor content, Element element) {
  auto out = std::make_shared<Tensor>();
  out->type = content.type();
  out->element = element;
  out->dims = DimsOf(content);
  out->constant = std::move(content);
  return out;
}

TensorPtr Known(DimTensor dims) {
  if (dims.is_static()) {
    const Element element = ElementOf(dims.dtype);
    return Known(dims.ToHost(), element);
  }
  auto out = std::make_shared<Tensor>();
  out->type = {dims.dtype, dims.rank == 0 ? Shape{} : Shape{dims.size()}};
  out->element = ElementOf(dims.dtype);
  out->dims = std::move(dims);
  return out;
}

// The extents of what a run decides, as an i64 list.
Value ShapeAtRun(const Tensor& tensor, GraphBuilder& b) {
  std::vector<Value> extents;
  for (int64_t axis = 0; axis < tensor.type.rank(); ++axis) {
    const bool counted = axis == tensor.extent->axis;
    const Value extent =
        counted ? tensor.extent->count
                : EmitDim(b, tensor.type.shape[static_cast<size_t>(axis)], DType::kI64);
    extents.push_back(b.Reshape(extent, {1}));
  }
  return extents.size() == 1 ? extents[0] : b.Concat(std::move(extents), 0);
}

}  // namespace

const TensorPtr* Body::Find(std::string_view name) const {
  for (const Body* body = this; body != nullptr; body = body->outer) {
    const auto found = body->names.find(name);
    if (found != body->names.end()) return &found->second;
  }
  return nullptr;
}

TensorPtr Body::Lookup(std::string_view name) const {
  const TensorPtr* found = Find(name);
  return found == nullptr ? nullptr : *found;
}

absl::StatusOr<Imported> Importer::Run(const ModelProto& model) {
  if (model.ir_version() < kMinIrVersion || model.ir_version() > kMaxIrVersion)
    return Unimplemented("IR version ", model.ir_version(), " is not supported; supported are ",
                         kMinIrVersion, " to ", kMaxIrVersion);
  if (!model.has_graph()) return InvalidArgument("the model has no graph");
  RLX_ASSIGN(opsets_, OpsetsOf(model.opset_import()));
  RLX_TRY(ReadFunctions(model));
  const GraphProto& graph = model.graph();
  if (graph.sparse_initializer_size() > 0)
    return Unimplemented("sparse initializers are not supported");
  out_.module.stage = Stage::kMir;
  out_.module.graph.name = graph.name();
  GraphBuilder builder(out_.module.graph);
  Body body{.builder = &builder, .opsets = &opsets_};
  RLX_TRY(ReadInitializers(graph, body, true));
  RLX_TRY(ReadInputs(graph, body));
  RLX_TRY(ReadNodes(body, graph.node()));
  RLX_TRY(ReadOutputs(graph, body));
  RLX_TRY(builder.status());
  return std::move(out_);
}

absl::Status Importer::ReadFunctions(const ModelProto& model) {
  for (const FunctionProto& function : model.functions()) {
    RLX_ASSIGN(Opsets opsets, OpsetsOf(function.opset_import()));
    const std::string key =
        FunctionName(DomainOf(function.domain()), function.name(), function.overload());
    if (!functions_.emplace(key, std::pair(&function, std::move(opsets))).second)
      return InvalidArgument("function \"", Clip(function.name()), "\" is defined twice");
  }
  return absl::OkStatus();
}

absl::Status Importer::ReadInitializers(const GraphProto& graph, Body& body, bool main) {
  for (const TensorProto& tensor : graph.initializer()) {
    const auto where = [&](absl::Status status) {
      return Annotate(std::move(status), "initializer \"", Clip(tensor.name()), "\"");
    };
    if (tensor.name().empty()) return where(InvalidArgument("it has no name"));
    const auto data = Describe(tensor);
    if (!data.ok()) return where(data.status());
    TensorPtr made;
    if (main && data->is_slice() && !IsSmall(*data)) {
      RLX_TRY(where(CheckLength(*data)));
      made = std::make_shared<Tensor>();
      made->type = data->type();
      made->element = data->element->element;
      made->initializer = static_cast<int>(initializers_.size());
      initializers_.emplace_back(&tensor, tensor.name());
    } else {
      auto content = ReadTensor(tensor);
      if (!content.ok()) return where(content.status());
      made = Known(*std::move(content), data->element->element);
    }
    RLX_TRY(where(Define(body, tensor.name(), std::move(made))));
  }
  return absl::OkStatus();
}

std::string Importer::SymbolFor(std::string_view name) {
  const auto found = symbols_.find(name);
  if (found != symbols_.end()) return found->second;
  std::string symbol;
  for (const char c : name.substr(0, 64)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    symbol.push_back(plain ? c : '_');
  }
  if (symbol.empty() || (symbol[0] >= '0' && symbol[0] <= '9')) symbol = Cat("d", symbol);
  SymbolTable& table = out_.module.graph.symbols;
  std::string unique = symbol;
  for (int i = 2; table.contains(unique); ++i) unique = Cat(symbol, "_", i);
  table.emplace(unique, SymbolRange{});
  symbols_.emplace(name, unique);
  return unique;
}

absl::StatusOr<TensorType> Importer::InputType(const ValueInfo& info, Element& element) {
  if (!info.type().has_tensor_type()) return Unimplemented("it is no tensor");
  const TypeProto::Tensor& type = info.type().tensor_type();
  const ElementInfo* found = Find(type.elem_type());
  if (found == nullptr)
    return Unimplemented("element type ", Name(static_cast<Element>(type.elem_type())), " (",
                         type.elem_type(), ") is not supported");
  if (!type.has_shape()) return Unimplemented("it has no shape");
  element = found->element;
  TensorType out{found->dtype, {}};
  for (const TensorShape::Dim& dim : type.shape().dim()) {
    if (dim.value_case() == TensorShape::Dim::kDimValue && dim.dim_value() >= 0) {
      if (dim.dim_value() == 0) return Unimplemented("it has no elements (an extent is 0)");
      out.shape.emplace_back(dim.dim_value());
    } else if (!dim.dim_param().empty()) {
      out.shape.push_back(Dim::Symbol(SymbolFor(dim.dim_param())));
    } else {
      out.shape.push_back(Dim::Symbol(SymbolFor(Cat(info.name(), "_", out.shape.size()))));
    }
  }
  return out;
}

absl::Status Importer::ReadInputs(const GraphProto& graph, Body& body) {
  for (const ValueInfo& info : graph.input()) {
    // With an initializer of its name it is no input but a default that nobody replaces here.
    const auto have = body.names.find(info.name());
    if (have != body.names.end() && (have->second->constant || have->second->initializer >= 0))
      continue;
    auto tensor = std::make_shared<Tensor>();
    auto type = InputType(info, tensor->element);
    if (!type.ok()) return Annotate(type.status(), "input \"", Clip(info.name()), "\"");
    tensor->type = *std::move(type);
    tensor->value = body.builder->Input(info.name(), tensor->type);
    RLX_TRY(Annotate(Define(body, info.name(), std::move(tensor)), "input \"", Clip(info.name()),
                     "\""));
  }
  return body.builder->status();
}

absl::Status Importer::ReadOutputs(const GraphProto& graph, Body& body) {
  if (graph.output_size() == 0) return InvalidArgument("the graph has no outputs");
  std::vector<std::pair<std::string, Value>> shapes;  // after the outputs of the model itself
  for (const ValueInfo& info : graph.output()) {
    const TensorPtr tensor = body.Lookup(info.name());
    if (tensor == nullptr)
      return InvalidArgument("output \"", Clip(info.name()), "\" is made by no node");
    const Value value = Materialise(*tensor, *body.builder);
    RLX_TRY(Annotate(body.builder->status(), "output \"", Clip(info.name()), "\""));
    body.builder->Output(info.name(), value);
    if (!tensor->extent) continue;
    if (body.depth > 0)
      return Unimplemented("output \"", Clip(info.name()),
                           "\" of a nested graph has a shape that only a run knows");
    shapes.emplace_back(Cat(info.name(), ".shape"), ShapeAtRun(*tensor, *body.builder));
  }
  for (const auto& [name, shape] : shapes) body.builder->Output(name, shape);
  return absl::OkStatus();
}

absl::Status Importer::ReadNodes(Body& body,
                                 const google::protobuf::RepeatedPtrField<NodeProto>& nodes) {
  for (const NodeProto& node : nodes) {
    const int64_t index = nodes_;
    RLX_TRY(CountNode());
    if (body.depth == 0) {
      const std::string& name = !node.name().empty() ? node.name() : node.op_type();
      body.builder->SetSources({{SourceRef::Kind::kOnnx, index, std::string(Clip(name))}});
    }
    RLX_TRY(Annotate(ReadNode(body, node), Place(index, node)));
  }
  return absl::OkStatus();
}

absl::Status Importer::CountNode() {
  if (++nodes_ <= limits_.max_nodes) return absl::OkStatus();
  return LimitExceeded("max_nodes", limits_.max_nodes, "the model has more nodes");
}

absl::Status Importer::ReadNode(Body& body, const NodeProto& node) {
  const std::string_view domain = DomainOf(node.domain());
  const auto opset = body.opsets->find(domain);
  int version = domain == kMicrosoft ? 1 : 0;
  if (opset != body.opsets->end()) version = static_cast<int>(opset->second);
  if (version > 0) {
    if (const OpRow* row = FindOp(domain, node.op_type(), version))
      return ReadOp(body, node, *row, version);
  }
  const auto function = functions_.find(FunctionName(domain, node.op_type(), node.overload()));
  if (function != functions_.end()) return Call(body, node, *function->second.first);
  if (version == 0)
    return InvalidArgument("the model imports no opset of domain \"", Clip(domain), "\"");
  return Unimplemented("there is no such op at opset ", version,
                       " of its domain; docs/onnx.md lists those that there are");
}

absl::StatusOr<std::vector<TensorPtr>> Importer::Operands(const Body& body,
                                                          const NodeProto& node) const {
  std::vector<TensorPtr> operands;
  for (const std::string& name : node.input()) {
    TensorPtr tensor;
    if (!name.empty()) {
      const TensorPtr* found = body.Find(name);
      if (found == nullptr)
        return InvalidArgument("operand ", operands.size(), " \"", Clip(name),
                               "\" is made by no node before it");
      tensor = *found;
    }
    operands.push_back(std::move(tensor));
  }
  while (!operands.empty() && operands.back() == nullptr) operands.pop_back();
  return operands;
}

namespace {

bool Lists(std::string_view words, std::string_view word) {
  const std::vector<std::string_view> all = Split(words, ' ');
  return std::find(all.begin(), all.end(), word) != all.end();
}

bool IsEmpty(const TensorPtr& tensor) {
  return tensor != nullptr && tensor->constant && tensor->constant->size() == 0;
}

// What an op that goes element by element makes of operands one of which has none: nothing, of the
// shape that they have together. Null for other ops, and where that has elements after all.
TensorPtr OfNothing(const OpNode& n, const OpRow& row, const std::vector<TensorPtr>& operands) {
  constexpr std::string_view kElementwise = "Abs Add Cast CastLike Div Exp Log Mul Neg Sqrt Sub";
  if (!row.domain.empty() || !Lists(kElementwise, row.name)) return nullptr;
  // CastLike asks its second operand for no more than an element type.
  const std::span counted(operands.data(),
                          std::min(operands.size(), row.name == "CastLike" ? size_t{1} : SIZE_MAX));
  if (std::none_of(counted.begin(), counted.end(), IsEmpty)) return nullptr;
  std::vector<int64_t> dims;
  for (const TensorPtr& operand : counted) {
    if (operand == nullptr || !operand->type.is_static()) return nullptr;
    const std::vector<int64_t> own = operand->type.StaticDims();
    if (own.size() > dims.size()) dims.insert(dims.begin(), own.size() - dims.size(), 1);
    for (size_t i = 0; i < own.size(); ++i) {
      int64_t& dim = dims[dims.size() - own.size() + i];
      if (own[i] != 1 && dim != 1 && own[i] != dim) return nullptr;
      if (own[i] != 1) dim = own[i];
    }
  }
  Element element = operands[0]->element;
  if (row.name == "Cast") element = static_cast<Element>(n.Int("to", 0));
  if (row.name == "CastLike" && operands.size() == 2) element = operands[1]->element;
  const ElementInfo* info = Find(element);
  if (info == nullptr || std::count(dims.begin(), dims.end(), 0) == 0) return nullptr;
  auto content = HostTensor::Create(info->dtype, std::move(dims), SharedBytes());
  return content.ok() ? Known(*std::move(content), element) : nullptr;
}

absl::Status CheckForm(const NodeProto& node, const OpRow& row,
                       const std::vector<TensorPtr>& operands) {
  const int count = static_cast<int>(operands.size());
  if (count < row.min_inputs || (row.max_inputs >= 0 && count > row.max_inputs))
    return InvalidArgument("has ", count, " operands; supported are ", row.min_inputs, " to ",
                           row.max_inputs < 0 ? std::string("any number") : Cat(row.max_inputs));
  for (int i = 0; i < row.min_inputs; ++i)
    if (operands[static_cast<size_t>(i)] == nullptr)
      return InvalidArgument("operand ", i, " is not given");
  constexpr std::string_view kTakeNothing = "Concat ConstantOfShape Identity Shape Size";
  const bool takes = Lists(kTakeNothing, row.name) || row.name.starts_with("Reduce");
  if (count > 0 && IsEmpty(operands[0]) && !takes)
    return Unimplemented("operand 0 has no elements (", operands[0]->type, ")");
  for (int i = 0; i < count; ++i) {
    const TensorPtr& operand = operands[static_cast<size_t>(i)];
    if (operand != nullptr && operand->extent && row.name != "Identity")
      return Unimplemented("operand ", i,
                           " has a shape that only a run knows, which no op takes here");
  }
  for (const AttributeProto& attribute : node.attribute()) {
    if (Lists(row.attributes, attribute.name())) continue;
    return Unimplemented("attribute \"", Clip(attribute.name()), "\" is not supported; supported: ",
                         row.attributes.empty() ? std::string_view("none") : row.attributes);
  }
  if (row.carries != Carries::kNo) return absl::OkStatus();
  for (int i = 0; i < count; ++i) {
    const TensorPtr& operand = operands[static_cast<size_t>(i)];
    if (operand == nullptr || !Find(operand->element)->carried) continue;
    return Unimplemented("operand ", i, " is ", Name(operand->element),
                         ", which this op does not take here");
  }
  return absl::OkStatus();
}

// Folding is of integers as they are.
bool AnyCarried(const std::vector<TensorPtr>& operands) {
  return std::any_of(operands.begin(), operands.end(),
                     [](const TensorPtr& t) { return t != nullptr && Find(t->element)->carried; });
}

bool AllDims(const std::vector<TensorPtr>& operands) {
  return std::all_of(operands.begin(), operands.end(),
                     [](const TensorPtr& t) { return t == nullptr || t->dims.has_value(); });
}

}  // namespace

absl::Status Importer::ReadOp(Body& body, const NodeProto& node, const OpRow& row, int opset) {
  RLX_ASSIGN(std::vector<TensorPtr> operands, Operands(body, node));
  OpNode op(*this, body, node, opset, operands, *body.builder);
  if (TensorPtr nothing = OfNothing(op, row, operands); nothing && node.output_size() > 0)
    return Define(body, node.output(0), std::move(nothing));
  RLX_TRY(CheckForm(node, row, operands));
  if (row.name == "Identity" && operands[0]->extent && node.output_size() > 0)
    return Define(body, node.output(0), operands[0]);
  const bool of_shapes = row.name == "Shape" || row.name == "Size";
  if (row.fold != nullptr && (of_shapes || (AllDims(operands) && !AnyCarried(operands)))) {
    if (auto dims = row.fold(op); dims && dims->size() <= kMaxDims && node.output_size() > 0)
      return Define(body, node.output(0), Known(*std::move(dims)));
  }
  RLX_ASSIGN(auto computed, Compute(body, node, row, opset, operands));
  if (computed) {
    for (int o = 0; o < node.output_size(); ++o)
      if (!node.output(o).empty())
        RLX_TRY(Define(body, node.output(o), (*computed)[static_cast<size_t>(o)]));
    return absl::OkStatus();
  }
  auto results = row.import(op);
  RLX_TRY(body.builder->status());
  RLX_TRY(results.status());
  for (int o = 0; o < node.output_size(); ++o) {
    if (node.output(o).empty()) continue;
    const auto at = static_cast<size_t>(o);
    TensorPtr made = at < op.given().size() ? op.given()[at] : nullptr;
    if (made == nullptr) {
      if (at >= results->size() || !(*results)[at].valid())
        return Unimplemented("result ", o, " \"", Clip(node.output(o)), "\" is not supported");
      made = std::make_shared<Tensor>();
      made->value = (*results)[at];
      made->type = body.builder->type(made->value);
      made->element = ElementOf(made->type.dtype);
      if (row.carries == Carries::kMove && !operands.empty() && operands[0] != nullptr &&
          Find(operands[0]->element)->dtype == made->type.dtype)
        made->element = operands[0]->element;
      if (at < op.elements().size() && op.elements()[at] != Element::kUndefined)
        made->element = op.elements()[at];
      const auto extent = op.extents().find(o);
      if (extent != op.extents().end()) made->extent = extent->second;
    }
    RLX_TRY(Define(body, node.output(o), std::move(made)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::vector<TensorPtr>>> Importer::Compute(
    Body& body, const NodeProto& node, const OpRow& row, int opset,
    const std::vector<TensorPtr>& inputs) {
  if (inputs.empty() || HasGraph(node)) return std::nullopt;
  int64_t elements = 0;
  std::vector<TensorPtr> copies;
  for (const TensorPtr& input : inputs) {
    if (input != nullptr && !input->constant) return std::nullopt;
    if (input != nullptr && input->constant->size() == 0) return std::nullopt;
    copies.push_back(input == nullptr ? nullptr : std::make_shared<Tensor>(*input));
    if (input == nullptr) continue;
    copies.back()->value = {};
    elements += input->constant->size();
  }
  if (elements > kComputed) return std::nullopt;
  Graph scratch;
  GraphBuilder builder(scratch);
  Body inner = body;
  inner.builder = &builder;
  OpNode op(*this, inner, node, opset, copies, builder);
  const auto results = row.import(op);
  // An error is told by the import into the graph itself.
  if (!results.ok() || !builder.status().ok() || !op.given().empty() || !op.extents().empty())
    return std::nullopt;
  if (static_cast<int>(results->size()) < node.output_size()) return std::nullopt;
  for (const Value value : *results) {
    const auto count = value.valid() ? builder.type(value).NumElements() : std::nullopt;
    if (!count || *count > kComputed) return std::nullopt;
    scratch.AddOutput(Cat(scratch.outputs().size()), value);
  }
  const auto values = Evaluate(scratch, {});
  if (!values.ok()) return std::nullopt;
  std::vector<TensorPtr> out;
  for (size_t o = 0; o < values->size(); ++o) {
    HostTensor content = (*values)[o].ToHost();
    Element element = ElementOf(content.dtype());
    if (row.carries == Carries::kMove && inputs[0] != nullptr &&
        Find(inputs[0]->element)->dtype == content.dtype())
      element = inputs[0]->element;
    if (o < op.elements().size() && op.elements()[o] != Element::kUndefined)
      element = op.elements()[o];
    out.push_back(Known(std::move(content), element));
  }
  return out;
}

absl::Status Importer::Call(Body& body, const NodeProto& node, const FunctionProto& function) {
  if (body.depth >= kMaxDepth)
    return InvalidArgument("functions call each other deeper than ", kMaxDepth);
  RLX_ASSIGN(const std::vector<TensorPtr> operands, Operands(body, node));
  if (static_cast<int>(operands.size()) > function.input_size() ||
      node.output_size() > function.output_size())
    return InvalidArgument("the function has ", function.input_size(), " inputs and ",
                           function.output_size(), " outputs");
  std::map<std::string_view, const AttributeProto*> attributes;
  for (const AttributeProto& attribute : function.attribute_proto())
    attributes[attribute.name()] = &attribute;
  for (const AttributeProto& attribute : node.attribute()) {
    const AttributeProto* given = &attribute;
    if (!attribute.ref_attr_name().empty()) {
      if (body.attributes == nullptr || !body.attributes->contains(attribute.ref_attr_name()))
        continue;
      given = body.attributes->at(attribute.ref_attr_name());
    }
    attributes[attribute.name()] = given;
  }
  const std::string key =
      FunctionName(DomainOf(function.domain()), function.name(), function.overload());
  Body inner{.builder = body.builder,
             .opsets = &functions_.find(key)->second.second,
             .attributes = &attributes,
             .depth = body.depth + 1};
  for (size_t i = 0; i < operands.size(); ++i)
    if (operands[i] != nullptr)
      inner.names.insert_or_assign(function.input(static_cast<int>(i)), operands[i]);
  // An input left out reads as an empty name: nodes of the body see no such operand.
  for (int i = 0; i < function.input_size(); ++i)
    inner.names.try_emplace(function.input(i), nullptr);
  RLX_TRY(ReadNodes(inner, function.node()));
  for (int o = 0; o < node.output_size(); ++o) {
    if (node.output(o).empty()) continue;
    const TensorPtr made = inner.Lookup(function.output(o));
    if (made == nullptr)
      return InvalidArgument("output \"", Clip(function.output(o)), "\" is made by no node");
    RLX_TRY(Define(body, node.output(o), made));
  }
  return absl::OkStatus();
}

absl::Status Importer::Define(Body& body, std::string_view name, TensorPtr tensor) {
  if (name.empty()) return absl::OkStatus();
  if (!body.names.emplace(name, std::move(tensor)).second)
    return InvalidArgument("\"", Clip(name), "\" is made twice");
  return absl::OkStatus();
}

absl::StatusOr<HostTensor> Importer::ReadTensor(const TensorProto& tensor) const {
  return Read(tensor, bytes_, external_);
}

absl::StatusOr<HostTensor> Importer::Content(const Tensor& tensor) const {
  if (tensor.constant) return *tensor.constant;
  if (tensor.dims && tensor.dims->is_static()) return tensor.dims->ToHost();
  if (tensor.initializer < 0) return InvalidArgument("its content is known at run time only");
  return ReadTensor(*initializers_[static_cast<size_t>(tensor.initializer)].first);
}

Value Importer::Materialise(Tensor& tensor, GraphBuilder& b) {
  if (tensor.value.valid()) return tensor.value;
  if (tensor.constant && tensor.constant->size() == 0) {
    b.Fail(Unimplemented("a tensor without elements (", tensor.type, ") is read"));
  } else if (tensor.constant) {
    tensor.value = b.Constant(*tensor.constant);
  } else if (tensor.dims) {
    tensor.value = EmitDims(b, *tensor.dims);
  } else if (tensor.initializer >= 0) {
    const auto& [proto, name] = initializers_[static_cast<size_t>(tensor.initializer)];
    const auto data = Describe(*proto);
    if (!data.ok()) {
      b.Fail(data.status());
      return {};
    }
    tensor.value = b.Param(name, tensor.type);
    out_.weights.push_back({name, tensor.type, data->location, data->offset, data->length});
  }
  return tensor.value;
}

absl::StatusOr<OpNode::Nested> Importer::Nest(Body& body, const GraphProto& graph,
                                              const std::vector<OpNode::Binding>& leading,
                                              const std::vector<OpNode::Binding>& trailing,
                                              const std::vector<std::string>& names,
                                              OpNode& owner) {
  if (body.depth >= kMaxDepth) return InvalidArgument("graphs nest deeper than ", kMaxDepth);
  const size_t given = leading.size() + trailing.size();
  if (static_cast<size_t>(graph.input_size()) != given)
    return InvalidArgument("the nested graph has ", graph.input_size(), " inputs for ", given,
                           " values");
  auto made = std::make_shared<Graph>();
  made->name = graph.name();
  GraphBuilder builder(*made);
  Body inner{.builder = &builder,
             .opsets = body.opsets,
             .attributes = body.attributes,
             .depth = body.depth + 1};
  OpNode::Nested out;
  const auto bind = [&](const std::string& name, const Tensor& like) {
    auto tensor = std::make_shared<Tensor>();
    tensor->type = like.type;
    tensor->element = like.element;
    tensor->value = builder.Input(name, like.type);
    return Define(inner, name, std::move(tensor));
  };
  for (const auto& [input, like] : leading) RLX_TRY(bind(graph.input(input).name(), *like));
  for (const std::string& name : names) {
    const TensorPtr* found = body.Find(name);
    if (found == nullptr) continue;  // whoever reads it says so
    const TensorPtr outside = *found;
    if (outside != nullptr && outside->extent)
      return Unimplemented("\"", Clip(name), "\" has a shape that only a run knows");
    if (outside == nullptr) {
      inner.names.emplace(name, nullptr);
    } else if (outside->constant || outside->dims) {
      inner.names.emplace(name, std::make_shared<Tensor>(*outside)).first->second->value = {};
    } else {
      out.captures.push_back(owner.Materialise(*outside));
      RLX_TRY(bind(name, *outside));
    }
  }
  for (const auto& [input, like] : trailing) RLX_TRY(bind(graph.input(input).name(), *like));
  RLX_TRY(ReadInitializers(graph, inner, false));
  RLX_TRY(ReadNodes(inner, graph.node()));
  RLX_TRY(ReadOutputs(graph, inner));
  for (const ValueInfo& output : graph.output())
    out.elements.push_back(inner.Lookup(output.name())->element);
  RLX_TRY(builder.status());
  out.graph = std::move(made);
  return out;
}

absl::StatusOr<std::vector<TensorPtr>> Importer::Inline(Body& body, const GraphProto& graph,
                                                        const std::vector<TensorPtr>& inputs) {
  if (body.depth >= kMaxDepth) return InvalidArgument("graphs nest deeper than ", kMaxDepth);
  if (static_cast<size_t>(graph.input_size()) != inputs.size())
    return InvalidArgument("the nested graph has ", graph.input_size(), " inputs for ",
                           inputs.size(), " values");
  Body inner{.builder = body.builder,
             .outer = &body,
             .opsets = body.opsets,
             .attributes = body.attributes,
             .depth = body.depth + 1};
  for (size_t i = 0; i < inputs.size(); ++i)
    RLX_TRY(Define(inner, graph.input(static_cast<int>(i)).name(), inputs[i]));
  RLX_TRY(ReadInitializers(graph, inner, false));
  RLX_TRY(ReadNodes(inner, graph.node()));
  std::vector<TensorPtr> outputs;
  for (const ValueInfo& output : graph.output()) {
    outputs.push_back(inner.Lookup(output.name()));
    if (outputs.back() == nullptr)
      return InvalidArgument("output \"", Clip(output.name()), "\" is made by no node");
  }
  return outputs;
}

}  // namespace rlx::onnx
