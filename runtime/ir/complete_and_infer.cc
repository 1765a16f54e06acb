// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "runtime/base/status.h"
#include "runtime/ir/check_inferred.h"
#include "runtime/ir/op_info.h"

namespace rlx {
namespace {

absl::Status CheckOperands(const Graph& graph, const Node& node, const OpInfo& info) {
  const int count = static_cast<int>(node.operands.size());
  if (count < info.min_operands || (info.max_operands >= 0 && count > info.max_operands)) {
    const std::string wanted = info.max_operands < 0 ? Cat("at least ", info.min_operands)
                               : info.max_operands == info.min_operands
                                   ? Cat(info.min_operands)
                                   : Cat(info.min_operands, " to ", info.max_operands);
    return InvalidArgument("has ", count, " operands, takes ", wanted);
  }
  for (int i = 0; i < count; ++i) {
    const Value value = node.operands[i];
    if (value.node < 0 || value.node >= graph.size())
      return InvalidArgument("operand ", i, " refers to ", value, ", which does not exist");
    const int results = static_cast<int>(graph.node(value.node).results.size());
    if (value.result < 0 || value.result >= results)
      return InvalidArgument("operand ", i, " refers to ", value, " of a node with ", results,
                             " results");
  }
  return absl::OkStatus();
}

absl::Status CheckSubgraphs(const Node& node, const OpInfo& info) {
  if (static_cast<int>(node.subgraphs.size()) != info.subgraphs)
    return InvalidArgument("has ", node.subgraphs.size(), " subgraphs, takes ", info.subgraphs);
  for (const auto& subgraph : node.subgraphs)
    if (subgraph == nullptr) return InvalidArgument("a subgraph is missing");
  return absl::OkStatus();
}

// Where the value types allow it, what was written becomes what the spec wants.
void Convert(AttrValue& value, AttrType wanted) {
  if (wanted == AttrType::kFloat) {
    if (const auto* i = std::get_if<int64_t>(&value)) value = static_cast<double>(*i);
  } else if (const auto* ints = std::get_if<std::vector<int64_t>>(&value)) {
    if (wanted == AttrType::kFloats)
      value = std::vector<double>(ints->begin(), ints->end());
    else if (wanted == AttrType::kShape)
      value = Shape(ints->begin(), ints->end());
  }
}

absl::Status CheckRange(const AttrSpec& spec, int64_t value) {
  if (value >= spec.min && value <= spec.max) return absl::OkStatus();
  if (spec.max == INT64_MAX) return InvalidArgument(spec.name, " is ", value, ", below ", spec.min);
  return InvalidArgument(spec.name, " is ", value, ", outside ", spec.min, " to ", spec.max);
}

absl::Status CheckValue(const AttrSpec& spec, const AttrValue& value) {
  if (const auto* i = std::get_if<int64_t>(&value)) return CheckRange(spec, *i);
  if (const auto* ints = std::get_if<std::vector<int64_t>>(&value))
    for (int64_t i : *ints) RLX_TRY(CheckRange(spec, i));
  if (const auto* f = std::get_if<double>(&value); f != nullptr && !std::isfinite(*f))
    return InvalidArgument(spec.name, " is not finite");
  if (const auto* floats = std::get_if<std::vector<double>>(&value))
    for (double f : *floats)
      if (!std::isfinite(f)) return InvalidArgument(spec.name, " has an entry that is not finite");
  if (const auto* s = std::get_if<std::string>(&value);
      s != nullptr && !spec.choices.empty() &&
      std::find(spec.choices.begin(), spec.choices.end(), *s) == spec.choices.end()) {
    return InvalidArgument(spec.name, " is \"", *s, "\", takes ", Join(spec.choices, ", "));
  }
  return absl::OkStatus();
}

absl::Status NormalizeAxis(const AttrSpec& spec, int rank, int64_t& axis) {
  if (axis < -rank || axis >= rank)
    return InvalidArgument(spec.name, " ", axis, " is outside rank ", rank);
  if (axis < 0) axis += rank;
  return absl::OkStatus();
}

absl::Status NormalizeAxes(const AttrSpec& spec, int rank, AttrValue& value) {
  if (auto* axis = std::get_if<int64_t>(&value)) return NormalizeAxis(spec, rank, *axis);
  auto& axes = std::get<std::vector<int64_t>>(value);
  for (int64_t& axis : axes) RLX_TRY(NormalizeAxis(spec, rank, axis));
  if (spec.axis != AxisRule::kAxisSet) return absl::OkStatus();
  if (axes.empty())
    for (int axis = 0; axis < rank; ++axis) axes.push_back(axis);
  std::sort(axes.begin(), axes.end());
  if (const auto twin = std::adjacent_find(axes.begin(), axes.end()); twin != axes.end())
    return InvalidArgument(spec.name, " names axis ", *twin, " twice");
  return absl::OkStatus();
}

std::optional<AttrValue> Fallback(const AttrSpec& spec) {
  if (const auto* i = std::get_if<int64_t>(&spec.fallback)) return AttrValue(*i);
  if (const auto* f = std::get_if<double>(&spec.fallback)) return AttrValue(*f);
  if (const auto* b = std::get_if<bool>(&spec.fallback)) return AttrValue(*b);
  if (const auto* s = std::get_if<std::string_view>(&spec.fallback))
    return AttrValue(std::string(*s));
  return std::nullopt;
}

absl::Status CompleteAttrs(Node& node, const OpInfo& info, int rank) {
  std::vector<Attr> given = std::move(node.attrs);
  node.attrs.clear();
  for (const AttrSpec& spec : info.attrs) {
    const auto same = [&spec](const Attr& attr) { return attr.name == spec.name; };
    const auto found = std::find_if(given.begin(), given.end(), same);
    std::optional<AttrValue> value;
    if (found != given.end()) {
      value = std::move(found->value);
      given.erase(found);
    } else {
      value = Fallback(spec);
    }
    if (!value) {
      if (spec.required) return InvalidArgument("attribute ", spec.name, " is missing");
      continue;
    }
    Convert(*value, spec.type);
    if (TypeOf(*value) != spec.type)
      return InvalidArgument("attribute ", spec.name, " is of type ", Name(TypeOf(*value)),
                             ", takes ", Name(spec.type));
    RLX_TRY(CheckValue(spec, *value));
    if (spec.axis != AxisRule::kNone) RLX_TRY(NormalizeAxes(spec, rank, *value));
    node.attrs.push_back({std::string(spec.name), *std::move(value)});
  }
  if (given.empty()) return absl::OkStatus();
  const bool repeated = node.Find(given[0].name) != nullptr;
  return InvalidArgument(repeated ? "repeated" : "unknown", " attribute \"", given[0].name, "\"");
}

absl::Status CheckResults(const std::vector<TensorType>& results, const OpInfo& info) {
  const int count = static_cast<int>(results.size());
  if (count == 0 || (info.results >= 0 && count != info.results))
    return InvalidArgument("has ", count, " results, makes ", info.results);
  for (const TensorType& type : results) {
    for (const Dim& dim : type.shape) {
      if (dim.is_overflow()) return InvalidArgument("an extent of ", type, " overflows");
      if (dim.is_static() && dim.value() < 1)
        return InvalidArgument("result ", type, " has extent ", dim);
    }
  }
  return absl::OkStatus();
}

// Infers into `context`, whose operands are set here.
absl::Status Infer(const Graph& graph, const OpInfo& info, InferContext& context) {
  const Node& node = context.node;
  context.operands.resize(node.operands.size());
  for (size_t i = 0; i < node.operands.size(); ++i)
    context.operands[i] = graph.type(node.operands[i]);
  RLX_TRY(info.infer(context));
  if (!node.results.empty() && node.results != context.results)
    return InvalidArgument("declared ", Join(node.results, ", "), ", inferred ",
                           Join(context.results, ", "));
  return absl::OkStatus();
}

int RankOfFirst(const Graph& graph, const Node& node) {
  return node.operands.empty() ? 0 : graph.type(node.operands[0]).rank();
}

}  // namespace

absl::Status CompleteAndInfer(const Graph& graph, Node& node,
                              std::vector<DimConstraint>& constraints) {
  const OpInfo& info = Info(node.op);
  RLX_TRY(CheckOperands(graph, node, info));
  RLX_TRY(CheckSubgraphs(node, info));
  RLX_TRY(CompleteAttrs(node, info, RankOfFirst(graph, node)));
  if (info.infer != nullptr) {
    InferContext context{node, {}, {}, {}};
    RLX_TRY(Infer(graph, info, context));
    node.results = std::move(context.results);
    constraints.insert(constraints.end(), context.constraints.begin(), context.constraints.end());
  }
  return CheckResults(node.results, info);
}

// What is wrong beside its attributes matters more.
absl::Status InferenceChecker::NotInFullForm(Node node) const {
  std::vector<DimConstraint> constraints;
  RLX_TRY(CompleteAndInfer(graph_, node, constraints));
  return InvalidArgument("attributes are not in their full form");
}

absl::Status InferenceChecker::Check(const Node& node) {
  const OpInfo& info = Info(node.op);
  RLX_TRY(CheckOperands(graph_, node, info));
  RLX_TRY(CheckSubgraphs(node, info));
  if (!node.attrs.empty() || !info.attrs.empty()) {
    Node again{.op = node.op, .attrs = node.attrs};
    RLX_TRY(CompleteAttrs(again, info, RankOfFirst(graph_, node)));
    if (again.attrs != node.attrs) return NotInFullForm(node);
  }
  if (info.infer != nullptr) {
    InferContext context{node, std::move(operands_), {}, {}};
    const absl::Status status = Infer(graph_, info, context);
    operands_ = std::move(context.operands);
    RLX_TRY(status);
    if (node.results.empty()) return InvalidArgument("has no declared results");
  }
  return CheckResults(node.results, info);
}

}  // namespace rlx
