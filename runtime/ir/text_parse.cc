// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>

#include "runtime/base/checked.h"
#include "runtime/base/hex.h"
#include "runtime/base/status.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/text.h"
#include "runtime/ir/text_plan.h"
#include "runtime/ir/verify.h"

namespace rlx {
namespace {

template <class T>
std::optional<T> ParseFloat(std::string_view digits) {
  T value;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : scan_(text) {}

  absl::StatusOr<Module> ParseModule() {
    Module module;
    if (scan_.EatWord("hir"))
      module.stage = Stage::kHir;
    else if (scan_.EatWord("lir"))
      module.stage = Stage::kLir;
    else if (!scan_.EatWord("mir"))
      return scan_.Error("expected hir, mir or lir");
    if (scan_.EatWord("fusable")) module.policy = FusionPolicy::kFusable;
    RLX_ASSIGN(module.graph, NamedGraph(0));
    module.plan = std::move(plan_);
    if (!scan_.AtEnd()) return scan_.Error("expected the end");
    return module;
  }

 private:
  absl::StatusOr<Graph> NamedGraph(int depth) {
    if (depth > Limits{}.max_nesting) return scan_.Error("graphs are nested too deeply");
    Graph graph;
    RLX_ASSIGN(graph.name, scan_.Quoted());
    RLX_TRY(scan_.Expect("{"));
    while (!scan_.Eat('}')) RLX_TRY(Statement(graph, depth));
    return graph;
  }

  absl::Status Statement(Graph& graph, int depth) {
    if (scan_.Peek('%')) return NodeLine(graph, depth);
    if (scan_.EatWord("symbol")) return SymbolLine(graph);
    if (scan_.EatWord("constraint")) return ConstraintLine(graph);
    if (scan_.EatWord("alias")) return AliasLine(graph);
    if (scan_.EatWord("output")) return OutputLine(graph);
    if (depth == 0 && scan_.EatWord("plan")) return PlanBlock(graph);
    return scan_.Error("expected a node, symbol, constraint, alias, output or plan");
  }

  absl::Status SymbolLine(Graph& graph) {
    RLX_ASSIGN(const std::string_view name, scan_.Word());
    SymbolRange range;
    if (!scan_.EatWord("in")) return scan_.Error("expected in");
    RLX_TRY(scan_.Expect("["));
    RLX_ASSIGN(range.min, scan_.Int());
    RLX_TRY(scan_.Expect(","));
    RLX_ASSIGN(range.max, scan_.Int());
    RLX_TRY(scan_.Expect("]"));
    if (!graph.symbols.emplace(name, range).second)
      return scan_.Error(Cat("symbol ", name, " is there twice"));
    return absl::OkStatus();
  }

  absl::Status ConstraintLine(Graph& graph) {
    RLX_ASSIGN(Dim a, scan_.DimUntil("="));
    RLX_TRY(scan_.Expect("="));
    RLX_ASSIGN(Dim b, scan_.DimUntil("}"));
    graph.constraints.push_back({std::move(a), std::move(b)});
    return absl::OkStatus();
  }

  absl::Status AliasLine(Graph& graph) {
    RLX_ASSIGN(const int input, Index());
    RLX_TRY(scan_.Expect("->"));
    RLX_ASSIGN(const int output, Index());
    graph.aliases.push_back({input, output});
    return absl::OkStatus();
  }

  absl::Status OutputLine(Graph& graph) {
    RLX_ASSIGN(std::string name, scan_.Quoted());
    RLX_TRY(scan_.Expect("="));
    RLX_ASSIGN(const Value value, ScanValue(scan_));
    graph.AddOutput(std::move(name), value);
    return absl::OkStatus();
  }

  absl::Status PlanBlock(const Graph& graph) {
    for (const Output& output : graph.outputs()) {
      if (!graph.Has(output.value)) return scan_.Error("the plan's graph is not sound");
    }
    RLX_ASSIGN(BufferPlan plan, ScanPlan(graph, scan_));
    if (!scan_.Peek('}')) return scan_.Error("nothing may follow the plan");
    plan_ = std::make_shared<const BufferPlan>(std::move(plan));
    return absl::OkStatus();
  }

  absl::StatusOr<int> Index() {
    RLX_ASSIGN(const int64_t value, scan_.Int());
    const auto index = CheckedCast<int>(value);
    if (!index) return scan_.Error("the number is out of range");
    return *index;
  }

  absl::Status NodeLine(Graph& graph, int depth) {
    RLX_ASSIGN(const Value label, ScanValue(scan_));
    if (label != Value{graph.size(), 0})
      return scan_.Error(Cat("expected %", graph.size(), ", the next node"));
    RLX_TRY(scan_.Expect("="));
    RLX_ASSIGN(const std::string_view op, scan_.Word());
    const OpInfo* info = FindOp(op);
    if (info == nullptr) return scan_.Error(Cat("unknown op ", op));
    Node node;
    node.op = info->kind;
    if (scan_.Peek('"')) {
      RLX_ASSIGN(node.name, scan_.Quoted());
    }
    RLX_TRY(Operands(node));
    RLX_TRY(Attrs(*info, node));
    while (scan_.EatWord("graph")) {
      RLX_ASSIGN(Graph subgraph, NamedGraph(depth + 1));
      node.subgraphs.push_back(std::make_shared<const Graph>(std::move(subgraph)));
    }
    RLX_TRY(ResultTypes(node));
    RLX_TRY(Sources(node));
    AddCompleted(graph, std::move(node));
    return absl::OkStatus();
  }

  absl::Status Operands(Node& node) {
    if (!scan_.Eat('(') || scan_.Eat(')')) return absl::OkStatus();
    do {
      RLX_ASSIGN(const Value operand, ScanValue(scan_));
      node.operands.push_back(operand);
    } while (scan_.Eat(','));
    return scan_.Expect(")");
  }

  absl::Status ResultTypes(Node& node) {
    if (!scan_.Eat(':')) return absl::OkStatus();
    do {
      RLX_ASSIGN(TensorType type, scan_.Type());
      node.results.push_back(std::move(type));
    } while (scan_.Eat(','));
    return absl::OkStatus();
  }

  absl::Status Sources(Node& node) {
    if (!scan_.EatWord("from")) return absl::OkStatus();
    do {
      SourceRef source;
      if (scan_.EatWord("hir"))
        source.kind = SourceRef::Kind::kHir;
      else if (scan_.EatWord("onnx"))
        source.kind = SourceRef::Kind::kOnnx;
      else if (!scan_.EatWord("mir"))
        return scan_.Error("expected hir, onnx or mir");
      RLX_ASSIGN(source.id, scan_.Int());
      if (scan_.Peek('"')) {
        RLX_ASSIGN(source.name, scan_.Quoted());
      }
      node.sources.push_back(std::move(source));
    } while (scan_.Eat(','));
    return absl::OkStatus();
  }

  absl::Status Attrs(const OpInfo& info, Node& node) {
    if (!scan_.Eat('{') || scan_.Eat('}')) return absl::OkStatus();
    do {
      RLX_ASSIGN(const std::string_view name, scan_.Word());
      RLX_TRY(scan_.Expect("="));
      const auto spec = std::find_if(info.attrs.begin(), info.attrs.end(),
                                     [name](const AttrSpec& s) { return s.name == name; });
      RLX_ASSIGN(AttrValue value,
                 AnyValue(spec == info.attrs.end() ? AttrType::kInts : spec->type));
      node.attrs.push_back({std::string(name), std::move(value)});
    } while (scan_.Eat(','));
    return scan_.Expect("}");
  }

  // `wanted` tells apart what looks alike: lists of integers, of floats, and shapes.
  absl::StatusOr<AttrValue> AnyValue(AttrType wanted) {
    if (scan_.Peek('"')) {
      RLX_ASSIGN(std::string text, scan_.Quoted());
      return AttrValue(std::move(text));
    }
    if (scan_.Peek('[')) return List(wanted);
    if (scan_.EatWord("true")) return AttrValue(true);
    if (scan_.EatWord("false")) return AttrValue(false);
    if (auto digits = scan_.Number(); digits.ok()) {
      if (const auto i = ParseInt(*digits)) return AttrValue(*i);
      if (const auto f = ParseFloat<double>(*digits)) return AttrValue(*f);
      return scan_.Error("the number is out of range");
    }
    return DTypeOrTensor();
  }

  absl::StatusOr<AttrValue> List(AttrType wanted) {
    if (wanted == AttrType::kShape) {
      RLX_ASSIGN(Shape shape, scan_.Dims());
      return AttrValue(std::move(shape));
    }
    RLX_TRY(scan_.Expect("["));
    std::vector<int64_t> ints;
    std::vector<double> floats;
    while (!scan_.Eat(']')) {
      if (!ints.empty() || !floats.empty()) RLX_TRY(scan_.Expect(","));
      if (wanted == AttrType::kFloats) {
        RLX_ASSIGN(const std::string_view digits, scan_.Number());
        const auto value = ParseFloat<double>(digits);
        if (!value) return scan_.Error("the number is out of range");
        floats.push_back(*value);
      } else {
        RLX_ASSIGN(const int64_t value, scan_.Int());
        ints.push_back(value);
      }
    }
    if (wanted == AttrType::kFloats) return AttrValue(std::move(floats));
    return AttrValue(std::move(ints));
  }

  absl::StatusOr<AttrValue> DTypeOrTensor() {
    RLX_ASSIGN(const std::string_view word, scan_.Word());
    const auto dtype = ParseDType(word);
    if (!dtype) return scan_.Error(Cat("expected a value, got ", word));
    if (!scan_.Peek('[')) return AttrValue(*dtype);
    RLX_ASSIGN(const Shape shape, scan_.Dims());
    const TensorType type{*dtype, shape};
    if (!type.ByteSize()) return scan_.Error(Cat("constant ", type, " has no size"));
    RLX_ASSIGN(HostTensor tensor, scan_.Peek('(') ? Elements(type) : Bytes(type));
    return AttrValue(std::move(tensor));
  }

  absl::StatusOr<HostTensor> Bytes(const TensorType& type) {
    RLX_ASSIGN(const std::string_view digits, scan_.HexDigits());
    std::string bytes(digits.size() / 2, '\0');
    const std::span out(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size());
    if (!HexDecode(digits, out)) return scan_.Error("expected pairs of hexadecimal digits");
    auto tensor = HostTensor::Create(type.dtype, type.StaticDims(), SharedBytes(std::move(bytes)));
    if (!tensor.ok()) return scan_.Error(Message(tensor.status()));
    return tensor;
  }

  absl::StatusOr<HostTensor> Elements(const TensorType& type) {
    const bool exact = IsExact(type.dtype);
    std::vector<int64_t> ints;
    std::vector<double> floats;
    RLX_TRY(scan_.Expect("("));
    if (!scan_.Eat(')')) {
      do {
        RLX_ASSIGN(const std::string_view digits, scan_.Number());
        const auto i = exact ? ParseInt(digits) : std::nullopt;
        const auto f = exact ? std::nullopt : FloatOf(type.dtype, digits);
        if (!i && !f) return scan_.Error(Cat("expected an element of ", type));
        if (i)
          ints.push_back(*i);
        else
          floats.push_back(*f);
      } while (scan_.Eat(','));
      RLX_TRY(scan_.Expect(")"));
    }
    const size_t needed =
        static_cast<size_t>(*type.NumElements()) * (type.dtype == DType::kC64 ? 2 : 1);
    if (ints.size() + floats.size() != needed)
      return scan_.Error(
          Cat(type, " needs ", needed, " numbers, got ", ints.size() + floats.size()));
    return exact ? HostTensor::FromInts(type.dtype, type.StaticDims(), ints)
                 : HostTensor::FromDoubles(type.dtype, type.StaticDims(), floats);
  }

  // Digits of a float are read as one: through double they could round twice.
  static std::optional<double> FloatOf(DType dtype, std::string_view digits) {
    if (dtype == DType::kF64) return ParseFloat<double>(digits);
    const auto value = ParseFloat<float>(digits);
    return value ? std::optional<double>(*value) : std::nullopt;
  }

  // As the header says: what is sound is completed, the rest is for Verify.
  static void AddCompleted(Graph& graph, Node node) {
    Node completed = node;
    std::vector<DimConstraint> constraints;
    const bool sound = std::all_of(node.subgraphs.begin(), node.subgraphs.end(), [](const auto& g) {
      return std::ranges::all_of(g->nodes(), [](const Node& n) { return !n.results.empty(); }) &&
             std::ranges::all_of(g->outputs(),
                                 [&g](const Output& output) { return g->Has(output.value); });
    });
    if (sound && CompleteAndInfer(graph, completed, constraints).ok()) {
      graph.AddConstraints(constraints);
      graph.Add(std::move(completed));
    } else {
      graph.Add(std::move(node));
    }
  }

  TextScanner scan_;
  std::shared_ptr<const BufferPlan> plan_;
};

}  // namespace

absl::StatusOr<Module> ParseModule(std::string_view text) { return Parser(text).ParseModule(); }

}  // namespace rlx
