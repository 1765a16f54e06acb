// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "runtime/base/hex.h"
#include "runtime/base/sha256.h"
#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/text.h"
#include "runtime/ir/text_plan.h"

namespace rlx {
namespace {

constexpr int64_t kListedElements = 16;  // larger constants print as bytes

std::string_view KeywordOf(Stage stage) {
  return stage == Stage::kHir ? "hir" : stage == Stage::kMir ? "mir" : "lir";
}

std::string_view KeywordOf(SourceRef::Kind kind) {
  return kind == SourceRef::Kind::kHir ? "hir" : kind == SourceRef::Kind::kOnnx ? "onnx" : "mir";
}

class Printer {
 public:
  explicit Printer(const PrintOptions& options) : options_(options) {}

  std::string Take() { return std::move(out_); }

  void GraphBody(const Graph& graph, int indent, const BufferPlan* plan = nullptr) {
    out_ += "{\n";
    for (const auto& [name, range] : graph.symbols)
      Line(indent + 1, "symbol ", name, " in [", range.min, ", ", range.max, "]");
    for (const auto& [a, b] : graph.constraints) Line(indent + 1, "constraint ", a, " = ", b);
    for (NodeId id = 0; id < graph.size(); ++id) PrintNode(graph.node(id), id, indent + 1);
    for (const auto& [input, output] : graph.aliases)
      Line(indent + 1, "alias ", input, " -> ", output);
    for (const Output& output : graph.outputs()) {
      Indent(indent + 1);
      Add("output ");
      Quoted(output.name);
      Add(" = ", output.value, "\n");
    }
    if (plan != nullptr) PrintPlan(*plan, indent + 1, out_);
    Indent(indent);
    out_ += '}';
  }

  void Header(std::string_view keyword, std::string_view name) {
    Add(keyword, ' ');
    Quoted(name);
    Add(' ');
  }

  template <class... Parts>
  void Add(const Parts&... parts) {
    (AppendPart(out_, parts), ...);
  }

  void AttrList(const Node& node) {
    std::string_view separator;
    for (const Attr& attr : node.attrs) {
      Add(separator, attr.name, " = ");
      std::visit([this](const auto& value) { Value(value); }, attr.value);
      separator = ", ";
    }
  }

 private:
  void Indent(int indent) { out_.append(2 * static_cast<size_t>(indent), ' '); }

  template <class... Parts>
  void Line(int indent, const Parts&... parts) {
    Indent(indent);
    Add(parts..., '\n');
  }

  void Quoted(std::string_view text) {
    out_ += '"';
    for (char c : text) {
      const auto byte = static_cast<uint8_t>(c);
      if (c == '"' || c == '\\') {
        out_ += '\\';
        out_ += c;
      } else if (byte < 0x20 || byte == 0x7f) {
        Add("\\x", HexEncode(std::span(&byte, 1)));
      } else {
        out_ += c;
      }
    }
    out_ += '"';
  }

  void PrintNode(const Node& node, NodeId id, int indent) {
    Indent(indent);
    Add('%', id, " = ", Name(node.op));
    if (!node.name.empty()) {
      Add(' ');
      Quoted(node.name);
    }
    if (!IsLeaf(node.op)) {
      if (!node.name.empty()) Add(' ');
      Add('(', Join(node.operands, ", "), ')');
    }
    Attrs(node);
    for (const auto& subgraph : node.subgraphs) {
      Header(" graph", subgraph->name);
      GraphBody(*subgraph, indent);
    }
    Add(" : ", Join(node.results, ", "));
    if (options_.sources) Sources(node.sources);
    Add('\n');
  }

  void Attrs(const Node& node) {
    if (node.attrs.empty()) return;
    Add(" {");
    AttrList(node);
    Add('}');
  }

  void Sources(const std::vector<SourceRef>& sources) {
    std::string_view separator = " from ";
    for (const SourceRef& source : sources) {
      Add(separator, KeywordOf(source.kind), ' ', source.id);
      if (!source.name.empty()) {
        Add(' ');
        Quoted(source.name);
      }
      separator = ", ";
    }
  }

  // Shortest digits that read back equal, and never those of an integer.
  void Value(double value) {
    const std::string digits = Cat(value);
    Add(digits, digits.find_first_of(".eni") == std::string::npos ? ".0" : "");
  }
  void Value(int64_t value) { Add(value); }
  void Value(bool value) { Add(value); }
  void Value(DType value) { Add(value); }
  void Value(const std::string& value) { Quoted(value); }
  void Value(const Shape& value) { Add(ToString(value)); }
  void Value(const std::vector<int64_t>& value) { Add('[', Join(value, ","), ']'); }
  void Value(const std::vector<double>& values) {
    Add('[');
    for (size_t i = 0; i < values.size(); ++i) {
      if (i > 0) Add(',');
      Value(values[i]);
    }
    Add(']');
  }

  void Value(const HostTensor& tensor) {
    Add(tensor.type(), ' ');
    if (tensor.size() <= kListedElements && Listable(tensor)) {
      Elements(tensor);
    } else if (options_.full_constants) {
      Add("0x", HexEncode(tensor.bytes().span()));
    } else {
      Add("sha256:", Sha256Of(tensor.bytes().view()));
    }
  }

  // Decimal digits say everything but which NaN, and what a bool beyond 0 and 1 was.
  static bool Listable(const HostTensor& tensor) {
    if (tensor.dtype() == DType::kBool) return false;
    for (double value : tensor.ToDoubles())
      if (std::isnan(value)) return false;
    return true;
  }

  void Elements(const HostTensor& tensor) {
    std::string_view separator = "(";
    if (IsExact(tensor.dtype())) {
      for (int64_t value : tensor.ToInts()) {
        Add(separator, value);
        separator = ", ";
      }
    } else {
      const bool wide = tensor.dtype() == DType::kF64;
      for (double value : tensor.ToDoubles()) {
        if (wide)
          Add(separator, value);
        else
          Add(separator, static_cast<float>(value));  // exact: no other float is wider
        separator = ", ";
      }
    }
    Add(tensor.size() == 0 ? "()" : ")");
  }

  const PrintOptions& options_;
  std::string out_;
};

}  // namespace

std::string Print(const Module& module, const PrintOptions& options) {
  Printer printer(options);
  if (module.policy == FusionPolicy::kFusable)
    printer.Header(Cat(KeywordOf(module.stage), " fusable"), module.graph.name);
  else
    printer.Header(KeywordOf(module.stage), module.graph.name);
  printer.GraphBody(module.graph, 0, module.plan.get());
  printer.Add('\n');
  return printer.Take();
}

std::string Print(const Graph& graph, const PrintOptions& options) {
  Printer printer(options);
  printer.Header(KeywordOf(Stage::kMir), graph.name);
  printer.GraphBody(graph, 0);
  printer.Add('\n');
  return printer.Take();
}

std::string PrintAttrs(const Node& node) {
  const PrintOptions options{.full_constants = false};
  Printer printer(options);
  printer.AttrList(node);
  return printer.Take();
}

}  // namespace rlx
