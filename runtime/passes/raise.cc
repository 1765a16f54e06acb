// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/raise.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/donated.h"
#include "runtime/passes/linear.h"
#include "runtime/passes/remarks.h"

namespace rlx::passes {

std::optional<double> UniformConstant(const Graph& graph, Value value) {
  constexpr int64_t kMostElements = 1024;
  const Node& node = graph.node(value.node);
  if (node.op != OpKind::kConstant) return std::nullopt;
  const HostTensor& tensor = node.Tensor("value");
  if (!IsFloat(tensor.dtype()) || tensor.size() < 1 || tensor.size() > kMostElements)
    return std::nullopt;
  const std::vector<double> values = tensor.ToDoubles();
  const bool same = std::ranges::all_of(values, [&](double v) { return v == values[0]; });
  return same ? std::optional(values[0]) : std::nullopt;
}

bool IsRowOf(const TensorType& type, std::span<const Dim> tail) {
  if (tail.empty() || type.shape.size() < tail.size()) return false;
  const auto split = type.shape.end() - static_cast<std::ptrdiff_t>(tail.size());
  return std::all_of(type.shape.begin(), split, [](const Dim& d) { return d == Dim(1); }) &&
         std::equal(split, type.shape.end(), tail.begin());
}

Raising::Raising(Graph& graph, PassContext& context, Rule rule)
    : graph_(graph),
      context_(context),
      rule_(rule),
      rewriter_(graph, context),
      donated_(DonatedInputs(graph)) {}

bool Raising::Accepts(OpKind op) const { return context_.Accepts(Info(op).claim); }

NodeId Raising::UserWhere(Value value, const std::function<bool(const Node&)>& wanted) const {
  for (const Uses::Use& use : uses().of(value)) {
    if (use.node >= 0 && wanted(graph_.node(use.node))) return use.node;
  }
  return -1;
}

NodeId Raising::UserWith(Value value, OpKind op, Value other) const {
  return UserWhere(value, [&](const Node& node) {
    if (node.op != op || node.operands.size() != 2) return false;
    const bool straight = node.operands[0] == value && node.operands[1] == other;
    const bool swapped = node.operands[0] == other && node.operands[1] == value;
    return straight || (swapped && Info(op).commutative);
  });
}

Raising::Scaled Raising::Unscaled(Value value, bool alone) const {
  constexpr size_t kMost = 8;
  Scaled out{.value = value};
  while (out.nodes.size() < kMost && (!alone || uses().OnlyUser(out.value) >= 0)) {
    const Node& step = node(out.value);
    const bool product = step.op == OpKind::kMul;
    if (!product && step.op != OpKind::kDiv) break;
    std::optional<double> factor = UniformConstant(graph_, step.operands[1]);
    Value inner = step.operands[0];
    if (!factor && product) {
      factor = UniformConstant(graph_, step.operands[0]);
      inner = step.operands[1];
    }
    if (!factor || !std::isfinite(*factor) || *factor == 0) break;
    if (type(inner) != type(out.value)) break;
    out.nodes.push_back(out.value.node);
    out.factor = product ? out.factor * *factor : out.factor / *factor;
    out.value = inner;
  }
  return out;
}

void Raising::Miss(Reason reason, NodeId at, std::string message) {
  Missed(context_, rule_, reason, graph_, at, std::move(message));
}

bool Raising::Free(const std::vector<NodeId>& nodes, const std::vector<Value>& operands,
                   std::string_view what) {
  if (rewriter_.AnyTaken(nodes)) return false;
  if (std::ranges::any_of(operands, [&](Value v) { return donated_[v.node]; })) return false;
  const std::optional<Leak> leak = FindLeak(graph_, uses(), nodes);
  if (!leak) return true;
  Miss(leak->reason, leak->at, Cat(leak->message, ", so ", what, " stays as it is written"));
  return false;
}

GraphBuilder& Raising::Begin(const std::vector<NodeId>& nodes, std::string message) {
  std::set<Value> inside;
  for (NodeId id : nodes) {
    if (id != nodes.front()) inside.insert({id, 0});
  }
  Applied(context_, rule_, graph_, nodes, std::move(message),
          {.launches = static_cast<int64_t>(inside.size()),
           .bytes = RoundTripBytes(graph_, {inside.begin(), inside.end()})});
  return rewriter_.For(nodes);
}

void Raising::Replace(NodeId root, Value by) {
  if (by.valid()) rewriter_.Replace({root, 0}, by);
}

bool Raising::Refused(OpKind op, const std::vector<TensorType>& operands,
                      const std::vector<Attr>& attrs, NodeId root) {
  if (WouldRun(context_, op, operands, attrs)) return false;
  Miss(Reason::kBackendRefuses, root,
       Cat("the back end does not run the ", Name(op), " that ", Label(graph_, root), " ends"));
  return true;
}

}  // namespace rlx::passes
