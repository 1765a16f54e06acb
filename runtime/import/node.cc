// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/node.h"

#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/import/importer.h"

namespace rlx::onnx {
namespace {

std::string_view TypeName(int type) {
  constexpr std::string_view kNames[] = {"nothing",  "a float", "an int", "a string",
                                         "a tensor", "a graph", "floats", "ints",
                                         "strings",  "tensors", "graphs"};
  return type >= 0 && type < static_cast<int>(std::size(kNames)) ? kNames[type] : "something else";
}

// What the fields say, for writers that leave `type` out.
int TypeOf(const AttributeProto& a) {
  if (a.type() != AttributeProto::UNDEFINED) return a.type();
  if (a.has_t()) return AttributeProto::TENSOR;
  if (a.has_g()) return AttributeProto::GRAPH;
  if (a.ints_size() > 0) return AttributeProto::INTS;
  if (a.floats_size() > 0) return AttributeProto::FLOATS;
  if (a.strings_size() > 0) return AttributeProto::STRINGS;
  if (!a.s().empty()) return AttributeProto::STRING;
  return a.f() != 0 ? AttributeProto::FLOAT : AttributeProto::INT;
}

}  // namespace

const AttributeProto* OpNode::Find(std::string_view name, int type) const {
  for (const AttributeProto& written : proto_.attribute()) {
    if (written.name() != name) continue;
    const AttributeProto* attribute = &written;
    if (!written.ref_attr_name().empty()) {
      if (body_.attributes == nullptr) return nullptr;
      const auto found = body_.attributes->find(written.ref_attr_name());
      if (found == body_.attributes->end()) return nullptr;
      attribute = found->second;
    }
    const int have = TypeOf(*attribute);
    if (type == AttributeProto::UNDEFINED || have == type) return attribute;
    const bool empty_list = attribute->type() == AttributeProto::UNDEFINED;
    if (!empty_list)
      b.Fail(InvalidArgument("attribute \"", name, "\" is ", TypeName(have), "; it has to be ",
                             TypeName(type)));
    return nullptr;
  }
  return nullptr;
}

Value OpNode::In(int i) { return importer_.Materialise(*inputs_[static_cast<size_t>(i)], b); }
Value OpNode::Materialise(Tensor& tensor) { return importer_.Materialise(tensor, b); }

bool OpNode::IsConstant(int i) const {
  const Tensor& t = *tensor(i);
  if (t.constant || t.initializer >= 0 || (t.dims && t.dims->is_static())) return true;
  return t.value.valid() && b.graph().node(t.value.node).op == OpKind::kConstant;
}

absl::StatusOr<HostTensor> OpNode::Constant(int i, std::string_view what) const {
  const Tensor& t = *tensor(i);
  if (!t.constant && t.initializer < 0 && t.value.valid() &&
      b.graph().node(t.value.node).op == OpKind::kConstant)
    return b.graph().node(t.value.node).Tensor("value");
  auto content = importer_.Content(t);
  if (content.ok()) return content;
  return Annotate(content.status(), "operand ", i, " (", what,
                  ") has to be known while compiling and is not");
}

absl::StatusOr<std::vector<int64_t>> OpNode::Ints(int i, std::string_view what) const {
  RLX_ASSIGN(const HostTensor content, Constant(i, what));
  if (!IsExact(content.dtype()))
    return InvalidArgument("operand ", i, " (", what, ") is ", content.dtype(),
                           " where integers are needed");
  return content.ToInts();
}

absl::StatusOr<std::vector<double>> OpNode::Doubles(int i, std::string_view what) const {
  RLX_ASSIGN(const HostTensor content, Constant(i, what));
  if (content.dtype() == DType::kC64)
    return InvalidArgument("operand ", i, " (", what, ") is complex");
  return content.ToDoubles();
}

std::optional<DimTensor> OpNode::Dims(int i) const {
  const Tensor& t = *tensor(i);
  if (t.dims) return t.dims;
  if (t.constant) return DimsOf(*t.constant);
  return std::nullopt;
}

absl::StatusOr<std::vector<Dim>> OpNode::Extents(int i, std::string_view what) const {
  if (const auto dims = Dims(i)) return dims->elements;
  RLX_ASSIGN(const std::vector<int64_t> ints, Ints(i, what));
  if (static_cast<int64_t>(ints.size()) > kMaxDims)
    return InvalidArgument("operand ", i, " (", what, ") has ", ints.size(), " elements");
  return std::vector<Dim>(ints.begin(), ints.end());
}

bool OpNode::HasAttr(std::string_view name) const {
  return Find(name, AttributeProto::UNDEFINED) != nullptr;
}

int64_t OpNode::Int(std::string_view name, int64_t fallback) const {
  const AttributeProto* found = Find(name, AttributeProto::INT);
  return found == nullptr ? fallback : found->i();
}

double OpNode::Float(std::string_view name, double fallback) const {
  const AttributeProto* found = Find(name, AttributeProto::FLOAT);
  return found == nullptr ? fallback : static_cast<double>(found->f());
}

std::string OpNode::Str(std::string_view name, std::string_view fallback) const {
  const AttributeProto* found = Find(name, AttributeProto::STRING);
  return found == nullptr ? std::string(fallback) : found->s();
}

std::vector<int64_t> OpNode::IntList(std::string_view name) const {
  const AttributeProto* found = Find(name, AttributeProto::INTS);
  if (found == nullptr) return {};
  return {found->ints().begin(), found->ints().end()};
}

std::vector<double> OpNode::FloatList(std::string_view name) const {
  const AttributeProto* found = Find(name, AttributeProto::FLOATS);
  if (found == nullptr) return {};
  return {found->floats().begin(), found->floats().end()};
}

std::vector<std::string> OpNode::StrList(std::string_view name) const {
  const AttributeProto* found = Find(name, AttributeProto::STRINGS);
  if (found == nullptr) return {};
  return {found->strings().begin(), found->strings().end()};
}

absl::StatusOr<HostTensor> OpNode::TensorAttr(std::string_view name) const {
  const AttributeProto* found = Find(name, AttributeProto::TENSOR);
  if (found == nullptr) return InvalidArgument("attribute \"", name, "\" is no tensor");
  auto content = importer_.ReadTensor(found->t());
  if (content.ok()) return content;
  return Annotate(content.status(), "attribute \"", name, "\"");
}

Element OpNode::TensorAttrElement(std::string_view name) const {
  const AttributeProto* found = Find(name, AttributeProto::TENSOR);
  return found == nullptr ? Element::kUndefined : static_cast<Element>(found->t().data_type());
}

absl::StatusOr<std::string> OpNode::Choice(std::string_view name, std::string_view fallback,
                                           std::initializer_list<std::string_view> choices) const {
  std::string value = Str(name, fallback);
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return value;
  return Unimplemented("attribute \"", name, "\" is \"", std::string_view(value).substr(0, 64),
                       "\"; supported are ", Join(choices, ", "));
}

const GraphProto* OpNode::GraphAttr(std::string_view name) const {
  const AttributeProto* found = Find(name, AttributeProto::GRAPH);
  return found == nullptr ? nullptr : &found->g();
}

absl::StatusOr<int64_t> OpNode::Axis(int64_t axis, int rank) const {
  if (axis < -rank || axis >= rank)
    return InvalidArgument("axis ", axis, " is not one of rank ", rank);
  return axis < 0 ? axis + rank : axis;
}

absl::StatusOr<std::vector<int64_t>> OpNode::Axes(std::vector<int64_t> axes, int rank) const {
  for (int64_t& axis : axes) {
    RLX_ASSIGN(axis, Axis(axis, rank));
  }
  std::vector<int64_t> sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    return InvalidArgument("an axis is named twice");
  return axes;
}

int OpNode::outputs() const { return proto_.output_size(); }
bool OpNode::Wants(int o) const { return o < outputs() && !proto_.output(o).empty(); }
const SymbolTable& OpNode::symbols() const { return importer_.symbols(); }

void OpNode::SetElement(int o, Element element) {
  if (static_cast<int>(elements_.size()) <= o) elements_.resize(static_cast<size_t>(o) + 1);
  elements_[static_cast<size_t>(o)] = element;
}

void OpNode::SetResult(int o, TensorPtr result) {
  if (static_cast<int>(given_.size()) <= o) given_.resize(static_cast<size_t>(o) + 1);
  given_[static_cast<size_t>(o)] = std::move(result);
}

void OpNode::SetEmpty(int o, DType dtype, std::vector<int64_t> dims, Element element) {
  auto tensor = HostTensor::Create(dtype, std::move(dims), SharedBytes());
  if (!tensor.ok()) return b.Fail(tensor.status());
  SetKnown(o, *std::move(tensor), element);
}

void OpNode::SetKnown(int o, HostTensor content, Element element) {
  auto out = std::make_shared<Tensor>();
  out->type = content.type();
  out->element = element;
  out->dims = DimsOf(content);
  out->constant = std::move(content);
  SetResult(o, std::move(out));
}

void OpNode::SetExtent(int o, int64_t axis, Value count) { extents_[o] = {count, axis}; }

bool OpNode::IsEmpty(int i) const {
  return Has(i) && tensor(i)->constant && tensor(i)->constant->size() == 0;
}

absl::StatusOr<OpNode::Nested> OpNode::Nest(const GraphProto& graph,
                                            const std::vector<Binding>& leading,
                                            const std::vector<Binding>& trailing,
                                            const std::vector<std::string>& names) {
  return importer_.Nest(body_, graph, leading, trailing, names, *this);
}

absl::StatusOr<std::vector<TensorPtr>> OpNode::Inline(const GraphProto& graph,
                                                      const std::vector<TensorPtr>& inputs) {
  return importer_.Inline(body_, graph, inputs);
}

}  // namespace rlx::onnx
