// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/digest_graph.h"

#include <map>

#include "runtime/ir/lir.h"
#include "runtime/ir/op_info.h"

namespace rlx::engine {
namespace {

// A byte string that reads back in one way only: numbers have eight bytes, text its length first.
// Gathered whole and hashed at once, which is several times faster than field by field.
class Encoder {
 public:
  void Int(int64_t value) {
    char bytes[8];
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(static_cast<uint64_t>(value) >> 8 * i);
    out_.append(bytes, 8);
  }
  void Text(std::string_view text) {
    Int(static_cast<int64_t>(text.size()));
    out_.append(text);
  }
  void Float(double value) {
    int64_t bits;
    std::memcpy(&bits, &value, 8);
    Int(bits);
  }
  void Dims(const Shape& shape) {
    Int(static_cast<int64_t>(shape.size()));
    for (const Dim& dim : shape) OneDim(dim);
  }
  void OneDim(const Dim& dim) {
    out_.push_back(dim.is_static() ? 0 : 1);
    if (dim.is_static()) {
      Int(dim.value());
    } else {
      Text(dim.ToString());
    }
  }
  void Type(const TensorType& type) {
    Int(static_cast<int64_t>(type.dtype));
    Dims(type.shape);
  }
  template <class Elements, class Each>
  void List(const Elements& list, const Each& each) {
    Int(static_cast<int64_t>(list.size()));
    for (const auto& element : list) each(element);
  }

  Digest256 Finish() const { return Sha256Of(out_); }

 private:
  std::string out_;
};

class ModuleDigest {
 public:
  Digest256 Of(const Module& module) {
    Encoder out;
    out.Int(static_cast<int64_t>(module.stage));
    out.Int(static_cast<int64_t>(module.policy));
    Encode(module.graph, out);
    if (module.plan) Encode(*module.plan, out);
    return out.Finish();
  }

 private:
  // The manifest follows from the graph.
  static void Encode(const BufferPlan& plan, Encoder& out) {
    out.Int(plan.arena_bytes);
    out.Int(plan.alignment);
    out.Int(plan.unshared_bytes);
    out.List(plan.assignments, [&](const Assignment& a) {
      Encode(a.value, out);
      out.Int(static_cast<int64_t>(a.storage));
      out.Int(a.offset);
      out.Int(a.bytes);
      Encode(a.root, out);
      out.Int(a.element_offset);
      out.List(a.strides, [&](int64_t stride) { out.Int(stride); });
    });
    out.List(plan.schedule, [&](NodeId id) { out.Int(id); });
    out.List(plan.phases, [&](Phase phase) { out.Int(static_cast<int64_t>(phase)); });
    out.List(plan.dynamic_symbols, [&](const std::string& symbol) { out.Text(symbol); });
  }

  void Encode(const Graph& graph, Encoder& out) {
    out.List(graph.symbols, [&](const auto& symbol) {
      out.Text(symbol.first);
      out.Int(symbol.second.min);
      out.Int(symbol.second.max);
    });
    out.List(graph.constraints, [&](const DimConstraint& constraint) {
      out.OneDim(constraint.a);
      out.OneDim(constraint.b);
    });
    out.List(graph.aliases, [&](const AliasPair& alias) {
      out.Int(alias.input);
      out.Int(alias.output);
    });
    out.List(graph.nodes(), [&](const Node& node) { Encode(node, out); });
    out.List(graph.outputs(), [&](const Output& output) {
      out.Text(output.name);
      Encode(output.value, out);
    });
  }

  void Encode(const Node& node, Encoder& out) {
    out.Text(rlx::Name(node.op));
    out.Text(node.name);
    out.List(node.operands, [&](Value operand) { Encode(operand, out); });
    out.List(node.attrs, [&](const Attr& attr) {
      out.Text(attr.name);
      Encode(attr.value, out);
    });
    if (IsLeaf(node.op)) out.List(node.results, [&](const TensorType& type) { out.Type(type); });
    out.List(node.subgraphs, [&](const auto& subgraph) { out.Text(OfNested(*subgraph).view()); });
  }

  static void Encode(Value value, Encoder& out) {
    out.Int(value.node);
    out.Int(value.result);
  }

  static void Encode(const AttrValue& attr, Encoder& out) {
    out.Int(static_cast<int64_t>(attr.index()));
    std::visit([&](const auto& value) { EncodeOne(value, out); }, attr);
  }
  static void EncodeOne(int64_t value, Encoder& out) { out.Int(value); }
  static void EncodeOne(double value, Encoder& out) { out.Float(value); }
  static void EncodeOne(bool value, Encoder& out) { out.Int(value ? 1 : 0); }
  static void EncodeOne(const std::string& value, Encoder& out) { out.Text(value); }
  static void EncodeOne(DType value, Encoder& out) { out.Int(static_cast<int64_t>(value)); }
  static void EncodeOne(const Shape& value, Encoder& out) { out.Dims(value); }
  static void EncodeOne(const std::vector<int64_t>& values, Encoder& out) {
    out.List(values, [&](int64_t value) { out.Int(value); });
  }
  static void EncodeOne(const std::vector<double>& values, Encoder& out) {
    out.List(values, [&](double value) { out.Float(value); });
  }
  static void EncodeOne(const HostTensor& tensor, Encoder& out) {
    out.Type(tensor.type());
    out.Text(Sha256Of(tensor.bytes().view()).view());
  }

  const Digest256& OfNested(const Graph& graph) {
    auto found = nested_.find(&graph);
    if (found != nested_.end()) return found->second;
    Encoder out;
    Encode(graph, out);
    return nested_[&graph] = out.Finish();
  }

  std::map<const Graph*, Digest256> nested_;
};

}  // namespace

Digest256 DigestModule(const Module& module) { return ModuleDigest().Of(module); }

}  // namespace rlx::engine
