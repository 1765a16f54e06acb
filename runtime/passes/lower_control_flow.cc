// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/guard.h"
#include "runtime/passes/inline.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   if(p, captures..) { then } { else }   =>   where(p, then(captures..), else(captures..))
//
//   while(c.., captures..) { holds } { body }, at most n times   =>   n times
//     on = on ∧ holds(c..);  c = where(on, body(c..), c)
//
//   scan(c.., captures.., xs..) { body } of n steps   =>   n times
//     c.., ys[t].. = body(c.., captures.., xs[t]..);  then concat(ys)
//
// Whatever is computed although the module does not ask for it (the other branch, turns behind the
// end) may hold any numbers, but fails no run: an index, say, is 0 there (guard.h).
//
// for targets that do not run them. A loop is written out when its length is known and that makes
// kMostNodes nodes at most, loops inside it counted, and kMostInAll with those before it; a longer
// one stays, and the dispatch report says so.
//
// A target that runs them gets them as they are, but for the small: kFewNodes nodes are no more
// work than the steps of a loop, and fuse with what is around them, where they are elementwise or
// move elements and cannot fail. Nesting beyond kDeepest levels is written out too.
namespace rlx::passes {
namespace {

constexpr Rule kRule("control_flow");

using Values = std::vector<Value>;

constexpr int64_t kMostNodes = 20'000, kMostInAll = 100'000;
constexpr int64_t kFewNodes = 64;
constexpr int kDeepest = 16;  // a stored program may nest twice as deep

// Copies of the node: the graph grows.
void LowerIf(Rewriter& rewriter, NodeId id, Node node) {
  GraphBuilder& b = rewriter.For({id});
  const Values captures(node.operands.begin() + 1, node.operands.end());
  const Value holds = node.operands[0];
  const Value not_holds =
      MayFail(*node.subgraphs[1]) ? b.Unary(OpKind::kLogicalNot, holds) : Value();
  const Values yes = Inline(b, *node.subgraphs[0], captures, holds);
  const Values no = Inline(b, *node.subgraphs[1], captures, not_holds);
  if (!b.status().ok()) return;
  for (size_t r = 0; r < node.results.size(); ++r) {
    const Value taken = b.Where(holds, yes[r], no[r]);
    if (taken.valid()) rewriter.Replace({id, static_cast<int32_t>(r)}, taken);
  }
}

void LowerWhile(Rewriter& rewriter, NodeId id, Node node) {
  GraphBuilder& b = rewriter.For({id});
  const size_t carries = node.results.size();
  Values inputs = node.operands;
  Value on;
  for (int64_t step = 0; step < node.Int("max_iterations") && b.status().ok(); ++step) {
    const Values holds = Inline(b, *node.subgraphs[0], inputs, on);
    if (!b.status().ok()) return;
    on = on.valid() ? b.Emit(OpKind::kLogicalAnd, {on, holds[0]}) : holds[0];
    const Values next = Inline(b, *node.subgraphs[1], inputs, on);
    if (!b.status().ok()) return;
    for (size_t i = 0; i < carries; ++i) inputs[i] = b.Where(on, next[i], inputs[i]);
  }
  for (size_t r = 0; r < carries && b.status().ok(); ++r)
    rewriter.Replace({id, static_cast<int32_t>(r)}, inputs[r]);
}

Value Slice(GraphBuilder& b, Value x, int64_t t) {
  if (!b.status().ok()) return {};
  const Shape shape = b.type(x).shape;
  return b.Reshape(b.Narrow(x, 0, t, 1), Shape(shape.begin() + 1, shape.end()));
}

Value Stack(GraphBuilder& b, Values slices) {
  for (Value& slice : slices) {
    if (!b.status().ok()) return {};
    Shape shape = b.type(slice).shape;
    shape.insert(shape.begin(), Dim(1));
    slice = b.Reshape(slice, std::move(shape));
  }
  return slices.size() == 1 ? slices[0] : b.Concat(std::move(slices), 0);
}

void LowerScan(Rewriter& rewriter, NodeId id, Node node) {
  GraphBuilder& b = rewriter.For({id});
  const auto carries = static_cast<size_t>(node.Int("carries"));
  const size_t first = node.operands.size() - static_cast<size_t>(node.Int("sequences"));
  Values inputs = node.operands;
  std::vector<Values> stacks(node.results.size() - carries);
  for (int64_t t = 0; t < node.Dims("length")[0].value() && b.status().ok(); ++t) {
    for (size_t i = first; i < inputs.size(); ++i) inputs[i] = Slice(b, node.operands[i], t);
    const Values made = Inline(b, *node.subgraphs[0], inputs);
    if (!b.status().ok()) return;
    std::copy_n(made.begin(), carries, inputs.begin());
    for (size_t s = 0; s < stacks.size(); ++s) stacks[s].push_back(made[carries + s]);
  }
  for (size_t r = 0; r < node.results.size() && b.status().ok(); ++r)
    rewriter.Replace({id, static_cast<int32_t>(r)},
                     r < carries ? inputs[r] : Stack(b, std::move(stacks[r - carries])));
}

struct Lowering {
  OpKind kind;
  void (*lower)(Rewriter&, NodeId, Node);
  std::string_view remark;
};
constexpr Lowering kLowerings[] = {
    {OpKind::kIf, LowerIf, "computes both branches"},
    {OpKind::kWhile, LowerWhile, "is written out to its bound"},
    {OpKind::kScan, LowerScan, "is written out"},
};

// How often the bodies are written; -1 when only a binding can tell.
int64_t Copies(const Node& node) {
  if (node.op == OpKind::kWhile) return node.Int("max_iterations");
  if (node.op != OpKind::kScan) return 1;
  const Dim& length = node.Dims("length")[0];
  return length.is_static() ? length.value() : -1;
}

// A node, and a safe value and a choice for each of its checks.
int64_t WithGuards(const Node& node) {
  return 1 + 2 * static_cast<int64_t>(Info(node.op).checks.size());
}

// Nodes that it becomes once it and all loops inside it are written out; above kMostNodes: too
// many.
int64_t Written(const Node& node) {
  int64_t nodes = 1;
  for (const auto& graph : node.subgraphs) {
    for (const Node& inner : graph->nodes()) {
      const int64_t more = inner.subgraphs.empty() ? WithGuards(inner) : Written(inner);
      nodes = std::min(nodes + more, kMostNodes + 1);
    }
  }
  const int64_t copies = std::max<int64_t>(1, Copies(node));
  return copies > kMostNodes / nodes ? kMostNodes + 1 : copies * nodes;
}

// The part of that which this node alone makes: loops inside it count for one.
int64_t Own(const Node& node) {
  int64_t nodes = 1;
  for (const auto& graph : node.subgraphs) {
    for (const Node& inner : graph->nodes()) nodes += WithGuards(inner);
  }
  return Copies(node) * nodes;
}

// Levels of graphs within the node, regions counted; those beyond `most` are not looked at.
int Depth(const Node& node, int most) {
  int deepest = 0;
  if (most < 0) return deepest;
  for (const auto& graph : node.subgraphs) {
    for (const Node& inner : graph->nodes()) deepest = std::max(deepest, Depth(inner, most - 1));
  }
  return node.subgraphs.empty() ? 0 : deepest + 1;
}

// Whether nothing that the bodies compute can fail or cost much.
bool IsHarmless(const Node& node) {
  return std::ranges::all_of(node.subgraphs, [](const auto& graph) {
    return std::ranges::all_of(graph->nodes(), [](const Node& inner) {
      const bool moves = Info(inner.op).op_class == OpClass::kMovement;
      return (IsLeaf(inner.op) || IsPointwise(inner.op) || moves) && !MayFail(inner);
    });
  });
}

// Whether the target runs the node, and had better do.
bool Stays(const PassContext& context, const Node& node) {
  const std::string claim(Info(node.op).claim);
  if (context.native.count(claim) > 0) return true;
  if (!context.Accepts(claim) || Depth(node, kDeepest) > kDeepest) return false;
  const bool few = Copies(node) > 0 && Written(node) <= kFewNodes;
  return !few || (node.op != OpKind::kScan && !IsHarmless(node));
}

const Lowering* Wanted(const PassContext& context, const Node& node, int64_t left) {
  for (const Lowering& lowering : kLowerings) {
    if (lowering.kind != node.op || Stays(context, node)) continue;
    // Nodes cannot fail a run because a loop has not ended.
    if (node.op == OpKind::kWhile && node.Bool("must_end")) return nullptr;
    const int64_t copies = Copies(node);
    const bool small = copies == 1 || (copies > 0 && Written(node) <= std::min(left, kMostNodes));
    return small ? &lowering : nullptr;
  }
  return nullptr;
}

}  // namespace

absl::Status LowerControlFlow(Graph& graph, PassContext& context) {
  bool changed = false;
  int64_t left = kMostInAll;
  // A branch may hold another `if`: one round for each level of nesting.
  for (context.changed = true; context.changed;) {
    context.changed = false;
    Rewriter rewriter(graph, context);
    for (NodeId id = 0; id < rewriter.size(); ++id) {
      const Lowering* lowering = Wanted(context, graph.node(id), left);
      if (lowering == nullptr) continue;
      if (Copies(graph.node(id)) > 1) left -= Own(graph.node(id));
      Applied(context, kRule, graph, {id}, Cat(Label(graph, id), " ", lowering->remark));
      lowering->lower(rewriter, id, graph.node(id));
    }
    RLX_TRY(rewriter.Finish());
    changed |= context.changed;
  }
  context.changed = changed;
  return absl::OkStatus();
}

extern const Pass kLowerControlFlowPass = {
    .name = "lower_control_flow",
    .run = LowerControlFlow,
    .needs = {OpKind::kIf, OpKind::kWhile, OpKind::kScan},
    .after = "inline_custom",
    .why = "Before anything that looks for patterns: branches become ordinary nodes",
};

}  // namespace rlx::passes
