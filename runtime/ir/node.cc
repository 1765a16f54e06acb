// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/check.h"
#include "runtime/ir/graph.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"

namespace rlx {
namespace {

template <class T>
const T& Get(const Node& node, std::string_view attr) {
  const AttrValue* value = node.Find(attr);
  CHECK(value != nullptr, Name(node.op), " has no ", attr);
  const T* typed = std::get_if<T>(value);
  CHECK(typed != nullptr, Name(node.op), " ", attr, " is a ", Name(TypeOf(*value)));
  return *typed;
}

}  // namespace

void AppendTo(std::string& out, Value value) {
  out += '%';
  AppendPart(out, value.node);
  if (value.result == 0) return;
  out += '.';
  AppendPart(out, value.result);
}

const AttrValue* Node::Find(std::string_view attr) const {
  for (const Attr& candidate : attrs)
    if (candidate.name == attr) return &candidate.value;
  return nullptr;
}

int64_t Node::Int(std::string_view attr) const { return Get<int64_t>(*this, attr); }
double Node::Float(std::string_view attr) const { return Get<double>(*this, attr); }
bool Node::Bool(std::string_view attr) const { return Get<bool>(*this, attr); }
const std::string& Node::Str(std::string_view attr) const { return Get<std::string>(*this, attr); }
const std::vector<int64_t>& Node::Ints(std::string_view attr) const {
  return Get<std::vector<int64_t>>(*this, attr);
}
const std::vector<double>& Node::Floats(std::string_view attr) const {
  return Get<std::vector<double>>(*this, attr);
}
DType Node::Type(std::string_view attr) const { return Get<DType>(*this, attr); }
const Shape& Node::Dims(std::string_view attr) const { return Get<Shape>(*this, attr); }
const HostTensor& Node::Tensor(std::string_view attr) const { return Get<HostTensor>(*this, attr); }

std::string NodeLabel(NodeId id, const Node& node) {
  std::string label = Cat('%', id, ' ', Name(node.op));
  constexpr size_t kMost = 64;  // of a client's name in a message
  if (!node.name.empty()) {
    label += Cat(" \"", std::string_view(node.name).substr(0, kMost),
                 node.name.size() > kMost ? "…\"" : "\"");
  }
  return label;
}

std::string NodeLabel(const Graph& graph, NodeId id) { return NodeLabel(id, graph.node(id)); }

}  // namespace rlx
