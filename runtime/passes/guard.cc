// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/guard.h"

#include <algorithm>

#include "runtime/ir/op_info.h"
#include "runtime/ir/ops/attention.h"
#include "runtime/passes/inline.h"

namespace rlx::passes {
namespace {

// The node's check of this operand; -1 in a row stands for all that are integers.
const RunCheck* CheckOf(const Node& node, size_t operand, DType dtype) {
  for (const RunCheck& check : Info(node.op).checks) {
    if (check.operand == static_cast<int>(operand)) return &check;
    if (check.operand < 0 && IsInteger(dtype)) return &check;
  }
  return nullptr;
}

Value SafeValue(GraphBuilder& b, RunCheck::Safe safe, const TensorType& type) {
  if (safe != RunCheck::Safe::kIdentity) {
    return b.Scalar(type.dtype, safe == RunCheck::Safe::kOne ? 1 : 0);
  }
  const Dim rows = type.shape[type.shape.size() - 2], columns = type.shape.back();
  const Value row = b.Reshape(Iota(b, rows, DType::kI64), {rows, 1});
  return b.Cast(b.Emit(OpKind::kEq, {row, Iota(b, columns, DType::kI64)}), type.dtype);
}

enum class Role { kBranch, kCondition, kTurn };

// The body with a bool scalar more, its input `at`, without which nothing in it fails a run. A
// condition does not hold without it either, so that a turn of that loop is not run and may be as
// it is.
std::shared_ptr<const Graph> GuardedBody(GraphBuilder& outer, const Graph& body, size_t at,
                                         Role role) {
  Graph graph;
  graph.name = body.name;
  graph.constraints = body.constraints;
  GraphBuilder b(graph);
  std::vector<Value> inputs;
  Value on;
  const auto take_on = [&] { on = b.Input("", {DType::kBool, {}}); };
  for (NodeId id : body.inputs()) {
    if (inputs.size() == at) take_on();
    inputs.push_back(b.Input(body.node(id).name, body.type({id, 0})));
  }
  if (!on.valid()) take_on();
  const std::vector<Value> made = Inline(b, body, inputs, role == Role::kTurn ? Value() : on);
  for (size_t i = 0; i < made.size(); ++i) {
    const bool holds = role == Role::kCondition;
    b.Output(body.outputs()[i].name, holds ? b.Emit(OpKind::kLogicalAnd, {on, made[i]}) : made[i]);
  }
  if (!b.status().ok()) outer.Fail(b.status());
  return std::make_shared<const Graph>(std::move(graph));
}

// Captures follow what else a node takes, but for the sequences of a scan.
void GuardBodies(GraphBuilder& b, Value on, Node& node) {
  const int64_t sequences = node.op == OpKind::kScan ? node.Int("sequences") : 0;
  const auto place = node.operands.end() - sequences;
  // The predicate of an `if` is no input of its bodies.
  const auto at = place - node.operands.begin() - (node.op == OpKind::kIf ? 1 : 0);
  node.operands.insert(place, on);
  for (size_t i = 0; i < node.subgraphs.size(); ++i) {
    const bool loop = node.op == OpKind::kWhile;
    const Role role = !loop ? Role::kBranch : i == 0 ? Role::kCondition : Role::kTurn;
    node.subgraphs[i] = GuardedBody(b, *node.subgraphs[i], static_cast<size_t>(at), role);
  }
}

}  // namespace

bool MayFail(const Node& node) {
  for (const RunCheck& check : Info(node.op).checks) {
    if (check.operand < static_cast<int>(node.operands.size())) return true;
  }
  if (node.op == OpKind::kWhile && node.Bool("must_end")) return true;
  return std::ranges::any_of(node.subgraphs, [](const auto& body) { return MayFail(*body); });
}

bool MayFail(const Graph& graph) {
  return std::ranges::any_of(graph.nodes(), [](const Node& node) { return MayFail(node); });
}

void Guard(GraphBuilder& builder, Value on, Node& node) {
  for (size_t i = 0; i < node.operands.size(); ++i) {
    const TensorType type = builder.type(node.operands[i]);
    const RunCheck* check = CheckOf(node, i, type.dtype);
    if (check == nullptr) continue;
    node.operands[i] = builder.Where(on, node.operands[i], SafeValue(builder, check->safe, type));
  }
  if (!node.subgraphs.empty()) GuardBodies(builder, on, node);
}

}  // namespace rlx::passes
