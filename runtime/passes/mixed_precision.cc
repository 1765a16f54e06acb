// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/counts.h"
#include "runtime/passes/linear.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/precision.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   f32 op(a, b)   =>   cast(op(cast(a, f16), cast(b, f16)), f32)
//
// for each op whose class the policy computes in a 16-bit type; casts between two such ops never
// form, and those of weights are done when weights are bound. Only f32 changes: integers, booleans,
// f64 and values that are 16 bits wide already stay, and so do inputs, params and outputs. What
// decides (comparisons, top-k, what becomes an integer, rounding to one, solvers) stays in f32, and
// with it the elementwise ops, movement and sums that lead up to it: 3001 is 3008 in bf16, another
// row of a table. So does what leads up to a sine, a cosine or a tangent, and these themselves: an
// angle that is rounded is another. And whatever reads a float made of an integer by a cast, up to
// and including the first function that bounds it (counts.h): positions, lengths, angles made of
// them by products too, with what leads up to the other factor. So does what leads up to the
// carries of a loop in its body, which would be rounded in each turn: the products inside are
// narrow, what adds them up is not. What a body captures in a narrow type alone is cast before the
// loop (hoist_casts.h).
namespace rlx::passes {
namespace {

constexpr Rule kRule("mixed_precision");

constexpr std::array<std::string_view, 5> kClassNames = {"compute", "reduction", "elementwise",
                                                         "data_movement", "boundary"};

DType DTypeOf(Precision precision) {
  switch (precision) {
    case Precision::kF16:
      return DType::kF16;
    case Precision::kBF16:
      return DType::kBF16;
    case Precision::kF32:
      break;
  }
  return DType::kF32;
}

// What one class computes in; nothing: in what its operands have.
using ClassTypes = std::array<std::optional<DType>, kClassNames.size()>;

ClassTypes TypesFor(const PrecisionPolicy& policy) {
  constexpr DType kF16 = DType::kF16, kBF16 = DType::kBF16, kF32 = DType::kF32;
  switch (policy.kind) {
    case PrecisionPolicyKind::kAlwaysF16:
      return {kF16, kF16, kF16, kF16, kF16};
    case PrecisionPolicyKind::kAutoMixed:
      return {kF16, kF16, kF16, kF16, kF32};
    case PrecisionPolicyKind::kAutoMixedConservative:
      return {kF16, kF32, std::nullopt, std::nullopt, kF32};
    case PrecisionPolicyKind::kAutoMixedBf16:
      return {kBF16, kBF16, kBF16, kBF16, kF32};
    case PrecisionPolicyKind::kCustom: {
      ClassTypes types = {kF32, kF32, kF32, kF32, kF32};
      for (size_t i = 0; i < types.size(); ++i) {
        const auto it = policy.custom.find(std::string(kClassNames[i]));
        if (it != policy.custom.end()) types[i] = DTypeOf(it->second);
      }
      return types;
    }
    case PrecisionPolicyKind::kAlwaysF32:
      break;
  }
  return {kF32, kF32, kF32, kF32, kF32};
}

// The class of the heaviest op in a composite's decomposition.
class Classes {
 public:
  PrecisionClass Of(const Graph& graph, const Node& node) {
    switch (Info(node.op).op_class) {
      case OpClass::kContraction:
        return PrecisionClass::kCompute;
      case OpClass::kReduction:
      case OpClass::kNormalization:
        return PrecisionClass::kReduction;
      case OpClass::kElementwise:
        return PrecisionClass::kElementwise;
      case OpClass::kMovement:
        return PrecisionClass::kDataMovement;
      case OpClass::kComposite:
        return OfComposite(graph, node);
      case OpClass::kLeaf:
      case OpClass::kSpecial:
      case OpClass::kControlFlow:
      case OpClass::kBlock:
        break;
    }
    return PrecisionClass::kBoundary;
  }

 private:
  PrecisionClass OfComposite(const Graph& graph, const Node& node) {
    const auto known = composites_.find(node.op);
    if (known != composites_.end()) return known->second;
    composites_[node.op] = PrecisionClass::kBoundary;  // should it contain itself
    return composites_[node.op] = Look(graph, node);
  }

  PrecisionClass Look(const Graph& graph, const Node& node) {
    Graph inside;
    GraphBuilder b(inside);
    Node copy = node;
    for (Value& operand : copy.operands) operand = b.Input("", graph.type(operand));
    const auto decompose = Info(node.op).decompose;
    if (decompose == nullptr || !decompose(b, copy).ok() || !b.status().ok()) {
      return PrecisionClass::kBoundary;
    }
    PrecisionClass heaviest = PrecisionClass::kElementwise;
    for (const Node& part : inside.nodes()) {
      if (!IsLeaf(part.op)) heaviest = std::min(heaviest, Of(inside, part));
    }
    return heaviest;
  }

  std::map<OpKind, PrecisionClass> composites_;
};

// Whether rounding an operand may change the result by more than rounding: one that is an integer
// or a choice, or jumps, or solves a system that may be anyhow close to singular.
bool Decides(const Graph& graph, const Node& node) {
  switch (node.op) {
    case OpKind::kRound:
    case OpKind::kFloor:
    case OpKind::kCeil:
    case OpKind::kDenseSolve:
    case OpKind::kBatchedDenseSolve:
      return true;
    default:
      break;
  }
  if (!node.subgraphs.empty()) {  // a counter beside floats is nothing that they decide
    return std::ranges::any_of(node.subgraphs, [](const auto& body) {
      return std::ranges::any_of(body->nodes(),
                                 [&](const Node& inner) { return Decides(*body, inner); });
    });
  }
  const auto exact = [](const TensorType& type) { return IsExact(type.dtype); };
  const bool reads_floats =
      std::ranges::any_of(node.operands, [&](Value v) { return !exact(graph.type(v)); });
  return reads_floats && std::ranges::any_of(node.results, exact);
}

// Whether an operand is an angle: of any size, and only what is left of it after whole turns
// counts.
bool TakesAngle(const Node& node) {
  switch (node.op) {
    case OpKind::kSin:
    case OpKind::kCos:
    case OpKind::kTan:
      return true;
    case OpKind::kElementwiseRegion:
      return std::ranges::any_of(node.subgraphs[0]->nodes(), TakesAngle);
    default:
      return false;
  }
}

// A constant in a narrower type; what is finite stays finite.
HostTensor Narrowed(const HostTensor& tensor, DType to) {
  const double most = to == DType::kF16 ? 65504 : 3.3895313892515355e38;
  std::vector<double> values = tensor.ToDoubles();
  for (double& value : values) {
    if (std::isfinite(value)) value = std::clamp(value, -most, most);
  }
  return HostTensor::FromDoubles(to, tensor.dims(), values);
}

// What a decision depends on number by number; products and norms before it are as their class.
bool LeadsUp(Classes& classes, const Graph& graph, const Node& node) {
  switch (Info(node.op).op_class) {
    case OpClass::kReduction:
    case OpClass::kSpecial:
    case OpClass::kControlFlow:  // anything may be inside
      return true;
    default:
      break;
  }
  const PrecisionClass of = classes.Of(graph, node);
  return of == PrecisionClass::kElementwise || of == PrecisionClass::kDataMovement;
}

std::vector<bool> Deciding(Classes& classes, const Graph& graph, size_t kept,
                           const Counts& counts) {
  std::vector<bool> decides(graph.size());
  for (size_t i = 0; i < std::min(kept, graph.outputs().size()); ++i) {
    const Value v = graph.outputs()[i].value;
    decides[v.node] = !IsExact(graph.type(v).dtype) && LeadsUp(classes, graph, graph.node(v.node));
  }
  for (NodeId id = graph.size() - 1; id >= 0; --id) {
    const Node& node = graph.node(id);
    decides[id] = decides[id] || Decides(graph, node) || TakesAngle(node) || counts.ReadBy(id);
    if (!decides[id]) continue;
    for (Value v : node.operands) {
      if (IsExact(graph.type(v).dtype)) continue;
      decides[v.node] = decides[v.node] || LeadsUp(classes, graph, graph.node(v.node));
    }
  }
  return decides;
}

class Narrowing {
 public:
  Narrowing(Graph& graph, PassContext& context)
      : graph_(graph),
        context_(context),
        rewriter_(graph, context),
        types_(TypesFor(context.policy)),
        fixed_(WeightOnly(graph)),
        deciding_(
            Deciding(classes_, graph, context.kept_outputs, Counts(graph, context.counted_inputs))),
        narrow_(graph.size()) {}

  absl::Status Run() {
    for (NodeId id = 0; id < rewriter_.size(); ++id) {
      const DType to = Wanted(id);
      if (to == DType::kF32) continue;
      if (Feasible(id, to)) {
        Narrow(id, to);
      } else {
        refused_[{Name(graph_.node(id).op), to}].push_back(id);
      }
    }
    Report();
    return rewriter_.Finish();
  }

 private:
  bool IsF32(Value v) const { return graph_.type(v).dtype == DType::kF32; }

  // f32 in, f32 out.
  bool Touchable(const Node& node) const {
    if (!node.subgraphs.empty() || node.operands.empty()) return false;
    for (const Attr& attr : node.attrs) {
      if (TypeOf(attr.value) == AttrType::kDType) return false;  // a cast says what it makes
    }
    for (const TensorType& type : node.results) {
      if (type.dtype != DType::kF32) return false;
    }
    for (Value v : node.operands) {
      const DType dtype = graph_.type(v).dtype;
      if (!IsExact(dtype) && dtype != DType::kF32) return false;
    }
    return true;
  }

  // The type to compute node `id` in.
  DType Wanted(NodeId id) {
    const Node& node = graph_.node(id);
    // What weights alone decide is computed once, in full, and narrowed then.
    if (fixed_[id] || deciding_[id] || !Touchable(node)) return DType::kF32;
    const PrecisionClass of = classes_.Of(graph_, node);
    return types_[static_cast<size_t>(of)].value_or(Followed(node));
  }

  // The type that all operands computed in each run have; f32 when they differ.
  DType Followed(const Node& node) const {
    DType common = DType::kF32;
    for (Value v : node.operands) {
      if (!IsF32(v) || fixed_[v.node]) continue;
      const DType has = narrow_[v.node].to;
      if (has == DType::kF32 || (common != DType::kF32 && common != has)) return DType::kF32;
      common = has;
    }
    return common;
  }

  bool Feasible(NodeId id, DType to) const {
    const Node& node = graph_.node(id);
    std::vector<TensorType> types;
    for (Value v : node.operands) {
      types.push_back(graph_.type(v));
      if (types.back().dtype == DType::kF32) types.back().dtype = to;
    }
    return WouldRun(context_, node.op, types, node.attrs);
  }

  Value As(GraphBuilder& b, Value v, DType to) {
    if (!IsF32(v)) return v;
    const Narrowed16& narrow = narrow_[v.node];
    if (narrow.to == to) return narrow.results[v.result];
    const auto [it, first] = casts_.try_emplace({v, to});
    if (first) {
      const Node& node = graph_.node(v.node);
      it->second = node.op == OpKind::kConstant
                       ? b.Constant(Narrowed(node.Tensor("value"), to))
                       : b.Cast(narrow.to == DType::kF32 ? v : narrow.results[v.result], to);
    }
    return it->second;
  }

  void Narrow(NodeId id, DType to) {
    GraphBuilder& b = rewriter_.For({id});
    const Node node = graph_.node(id);  // the graph grows
    std::vector<Value> operands;
    for (Value v : node.operands) operands.push_back(As(b, v, to));
    narrow_[id] = {to, b.EmitAll(node.op, std::move(operands), node.attrs)};
    for (size_t r = 0; r < narrow_[id].results.size(); ++r) {
      // Goes again where nobody reads it in f32.
      rewriter_.Replace({id, static_cast<int32_t>(r)}, b.Cast(narrow_[id].results[r], DType::kF32));
    }
    done_[{Name(node.op), to}].push_back(id);
  }

  using ByKind = std::map<std::pair<std::string_view, DType>, std::vector<NodeId>>;

  void Report() {
    for (const auto& [kind, nodes] : done_) {
      std::vector<Value> values;
      for (NodeId id : nodes) values.push_back({id, 0});
      Applied(context_, kRule, graph_, nodes,
              Cat(nodes.size(), " ", kind.first, " computed in ", kind.second),
              {.bytes = RoundTripBytes(graph_, values) / 2});
    }
    for (const auto& [kind, nodes] : refused_) {
      Missed(context_, kRule, Reason::kBackendRefuses, graph_, nodes.front(),
             Cat(nodes.size(), " ", kind.first, " stay in f32: there is no ", kind.first, " of ",
                 kind.second, " like ", Label(graph_, nodes.front())));
    }
  }

  struct Narrowed16 {
    DType to = DType::kF32;  // f32: the node is as it was
    std::vector<Value> results;
  };

  Graph& graph_;
  PassContext& context_;
  Rewriter rewriter_;
  const ClassTypes types_;
  Classes classes_;
  const std::vector<bool> fixed_, deciding_;
  std::vector<Narrowed16> narrow_;  // by original node
  std::map<std::pair<Value, DType>, Value> casts_;
  ByKind done_, refused_;
};

}  // namespace

std::span<const std::string_view> PrecisionClassNames() { return kClassNames; }

std::vector<bool> ComputedInFull(const Graph& graph, size_t kept, const Counts& counts) {
  Classes classes;
  return Deciding(classes, graph, kept, counts);
}

absl::Status MixedPrecision(Graph& graph, PassContext& context) {
  if (TypesFor(context.policy) == TypesFor({})) return absl::OkStatus();
  return Narrowing(graph, context).Run();
}

extern const Pass kMixedPrecisionPass = {
    .name = "mixed_precision",
    .run = MixedPrecision,
    .after = "decompose_unfused",
    .why_out =
        [](const PassContext& c) {
          return std::string_view(c.policy == PrecisionPolicy{} ? "all in f32" : "");
        },
    .why = "After every pattern, which casts would break; before regions, which take the casts in",
};

}  // namespace rlx::passes
