// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "runtime/base/text.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   x ──┬── matmul(·, w1)        =>   y = matmul(x, concat(w1, w2, w3))
//       ├── matmul(·, w2)             narrow(y), narrow(y), narrow(y)
//       └── matmul(·, w3)
// and the same for fused_matmul_bias_act with equal activations, whose biases are joined alike; one
// that lacks a bias gets zeros. Joining depends on weights alone, so it is done once, when they are
// bound.
namespace rlx::passes {
namespace {

constexpr Rule kRule("shared_input_matmul");

// Products that may be merged have one key: what they read and what they apply.
using Key = std::pair<Value, std::string>;  // x, activation

struct Member {
  NodeId id;
  Value w, bias;
  int64_t n;
};

std::optional<std::pair<Key, Member>> AsMember(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const bool fused = node.op == OpKind::kFusedMatMulBiasAct;
  if (node.op != OpKind::kMatMul && !fused) return std::nullopt;
  if (fused && node.Bool("has_residual")) return std::nullopt;
  const TensorType& w = graph.type(node.operands[1]);
  if (w.rank() != 2 || !w.shape.back().is_static()) return std::nullopt;
  const bool bias = fused && node.Bool("has_bias");
  return std::pair{
      Key{node.operands[0], fused ? node.Str("activation") : "none"},
      Member{id, node.operands[1], bias ? node.operands[2] : Value{}, w.shape.back().value()}};
}

Value EmitMerged(GraphBuilder& b, const Key& key, const std::vector<Member>& members) {
  const auto& [x, activation] = key;
  const bool has_bias =
      std::ranges::any_of(members, [](const Member& member) { return member.bias.valid(); });
  std::vector<Value> weights, biases;
  for (const Member& member : members) {
    weights.push_back(member.w);
    if (!has_bias) continue;
    biases.push_back(member.bias.valid()
                         ? member.bias
                         : b.Expand(b.Scalar(b.type(member.w).dtype, 0), {Dim(member.n)}));
  }
  const Value w = b.Concat(std::move(weights), 1);
  if (!has_bias && activation == "none") return b.MatMul(x, w);
  std::vector<Value> operands = {x, w};
  if (has_bias) operands.push_back(b.Concat(std::move(biases), 0));
  return b.Emit(OpKind::kFusedMatMulBiasAct, std::move(operands),
                {{"has_bias", has_bias}, {"activation", activation}});
}

void Merge(Graph& graph, PassContext& context, Rewriter& rewriter, const Key& key,
           const std::vector<Member>& members) {
  std::vector<NodeId> nodes;
  for (const Member& member : members) nodes.push_back(member.id);
  const std::string names =
      Join(nodes, ", ", [&](std::string& out, NodeId id) { out += Label(graph, id); });
  const int64_t fewer = static_cast<int64_t>(members.size()) - 1;
  Applied(context, kRule, graph, nodes, Cat(names, " become one product"),
          {.launches = fewer, .bytes = fewer * (RoundTripBytes(graph, {key.first}) / 2)});
  GraphBuilder& b = rewriter.For(nodes);
  const Value merged = EmitMerged(b, key, members);
  int64_t start = 0;
  for (const Member& member : members) {
    const Value part = b.Narrow(merged, b.type(merged).rank() - 1, start, member.n);
    if (!part.valid()) return;
    rewriter.Replace({member.id, 0}, part);
    start += member.n;
  }
}

// Products that stay beside others of their input.
void Note(Graph& graph, PassContext& context, const std::vector<Member>& members) {
  for (const Member& member : members) {
    Missed(context, kRule, Reason::kWeightNotConstant, graph, member.id,
           Cat(Label(graph, member.id), " is by ", Label(graph, member.w.node),
               ", which is no weight"));
  }
}

}  // namespace

absl::Status FuseSharedInputMatMul(Graph& graph, PassContext& context) {
  Rewriter rewriter(graph, context);
  const std::vector<bool> fixed = WeightOnly(graph);
  std::map<Key, std::vector<Member>> groups, arriving;
  for (NodeId id = 0; id < rewriter.size(); ++id) {
    const auto member = AsMember(graph, id);
    if (!member || fixed[member->first.first.node]) continue;
    const Member& m = member->second;
    const bool weights = fixed[m.w.node] && (!m.bias.valid() || fixed[m.bias.node]);
    (weights ? groups : arriving)[member->first].push_back(m);
  }
  for (const auto& [key, members] : groups) {
    if (members.size() > 1) Merge(graph, context, rewriter, key, members);
  }
  for (const auto& [key, members] : arriving) {
    if (members.size() > 1 || groups.count(key) > 0) Note(graph, context, members);
  }
  return rewriter.Finish();
}

extern const Pass kFuseSharedInputMatMulPass = {
    .name = "fuse_shared_input_matmul",
    .run = FuseSharedInputMatMul,
    .needs = {OpKind::kMatMul, OpKind::kFusedMatMulBiasAct},
    .gate = "MatMul",
    .fusion = true,
    .after = "fuse_matmul_bias_act",
    .why = "After each product has its bias, before the halves of one product are looked for",
};

}  // namespace rlx::passes
