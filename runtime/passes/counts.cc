// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/counts.h"

#include <algorithm>

#include "runtime/ir/op_info.h"

namespace rlx::passes {
namespace {

// What a mask is filled with, at most.
constexpr double kFiller = -1e4;
// Levels of bodies that are followed one by one; below them, one count makes counts of all.
constexpr int kDeepest = 3;

bool IsFiller(const Graph& graph, Value v) {
  const Node* node = &graph.node(v.node);
  while (node->op == OpKind::kExpand || node->op == OpKind::kReshape) {
    node = &graph.node(node->operands[0].node);
  }
  if (node->op != OpKind::kConstant || IsExact(node->results[0].dtype)) return false;
  const HostTensor tensor = node->Tensor("value");
  return tensor.size() == 1 && tensor.ToDoubles()[0] <= kFiller;
}

bool MakesMask(const Graph& graph, const Node& node) {
  if (node.op != OpKind::kMul && node.op != OpKind::kWhere) return false;
  return std::ranges::any_of(node.operands, [&](Value v) { return IsFiller(graph, v); });
}

bool Begins(const Graph& graph, const Node& node) {
  if (node.op != OpKind::kCast || IsExact(node.results[0].dtype)) return false;
  const DType from = graph.type(node.operands[0]).dtype;
  return IsInteger(from) && ByteWidth(from) > 1;
}

// A product of two operands of which both have to be exact for the result to be.
bool IsProduct(const Node& node) {
  switch (node.op) {
    case OpKind::kMul:
    case OpKind::kDiv:
    case OpKind::kPow:
    case OpKind::kMatMul:
    case OpKind::kDotGeneral:
      return true;
    case OpKind::kFusedMatMulBiasAct:
      return node.Str("activation") == "none";
    default:
      return false;
  }
}

bool IsSum(const Node& node) {
  switch (node.op) {
    case OpKind::kAdd:
    case OpKind::kSub:
    case OpKind::kNeg:
    case OpKind::kAbs:
    case OpKind::kMin:
    case OpKind::kMax:
    case OpKind::kWhere:
    case OpKind::kRound:
    case OpKind::kFloor:
    case OpKind::kCeil:
    case OpKind::kCast:
    case OpKind::kElementwiseRegion:
    case OpKind::kReduceSum:
    case OpKind::kReduceMean:
    case OpKind::kReduceMax:
    case OpKind::kReduceMin:
    case OpKind::kCumsum:
      return true;
    default:
      return Info(node.op).op_class == OpClass::kMovement;
  }
}

}  // namespace

Counts::Counts(const Graph& graph, const std::vector<bool>& inputs) : Counts(graph, inputs, 0) {}

Counts::Counts(const Graph& graph, const std::vector<bool>& inputs, int depth)
    : graph_(graph),
      depth_(depth),
      fixed_(WeightOnly(graph)),
      holds_(static_cast<size_t>(graph.size())),
      read_(static_cast<size_t>(graph.size())) {
  for (NodeId id = 0; id < graph.size(); ++id) {
    holds_[id].resize(graph.node(id).results.size());
  }
  const std::vector<NodeId> places = graph.inputs();
  for (size_t i = 0; i < std::min(places.size(), inputs.size()); ++i) {
    holds_[places[i]][0] = inputs[i] && !IsExact(graph.type({places[i], 0}).dtype);
  }
  for (NodeId id = 0; id < graph.size(); ++id) Visit(id);
}

void Counts::Visit(NodeId id) {
  const Node& node = graph_.node(id);
  if (Info(node.op).op_class == OpClass::kControlFlow) return VisitBodies(id);
  const bool reads = std::ranges::any_of(node.operands, [&](Value v) { return holds(v); });
  const bool made = !fixed_[id] && Begins(graph_, node);
  if (!made && (!reads || MakesMask(graph_, node))) return;
  read_[id] = reads;
  if (!made && !Carries(node)) return;
  for (size_t r = 0; r < node.results.size(); ++r) {
    holds_[id][r] = !IsExact(node.results[r].dtype);
  }
}

bool Counts::HoldsOrFixed(Value v) const { return holds(v) || fixed_[v.node]; }

// For a node that reads a count.
bool Counts::Carries(const Node& node) const {
  if (IsSum(node)) return true;
  if (!IsProduct(node)) return false;
  const bool added = std::ranges::any_of(node.operands.begin() + 2, node.operands.end(),
                                         [&](Value v) { return holds(v); });
  return added || (HoldsOrFixed(node.operands[0]) && HoldsOrFixed(node.operands[1]));
}

// The outputs of a body are counts, by place.
std::vector<bool> Counts::Followed(const Graph& body, const std::vector<bool>& inputs) const {
  if (depth_ == kDeepest) {
    return std::vector<bool>(body.outputs().size(), std::ranges::count(inputs, true) > 0);
  }
  const Counts inside(body, inputs, depth_ + 1);
  std::vector<bool> out;
  for (const Output& output : body.outputs()) out.push_back(inside.holds(output.value));
  return out;
}

// Inputs are operands by place, after the predicate of an `if`. What a loop carries is a count
// where it begins as one or a turn makes it one.
void Counts::VisitBodies(NodeId id) {
  const Node& node = graph_.node(id);
  const size_t first = node.op == OpKind::kIf ? 1 : 0;
  std::vector<bool> inputs;
  for (size_t i = first; i < node.operands.size(); ++i) inputs.push_back(holds(node.operands[i]));
  const size_t carries = node.op == OpKind::kIf ? 0 : static_cast<size_t>(node.Int("carries"));
  const std::shared_ptr<const Graph>& turn = node.subgraphs.back();
  if (carries > 0) {
    const std::vector<bool> next = Followed(*turn, inputs);
    bool grew = false;
    for (size_t i = 0; i < carries; ++i) {
      grew |= next[i] && !inputs[i];
      inputs[i] = inputs[i] || next[i];
    }
    // One that another turn would add is taken for granted.
    if (grew && Followed(*turn, inputs) != next) std::fill_n(inputs.begin(), carries, true);
  }
  bodies_[id].assign(node.subgraphs.size(), inputs);
  for (size_t b = node.op == OpKind::kWhile ? 1 : 0; b < node.subgraphs.size(); ++b) {
    const std::vector<bool> made = Followed(*node.subgraphs[b], inputs);
    for (size_t r = 0; r < node.results.size(); ++r) {
      const bool count = made[r] || (r < carries && inputs[r]);
      holds_[id][r] = holds_[id][r] || (count && !IsExact(node.results[r].dtype));
    }
  }
}

std::vector<bool> Counts::IntoBody(NodeId id, size_t body) const {
  const auto it = bodies_.find(id);
  return it == bodies_.end() ? std::vector<bool>{} : it->second[body];
}

}  // namespace rlx::passes
