// SPDX-License-Identifier: Apache-2.0
#include "tests/support/random_graph.h"

#include "runtime/base/check.h"
#include "runtime/ir/verify.h"
#include "tests/support/random_draft.h"

namespace rlx::test {
namespace {

void Begin(Draft& g, Graph& graph) {
  const bool symbolic = g.options.symbolic;
  const Dim batch = symbolic ? Dim::Symbol(kBatch) : Dim(g.Draw(1, 3));
  const Dim seq = symbolic ? Dim::Symbol(kSeq) : Dim(g.Draw(2, 6));
  if (symbolic) graph.symbols = {{"batch", {2, 4}}, {"seq", {2, 7}}};
  const int64_t hidden = g.Pick<int64_t>({4, 8, 12, 16});
  g.pool.push_back({g.Input({batch, seq, hidden}), 1});
  g.leaves.push_back(g.pool.back().value);
  if (g.Flip()) g.pool.push_back({g.Input({batch, seq, hidden}), 1});
  if (g.Flip()) g.pool.push_back({g.Input({seq, g.Draw(2, 9)}), 1});
  g.leaves.push_back(g.pool.back().value);
}

// A state that one output is the next of: read before that alone.
void Donate(Draft& g, Graph& graph, int& outputs) {
  const Draft::Item item = g.Any();
  const Value state = g.Input(g.b.type(item.value));
  const auto input = static_cast<int>(graph.inputs().size()) - 1;
  if (g.Flip()) g.b.Output(Cat("y", outputs++), g.b.Unary(OpKind::kTanh, state));
  const Value next =
      g.Flip() ? g.b.Add(state, item.value) : g.b.Mul(g.b.Unary(OpKind::kTanh, item.value), state);
  graph.aliases.push_back({input, outputs});
  g.b.Output(Cat("y", outputs++), next);
}

void End(Draft& g, Graph& graph) {
  int outputs = 0;
  g.b.Output(Cat("y", outputs++), g.pool.back().value);
  for (int64_t more = g.Draw(0, 3); more > 0; --more)
    g.b.Output(Cat("y", outputs++), g.Any().value);
  for (Value value : g.extra_outputs) g.b.Output(Cat("y", outputs++), value);
  for (int64_t states = g.options.aliases ? g.Draw(-1, 2) : 0; states > 0; --states) {
    Donate(g, graph, outputs);
  }
}

}  // namespace

void AnyStep(Draft& g) {
  const auto run = [&](std::span<const DraftStep> steps) {
    steps[static_cast<size_t>(g.Draw(0, static_cast<int64_t>(steps.size()) - 1))](g);
  };
  if (g.options.exported && g.Flip()) return run(ExportedSteps());
  if (g.options.codes && g.Flip()) return QuantizedStep(g);
  if (g.options.loops && g.Draw(0, 3) == 0) return ControlFlowStep(g);
  const int64_t kind = g.Draw(0, 13);
  if (g.options.idioms && kind < 4)
    run(IdiomSteps());
  else if (kind == 4 && g.options.control_flow)
    IfStep(g);
  else if (kind == 5 && g.options.composites)
    run(CompositeSteps());
  else if (kind == 6 && g.options.casts && g.Flip())
    CastStep(g);
  else if (kind == 7 && g.options.idioms && g.Flip())
    run(BlockSteps());
  else if (kind == 8 && g.options.table)
    TableStep(g);
  else if (kind == 9 && g.options.idioms && g.Flip())
    QuantizedStep(g);
  else if (kind == 10 && g.options.integers)
    IntegerStep(g);
  else if (kind == 11 && g.options.composites && g.Flip())
    CustomStep(g);
  else
    run(PlainSteps());
}

Graph RandomGraph(uint64_t seed, const RandomGraphOptions& options) {
  Graph graph;
  graph.name = "random";
  Draft draft(graph, seed, options);
  Begin(draft, graph);
  for (int step = 0; step < options.steps; ++step) AnyStep(draft);
  End(draft, graph);
  CHECK(draft.b.status().ok(), Message(draft.b.status()));
  const absl::Status sound = VerifyGraph(graph);
  CHECK(sound.ok(), "seed ", seed, ": ", Message(sound), "\n", Print(graph));
  return graph;
}

DimBinding RandomBinding(const Graph& graph, Rng& rng) {
  DimBinding binding;
  for (const auto& [name, range] : graph.symbols)
    binding[name] =
        range.min + static_cast<int64_t>(rng() % static_cast<uint64_t>(range.max - range.min + 1));
  return binding;
}

}  // namespace rlx::test
