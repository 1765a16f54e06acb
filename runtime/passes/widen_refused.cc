// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   op(x : f16) : f16   =>   cast(op(cast(x) : f32) : f32) : f16
//
// for each node of 8- or 16-bit floats that the back end refuses as it stands but runs in f32: one
// rounding at the end, as the tolerance of narrow results allows.
namespace rlx::passes {
namespace {

bool MayWiden(const Graph& graph, const Node& node) {
  if (IsLeaf(node.op) || !node.subgraphs.empty() || node.op == OpKind::kCast) return false;
  return std::ranges::any_of(node.operands,
                             [&](Value v) { return IsNarrowFloat(graph.type(v).dtype); });
}

// The node alone on wide inputs, to ask the back end about.
std::optional<Graph> Alone(const Graph& graph, const Node& node) {
  Graph alone;
  GraphBuilder b(alone);
  std::vector<Value> operands;
  for (Value v : node.operands) {
    TensorType type = graph.type(v);
    if (IsNarrowFloat(type.dtype)) type.dtype = DType::kF32;
    operands.push_back(b.Input(Cat("x", operands.size()), std::move(type)));
  }
  b.EmitAll(node.op, std::move(operands), node.attrs);
  if (!b.status().ok()) return std::nullopt;
  return alone;
}

// A copy of the node: the graph grows.
void Widen(Rewriter& rewriter, NodeId id, Node node) {
  GraphBuilder& b = rewriter.For({id});
  std::vector<Value> operands;
  for (Value v : node.operands)
    operands.push_back(IsNarrowFloat(b.type(v).dtype) ? b.Cast(v, DType::kF32) : v);
  const std::vector<Value> made = b.EmitAll(node.op, std::move(operands), node.attrs);
  for (size_t r = 0; r < made.size() && b.status().ok(); ++r) {
    const DType want = node.results[r].dtype;
    const Value out = b.type(made[r]).dtype == want ? made[r] : b.Cast(made[r], want);
    if (out.valid()) rewriter.Replace({id, static_cast<int32_t>(r)}, out);
  }
}

}  // namespace

absl::Status WidenRefused(Graph& graph, PassContext& context) {
  if (!context.runs || context.keep_unclaimed) return absl::OkStatus();
  Rewriter rewriter(graph, context);
  for (NodeId id = 0; id < rewriter.size(); ++id) {
    const Node& node = graph.node(id);
    if (!MayWiden(graph, node) || !IsStatic(graph, node)) continue;
    if (context.native.count(std::string(Info(node.op).claim)) > 0) continue;
    if (context.runs(graph, id)) continue;
    const std::optional<Graph> alone = Alone(graph, node);
    if (!alone || !context.runs(*alone, alone->size() - 1)) continue;
    Applied(context, kDecomposeRule, graph, {id}, Cat(Label(graph, id), " is computed in f32"));
    Widen(rewriter, id, graph.node(id));
  }
  return rewriter.Finish();
}

extern const Pass kWidenRefusedPass = {
    .name = "widen_refused",
    .run = WidenRefused,
    .after = "lower_reduce_axes",
    .why = "Before what is refused is taken apart: narrow floats that the back end computes in f32",
};

}  // namespace rlx::passes
