// SPDX-License-Identifier: Apache-2.0
// Branches and loops whose bodies are drawn of the same steps as the graph around them, up to two
// deep. What a body reads from outside it captures. Counters and inputs alone decide who runs and
// for how long, so that rounding decides nothing; every index is in range, so that nothing fails.
#include "runtime/base/check.h"
#include "tests/support/random_draft.h"

namespace rlx::test {
namespace {

constexpr int kDeepest = 2;
const TensorType kCounter{DType::kI64, {}};

// A value that a body changes: bounded by 1, as what it becomes is.
Value Carried(Draft& g) {
  const auto [x, bound] = g.Any();
  return bound > 1 ? g.b.Unary(OpKind::kTanh, x) : x;
}

Value Decision(Draft& g) {
  if (g.counters.empty() || g.Flip()) return g.Input(TensorType{DType::kBool, {}});
  return g.b.Emit(OpKind::kLt, {g.counters.back(), g.b.Scalar(DType::kI64, g.Draw(0, 4))});
}

Value Start(Draft& g) {
  if (!g.counters.empty() && g.Flip()) return g.counters.back();
  return g.Flip() ? g.Input(kCounter) : g.b.Scalar(DType::kI64, g.Draw(0, 2));
}

// Into the pool what the op gives the body, and something from outside; then steps.
void DrawBody(Draft& in, const std::vector<Value>& given) {
  for (Value leaf : in.outer->leaves) in.leaves.push_back(in.Capture(leaf));
  in.pool.push_back({in.leaves.front(), 1});
  for (int64_t more = in.Draw(0, 2); more > 0; --more) {
    const Draft::Item item = in.outer->Any();
    in.pool.push_back({in.Capture(item.value), item.bound});
  }
  for (Value v : given) in.pool.push_back({v, 1});
  for (int64_t steps = in.Draw(0, 4); steps > 0; --steps) AnyStep(in);
}

// What the steps have made of a value, of its type and bounded by 1.
Value Next(Draft& in, Value v) {
  Draft::Item made = in.Any();
  if (in.b.type(made.value) != in.b.type(v)) {
    const bool scalar = in.b.type(made.value).rank() == 0;
    const Value mean =
        scalar ? made.value : in.b.Reduce(OpKind::kReduceMean, made.value, {}, false);
    made = {in.b.Add(v, mean), made.bound + 1};
  }
  return made.bound > 1 ? in.b.Unary(OpKind::kTanh, made.value) : made.value;
}

std::shared_ptr<const Graph> Finish(Graph graph, const GraphBuilder& b) {
  CHECK(b.status().ok(), Message(b.status()));
  return std::make_shared<const Graph>(std::move(graph));
}

// `graph` with these nodes first.
Graph Reordered(const Graph& graph, const std::vector<NodeId>& first) {
  Graph out;
  out.constraints = graph.constraints;
  std::vector<NodeId> now(graph.size(), -1);
  const auto add = [&](NodeId id) {
    Node node = graph.node(id);
    for (Value& v : node.operands) v.node = now[v.node];
    now[id] = out.Add(std::move(node));
  };
  for (NodeId id : first) add(id);
  for (NodeId id = 0; id < graph.size(); ++id)
    if (now[id] < 0) add(id);
  for (const Output& output : graph.outputs())
    out.AddOutput(output.name, {now[output.value.node], output.value.result});
  return out;
}

std::vector<Value> Joined(std::vector<Value> a, const std::vector<Value>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Both branches make a next value of one or two others. Each is given what the other captures too.
void BranchStep(Draft& g) {
  const Value decision = Decision(g);
  std::vector<Value> changed = {Carried(g)};
  if (g.Flip()) changed.push_back(Carried(g));
  Graph yes_graph, no_graph;
  Draft yes(yes_graph, g), no(no_graph, g);
  const auto draw = [&](Draft& in) {
    std::vector<Value> given;
    for (Value v : changed) given.push_back(in.Capture(v));
    DrawBody(in, given);
    for (Value v : given) in.b.Output("", Next(in, v));
  };
  draw(yes);
  for (Value v : yes.captured) no.b.Input("", g.b.type(v));
  draw(no);
  for (Value v : no.captured) yes.b.Input("", g.b.type(v));
  const std::vector<Value> captured = Joined(yes.captured, no.captured);
  for (Value made : g.b.EmitAll(OpKind::kIf, Joined({decision}, captured), {},
                                {Finish(yes_graph, yes.b), Finish(no_graph, no.b)}))
    g.Keep(made, 1);
}

// While a counter is low, and perhaps a flag up. One carry may be what another was a turn ago.
void WhileStep(Draft& g) {
  const Value x = Carried(g), i = Start(g);
  const bool delayed = g.Flip();
  std::vector<Value> carries = {i, x};
  if (delayed) carries.push_back(x);
  Graph body, condition;
  Draft in(body, g);
  const Value at = in.b.Input("", kCounter), state = in.b.Input("", g.b.type(x));
  std::vector<Value> given = {state};
  if (delayed) given.push_back(in.b.Input("", g.b.type(x)));
  in.counters.push_back(at);
  if (g.Flip()) in.Capture(g.Input(TensorType{DType::kBool, {}}));
  const bool flag = !in.captured.empty();
  DrawBody(in, given);
  in.b.Output("", in.b.Add(at, in.b.Scalar(DType::kI64, g.Draw(1, 2))));
  in.b.Output("", Next(in, state));
  if (delayed) in.b.Output("", state);
  const std::vector<Value> operands = Joined(carries, in.captured);
  GraphBuilder c(condition);
  std::vector<Value> known;
  for (Value v : operands) known.push_back(c.Input("", g.b.type(v)));
  const int64_t limit = g.Draw(0, 4), most = g.Draw(1, 5);
  const Value low = c.Emit(OpKind::kLt, {known[0], c.Scalar(DType::kI64, limit)});
  c.Output("", flag ? c.Emit(OpKind::kLogicalAnd, {low, known[carries.size()]}) : low);
  const auto made = g.b.EmitAll(OpKind::kWhile, operands,
                                {{"carries", static_cast<int64_t>(carries.size())},
                                 {"max_iterations", most},
                                 {"must_end", most >= limit && g.Draw(0, 3) == 0}},
                                {Finish(condition, c), Finish(body, in.b)});
  if (!made.empty()) g.extra_outputs.push_back(made[0]);
  for (size_t r = 1; r < made.size(); ++r) g.Keep(made[r], 1);
}

// Over slices of a value, or as often as drawn. What is stacked may be of any type.
void ScanStep(Draft& g) {
  const auto item = g.AnyOfRank(1);
  std::vector<Value> sequences, carries;
  if (item) sequences.assign(static_cast<size_t>(g.Draw(0, 2)), item->value);
  for (int64_t n = g.Draw(0, 2); n > 0; --n) carries.push_back(Carried(g));
  const Dim length = sequences.empty() ? Dim(g.Draw(1, 4)) : g.ShapeOf(item->value)[0];
  Graph graph;
  Draft in(graph, g);
  std::vector<Value> states, slices;
  for (Value v : carries) states.push_back(in.b.Input("", g.b.type(v)));
  for (Value v : sequences) {
    TensorType slice = g.b.type(v);
    slice.shape.erase(slice.shape.begin());
    slices.push_back(in.b.Input("", slice));
    if (item->bound > 1) slices.back() = in.b.Unary(OpKind::kTanh, slices.back());
  }
  DrawBody(in, Joined(states, slices));
  for (Value v : states) in.b.Output("", Next(in, v));
  std::vector<double> bounds;  // of what is stacked
  for (int64_t stacks = g.Draw(carries.empty() ? 1 : 0, 2); stacks > 0; --stacks) {
    const Draft::Item made = in.Any();
    in.b.Output("", made.value);
    bounds.push_back(made.bound);
  }
  for (Value v : in.extra_outputs) in.b.Output("", v);
  // The slices come after what is captured.
  std::vector<NodeId> order = graph.inputs();
  const auto first = order.begin() + static_cast<int64_t>(states.size());
  std::rotate(first, first + static_cast<int64_t>(slices.size()), order.end());
  const auto made = g.b.EmitAll(OpKind::kScan, Joined(Joined(carries, in.captured), sequences),
                                {{"carries", static_cast<int64_t>(carries.size())},
                                 {"sequences", static_cast<int64_t>(sequences.size())},
                                 {"length", Shape{length}}},
                                {Finish(Reordered(graph, order), in.b)});
  bounds.insert(bounds.begin(), carries.size(), 1);
  for (size_t r = 0; r < made.size(); ++r) {
    if (r < bounds.size() && g.b.type(made[r]).rank() <= 3)
      g.Keep(made[r], bounds[r]);
    else
      g.extra_outputs.push_back(made[r]);
  }
}

}  // namespace

void ControlFlowStep(Draft& g) {
  if (g.depth == kDeepest) return;
  switch (g.Draw(0, 2)) {
    case 0:
      return BranchStep(g);
    case 1:
      return WhileStep(g);
    default:
      return ScanStep(g);
  }
}

}  // namespace rlx::test
