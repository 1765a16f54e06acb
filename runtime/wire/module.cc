// SPDX-License-Identifier: Apache-2.0
#include "runtime/wire/module.h"

#include <algorithm>
#include <deque>
#include <set>

#include "runtime/base/fault.h"
#include "runtime/ir/op_info.h"
#include "runtime/wire/enums.h"
#include "runtime/wire/tensor.h"

namespace rlx::wire {
namespace {

// `node 17 matmul "ffn"`, whatever the client wrote there.
std::string Place(int graph, int index, const v1::Node& node) {
  std::string out = Cat("node ", index);
  if (!node.op().empty()) out += Cat(" ", std::string_view(node.op()).substr(0, 64));
  if (!node.name().empty()) out += Cat(" \"", std::string_view(node.name()).substr(0, 64), "\"");
  if (graph > 0) out += Cat(" of nested graph ", graph);
  return out;
}

struct Reader {
  const v1::GraphModule& in;
  const Limits& limits;
  const BlobSource& blobs;
  SymbolTable symbols;
  std::vector<DimConstraint> constraints;
  std::vector<std::shared_ptr<Graph>> graphs;
  std::vector<int64_t> depth;
  std::vector<bool> used;
  int64_t sources = 0;  // met so far

  absl::StatusOr<Module> Run() {
    RLX_TRY(CheckSize());
    RLX_TRY(ReadSymbols());
    graphs.resize(in.graphs_size());
    depth.assign(in.graphs_size(), 0);
    used.assign(in.graphs_size(), false);
    // A nested graph comes after its owner, so last to first meets children before parents.
    for (int g = in.graphs_size() - 1; g >= 0; --g) RLX_TRY(ReadGraph(g));
    for (int g = 1; g < in.graphs_size(); ++g) {
      if (!used[g]) return InvalidArgument("nested graph ", g, " is used by no node");
    }
    Module out;
    const auto stage = FromWire(in.stage());
    if (!stage) return InvalidArgument("unknown stage ", static_cast<int>(in.stage()));
    out.stage = *stage;
    RLX_ASSIGN(out.policy, Policy());
    out.graph = std::move(*graphs[0]);
    return Finish(std::move(out));
  }

  absl::Status CheckSize() const {
    if (in.graphs_size() == 0) return InvalidArgument("the module has no graph");
    int64_t nodes = 0;
    for (const v1::Graph& graph : in.graphs()) nodes += graph.nodes_size();
    if (nodes > limits.max_nodes) {
      return LimitExceeded("max_nodes", limits.max_nodes, "the module has ", nodes, " nodes");
    }
    if (in.symbols_size() > limits.max_symbols) {
      return LimitExceeded("max_symbols", limits.max_symbols, "the module has ", in.symbols_size(),
                           " symbols");
    }
    if (in.constraints_size() > limits.max_constraints) {
      return LimitExceeded("max_constraints", limits.max_constraints, "the module has ",
                           in.constraints_size(), " constraints");
    }
    return absl::OkStatus();
  }

  absl::Status ReadSymbols() {
    for (const v1::Symbol& symbol : in.symbols()) {
      SymbolRange range;
      if (symbol.min() != 0) range.min = symbol.min();
      if (symbol.has_max()) range.max = symbol.max();
      if (symbol.name().empty()) return InvalidArgument("a symbol has no name");
      if (range.min < 1 || range.max < range.min) {
        return InvalidArgument("symbol \"", symbol.name(), "\" has range [", range.min, ", ",
                               range.max, "]");
      }
      if (!symbols.emplace(symbol.name(), range).second) {
        return InvalidArgument("symbol \"", symbol.name(), "\" is declared twice");
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<FusionPolicy> Policy() const {
    switch (in.fusion_policy()) {
      case v1::FUSION_POLICY_UNSPECIFIED:
      case v1::FUSION_POLICY_DIRECT:
        return FusionPolicy::kDirect;
      case v1::FUSION_POLICY_FUSABLE:
        return FusionPolicy::kFusable;
      default:
        return InvalidArgument("unknown fusion policy ", static_cast<int>(in.fusion_policy()));
    }
  }

  absl::Status ReadGraph(int g) {
    const v1::Graph& from = in.graphs(g);
    auto graph = std::make_shared<Graph>();
    graph->name = from.name();
    graph->Reserve(from.nodes_size());
    for (int n = 0; n < from.nodes_size(); ++n) {
      absl::Status status = ReadNode(g, from.nodes(n), *graph);
      if (!status.ok()) {
        if (g == 0) status = AtNode(std::move(status), n, from.nodes(n).name());
        return Annotate(std::move(status), Place(g, n, from.nodes(n)));
      }
    }
    for (const v1::Output& output : from.outputs()) {
      RLX_ASSIGN(Value value,
                 Reference(output.value(), *graph, Cat("output \"", output.name(), "\"")));
      graph->AddOutput(output.name(), value);
    }
    graphs[g] = std::move(graph);
    return absl::OkStatus();
  }

  static absl::StatusOr<Value> Reference(const v1::ValueRef& ref, const Graph& graph,
                                         const std::string& who) {
    if (ref.node() >= static_cast<uint32_t>(graph.size())) {
      return InvalidArgument(who, " refers to node ", ref.node(),
                             ", which does not come before it");
    }
    const auto node = static_cast<NodeId>(ref.node());
    if (ref.result() >= graph.node(node).results.size()) {
      return InvalidArgument(who, " refers to result ", ref.result(), " of node ", ref.node(),
                             ", which has ", graph.node(node).results.size());
    }
    return Value{node, static_cast<int32_t>(ref.result())};
  }

  absl::Status ReadNode(int g, const v1::Node& from, Graph& graph) {
    const OpInfo* info = FindOp(from.op());
    if (info == nullptr) {
      return WithReason(
          InvalidArgument("unknown op \"", std::string_view(from.op()).substr(0, 64), "\""),
          "unknown_op");
    }
    Node node{.op = info->kind};
    node.name = from.name();
    if (from.operands_size() > limits.max_operands) {
      return LimitExceeded("max_operands", limits.max_operands, from.operands_size(), " operands");
    }
    for (const v1::ValueRef& ref : from.operands()) {
      RLX_ASSIGN(Value value, Reference(ref, graph, Cat("operand ", node.operands.size())));
      node.operands.push_back(value);
    }
    RLX_TRY(ReadSubgraphs(g, from, node));
    for (const v1::TensorType& type : from.results()) {
      if (type.dims_size() > limits.max_rank) {
        return LimitExceeded("max_rank", limits.max_rank, "rank ", type.dims_size());
      }
      RLX_ASSIGN(TensorType result, TypeFromWire(type, symbols));
      node.results.push_back(std::move(result));
    }
    for (const v1::Attribute& attribute : from.attributes()) {
      RLX_ASSIGN(AttrValue value, ReadAttribute(attribute, node));
      node.attrs.push_back({attribute.name(), std::move(value)});
    }
    for (const v1::SourceRef& source : from.sources()) {
      if (++sources > limits.max_sources)
        return LimitExceeded("max_sources", limits.max_sources, "the module has ", sources,
                             " sources");
      if (static_cast<int64_t>(source.name().size()) > limits.max_name_bytes)
        return LimitExceeded("max_name_bytes", limits.max_name_bytes, "a source's name has ",
                             source.name().size(), " bytes");
      const auto kind = source.kind() == v1::SourceRef::KIND_UNSPECIFIED ? SourceRef::Kind::kMir
                                                                         : FromWire(source.kind());
      if (!kind) return InvalidArgument("unknown source kind ", static_cast<int>(source.kind()));
      node.sources.push_back({*kind, source.id(), source.name()});
    }
    RLX_TRY(Infer(graph, node, *info));
    graph.Add(std::move(node));
    return absl::OkStatus();
  }

  absl::Status Infer(const Graph& graph, Node& node, const OpInfo& info) {
    const std::vector<TensorType> declared = node.results;
    if (info.op_class == OpClass::kLeaf && declared.size() != 1) {
      return InvalidArgument(info.name, " needs one result type, has ", declared.size());
    }
    RLX_TRY(CompleteAndInfer(graph, node, constraints));
    if (declared.empty() || declared == node.results) return absl::OkStatus();
    if (declared.size() != node.results.size()) {
      return InvalidArgument(info.name, " has ", node.results.size(), " results, ", declared.size(),
                             " are declared");
    }
    for (size_t r = 0; r < declared.size(); ++r) {
      if (declared[r] == node.results[r]) continue;
      return InvalidArgument(info.name, ": result ", r, " is declared ", ToString(declared[r]),
                             " and inferred ", ToString(node.results[r]));
    }
    return absl::OkStatus();
  }

  absl::Status ReadSubgraphs(int g, const v1::Node& from, Node& node) {
    for (uint32_t index : from.subgraphs()) {
      if (index <= static_cast<uint32_t>(g) || index >= graphs.size()) {
        return InvalidArgument("subgraph ", index, " is not a later graph of the module");
      }
      // What several nodes may have in common is what they mean.
      if (used[index] && (!graphs[index] || node.op != OpKind::kCustom)) {
        return InvalidArgument("subgraph ", index, " has another owner already");
      }
      depth[g] = std::max(depth[g], depth[index] + 1);
      if (depth[g] > limits.max_nesting) {
        return LimitExceeded("max_nesting", limits.max_nesting, "graphs nest ", depth[g], " deep");
      }
      node.subgraphs.push_back(graphs[index]);
      used[index] = true;
      if (node.op != OpKind::kCustom) graphs[index] = nullptr;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<AttrValue> ReadAttribute(const v1::Attribute& attribute, const Node& node) {
    auto value = ReadValue(attribute, node);
    if (value.ok()) return value;
    return Annotate(value.status(), Cat("attribute \"", attribute.name(), "\""));
  }

  absl::StatusOr<AttrValue> ReadValue(const v1::Attribute& a, const Node& node) {
    switch (a.value_case()) {
      case v1::Attribute::kI:
        return AttrValue(a.i());
      case v1::Attribute::kF:
        return AttrValue(a.f());
      case v1::Attribute::kB:
        return AttrValue(a.b());
      case v1::Attribute::kS:
        return AttrValue(a.s());
      case v1::Attribute::kInts:
        return AttrValue(std::vector<int64_t>(a.ints().values().begin(), a.ints().values().end()));
      case v1::Attribute::kFloats:
        return AttrValue(
            std::vector<double>(a.floats().values().begin(), a.floats().values().end()));
      case v1::Attribute::kDtype: {
        const auto dtype = FromWire(a.dtype());
        if (!dtype) return InvalidArgument("unknown dtype ", static_cast<int>(a.dtype()));
        return AttrValue(*dtype);
      }
      case v1::Attribute::kShape: {
        Shape shape;
        for (const v1::Dim& dim : a.shape().dims()) {
          RLX_ASSIGN(Dim extent, DimFromWire(dim, symbols, /*allow_rest=*/true));
          shape.push_back(std::move(extent));
        }
        return AttrValue(std::move(shape));
      }
      case v1::Attribute::kTensor: {
        RLX_ASSIGN(HostTensor tensor, TensorFromWire(a.tensor()));
        return AttrValue(std::move(tensor));
      }
      case v1::Attribute::kBlob:
        return ReadBlob(a.blob(), node);
      default:
        return InvalidArgument("has no value");
    }
  }

  absl::StatusOr<AttrValue> ReadBlob(const v1::BlobSlice& slice, const Node& node) const {
    if (node.results.size() != 1 || !node.results[0].is_static()) {
      return InvalidArgument("a blob needs one static result type beside it");
    }
    RLX_ASSIGN(SharedBytes bytes, blobs(slice));
    RLX_ASSIGN(
        HostTensor tensor,
        HostTensor::Create(node.results[0].dtype, node.results[0].StaticDims(), std::move(bytes)));
    return AttrValue(std::move(tensor));
  }

  absl::StatusOr<Module> Finish(Module out) {
    Graph& graph = out.graph;
    if (!in.name().empty()) graph.name = in.name();
    graph.symbols = std::move(symbols);
    for (const v1::DimConstraint& constraint : in.constraints()) {
      RLX_ASSIGN(Dim left, DimFromWire(constraint.left(), graph.symbols));
      RLX_ASSIGN(Dim right, DimFromWire(constraint.right(), graph.symbols));
      constraints.push_back({std::move(left), std::move(right)});
    }
    std::set<std::string> have;  // nodes tell theirs again and again
    for (DimConstraint& constraint : constraints) {
      if (!have.insert(Cat(constraint.a, " = ", constraint.b)).second) continue;
      graph.constraints.push_back(std::move(constraint));
    }
    for (const v1::Alias& alias : in.aliases()) {
      graph.aliases.push_back({static_cast<int>(alias.input()), static_cast<int>(alias.output())});
    }
    if (!in.has_plan()) return out;
    RLX_ASSIGN(BufferPlan plan, PlanFromWire(in.plan(), graph));
    out.plan = std::make_shared<const BufferPlan>(std::move(plan));
    return out;
  }
};

void AttributeToWire(const Attr& attr, v1::Attribute& out) {
  out.set_name(attr.name);
  struct Visitor {
    v1::Attribute& out;
    void operator()(int64_t v) { out.set_i(v); }
    void operator()(double v) { out.set_f(v); }
    void operator()(bool v) { out.set_b(v); }
    void operator()(const std::string& v) { out.set_s(v); }
    void operator()(const std::vector<int64_t>& v) {
      out.mutable_ints()->mutable_values()->Assign(v.begin(), v.end());
    }
    void operator()(const std::vector<double>& v) {
      out.mutable_floats()->mutable_values()->Assign(v.begin(), v.end());
    }
    void operator()(DType v) { out.set_dtype(ToWire(v)); }
    void operator()(const Shape& v) {
      out.mutable_shape();
      for (const Dim& dim : v) DimToWire(dim, *out.mutable_shape()->add_dims());
    }
    void operator()(const HostTensor& v) { TensorToWire(v, *out.mutable_tensor()); }
  };
  std::visit(Visitor{out}, attr.value);
}

struct Writer {
  v1::GraphModule& out;
  std::deque<std::pair<const Graph*, int>> pending;

  void Run(const Graph& main) {
    out.add_graphs();
    pending.emplace_back(&main, 0);
    while (!pending.empty()) {
      const auto [graph, index] = pending.front();
      pending.pop_front();
      WriteGraph(*graph, index);
    }
  }

  void WriteGraph(const Graph& graph, int index) {
    out.mutable_graphs(index)->set_name(graph.name);
    for (const Node& node : graph.nodes()) {
      WriteNode(node, *out.mutable_graphs(index)->add_nodes());
    }
    for (const Output& output : graph.outputs()) {
      v1::Output& to = *out.mutable_graphs(index)->add_outputs();
      to.set_name(output.name);
      SetRef(output.value, *to.mutable_value());
    }
  }

  static void SetRef(Value value, v1::ValueRef& ref) {
    ref.set_node(static_cast<uint32_t>(value.node));
    ref.set_result(static_cast<uint32_t>(value.result));
  }

  void WriteNode(const Node& node, v1::Node& to) {
    to.set_op(std::string(Name(node.op)));
    to.set_name(node.name);
    for (Value v : node.operands) SetRef(v, *to.add_operands());
    for (const Attr& attr : node.attrs) AttributeToWire(attr, *to.add_attributes());
    for (const TensorType& type : node.results) TypeToWire(type, *to.add_results());
    for (const SourceRef& source : node.sources) {
      v1::SourceRef& ref = *to.add_sources();
      ref.set_kind(ToWire(source.kind));
      ref.set_id(static_cast<uint32_t>(source.id));
      ref.set_name(source.name);
    }
    for (const auto& subgraph : node.subgraphs) {
      const int index = out.graphs_size();
      to.add_subgraphs(static_cast<uint32_t>(index));
      out.add_graphs();
      pending.emplace_back(subgraph.get(), index);
    }
  }
};

}  // namespace

absl::StatusOr<Module> ModuleFromWire(const v1::GraphModule& module, const Limits& limits,
                                      const BlobSource& blobs) {
  return Reader{.in = module, .limits = limits, .blobs = blobs}.Run();
}

void ModuleToWire(const Module& module, v1::GraphModule& out) {
  const Graph& graph = module.graph;
  out.set_name(graph.name);
  out.set_stage(ToWire(module.stage));
  out.set_fusion_policy(ToWire(module.policy));
  Writer{.out = out}.Run(graph);
  for (const auto& [name, range] : graph.symbols) {
    v1::Symbol& symbol = *out.add_symbols();
    symbol.set_name(name);
    symbol.set_min(range.min);
    symbol.set_max(range.max);
  }
  for (const DimConstraint& constraint : graph.constraints) {
    v1::DimConstraint& to = *out.add_constraints();
    DimToWire(constraint.a, *to.mutable_left());
    DimToWire(constraint.b, *to.mutable_right());
  }
  for (const AliasPair& alias : graph.aliases) {
    v1::Alias& to = *out.add_aliases();
    to.set_input(static_cast<uint32_t>(alias.input));
    to.set_output(static_cast<uint32_t>(alias.output));
  }
  if (module.plan) PlanToWire(*module.plan, *out.mutable_plan());
}

}  // namespace rlx::wire
