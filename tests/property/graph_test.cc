// SPDX-License-Identifier: Apache-2.0
// What holds for any graph: the text form is exact, renumbering and decomposition keep the meaning,
// binding in two steps is binding at once. Also that the random graphs are worth the name.
#include <gtest/gtest.h>

#include <set>

#include "runtime/ir/all_nodes.h"
#include "runtime/ir/verify.h"
#include "tests/support/graphs.h"
#include "tests/support/property.h"
#include "tests/support/random_graph.h"
#include "tests/support/same_results.h"

namespace rlx {
namespace {

using test::ForEachRandomGraph;

constexpr int kGraphs = 150;

TEST(RandomGraphs, AreReproducibleAndCoverTheOps) {
  std::set<OpKind> seen;
  int shared = 0, dead = 0, several_outputs = 0;
  ForEachRandomGraph(kGraphs, {}, [&](const Graph& graph, Rng&) {
    const Uses uses(graph);
    for (NodeId id = 0; id < graph.size(); ++id) {
      seen.insert(graph.node(id).op);
      const int count = uses.Count({id, 0});
      shared += count > 1;
      dead += count == 0;
    }
    several_outputs += graph.outputs().size() > 1;
  });
  EXPECT_EQ(Print(test::RandomGraph(7)), Print(test::RandomGraph(7)));
  EXPECT_NE(Print(test::RandomGraph(7)), Print(test::RandomGraph(8)));
  EXPECT_GT(shared, kGraphs);
  EXPECT_GT(dead, kGraphs / 2);
  EXPECT_GT(several_outputs, kGraphs / 4);
  EXPECT_GE(seen.size(), 45u);
}

TEST(RandomGraphs, EvaluateToModestNumbers) {
  ForEachRandomGraph(kGraphs, {}, [](const Graph& graph, Rng& rng) {
    const auto results = Evaluate(graph, test::RandomInputs(graph, rng()));
    ASSERT_TRUE(results.ok()) << Message(results.status());
    for (const EvalTensor& result : *results)
      for (double value : result.f) ASSERT_LT(std::abs(value), 100);
  });
}

// What a failing property shows is as small as its cause.
TEST(RandomGraphs, ShrinkToWhatMatters) {
  const auto has = [](const Graph& graph, OpKind op) {
    return std::ranges::any_of(graph.nodes(), [&](const Node& node) { return node.op == op; });
  };
  int shrunk = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Graph graph = test::RandomGraph(seed, {.steps = 24});
    ASSERT_TRUE(graph.Normalize().ok());
    const auto fails = [&](const Graph& g) {
      return has(g, OpKind::kSoftmax) && has(g, OpKind::kMatMul);
    };
    if (!fails(graph)) continue;
    const Graph small = test::Shrink(graph, fails);
    EXPECT_TRUE(fails(small));
    EXPECT_TRUE(VerifyGraph(small).ok());
    EXPECT_LE(small.size(), 9) << Print(small);  // two ops, their inputs, and one way between them
    ++shrunk;
  }
  EXPECT_GT(shrunk, 5);
}

// Whether a body of control flow computes something by this op.
bool InABody(const Graph& graph, OpKind op, bool inside = false) {
  Graph lean = graph;
  EXPECT_TRUE(lean.Normalize().ok());
  return std::ranges::any_of(lean.nodes(), [&](const Node& node) {
    const bool control = Info(node.op).op_class == OpClass::kControlFlow;
    return (inside && node.op == op) ||
           (control && std::ranges::any_of(node.subgraphs, [&](const auto& body) {
              return InABody(*body, op, true);
            }));
  });
}

int64_t CountOps(const Graph& graph) {
  return std::ranges::count_if(AllNodes(graph),
                               [](const PlacedNode& placed) { return !IsLeaf(placed.node().op); });
}

// In bodies too, however deep: the op, what holds it, and what these cannot do without.
TEST(RandomGraphs, ShrinkWithinBodies) {
  int shrunk = 0;
  for (uint64_t seed = 1; seed <= 16; ++seed) {
    Graph graph = test::RandomGraph(seed, {.steps = 12, .loops = true});
    ASSERT_TRUE(graph.Normalize().ok());
    const auto fails = [](const Graph& g) { return InABody(g, OpKind::kMatMul); };
    if (!fails(graph)) continue;
    const Graph small = test::Shrink(graph, fails);
    EXPECT_TRUE(fails(small));
    EXPECT_TRUE(VerifyGraph(small).ok());
    EXPECT_LE(CountOps(small), 9) << Print(small);
    ++shrunk;
  }
  EXPECT_GT(shrunk, 3);
}

// Bodies are drawn with what else is drawn, and each kind of control flow within each.
TEST(RandomGraphs, NestControlFlow) {
  std::set<std::pair<OpKind, OpKind>> nested;
  std::set<OpKind> inside;
  ForEachRandomGraph(kGraphs, {.steps = 12, .loops = true}, [&](const Graph& graph, Rng& rng) {
    const std::vector<PlacedNode> all = AllNodes(graph);
    for (const PlacedNode& placed : all) {
      if (placed.holder < 0) continue;
      const OpKind holder = all[static_cast<size_t>(placed.holder)].node().op;
      inside.insert(placed.node().op);
      if (Info(placed.node().op).op_class == OpClass::kControlFlow)
        nested.emplace(holder, placed.node().op);
    }
    const auto results = Evaluate(graph, test::RandomInputs(graph, rng()));
    EXPECT_TRUE(results.ok()) << Message(results.status());
  });
  EXPECT_EQ(nested.size(), 9u);
  EXPECT_GE(inside.size(), 40u);
}

TEST(AnyGraph, RoundTripsAsText) {
  const test::RandomGraphOptions kinds[] = {{}, {.symbolic = true}, {.steps = 8, .loops = true}};
  for (const test::RandomGraphOptions& options : kinds) {
    ForEachRandomGraph(kGraphs, options, [](const Graph& graph, Rng&) {
      const std::string text = Print(graph);
      const auto parsed = ParseModule(text);
      ASSERT_TRUE(parsed.ok()) << Message(parsed.status());
      EXPECT_EQ(Print(*parsed), text);
      const absl::Status sound = Verify(*parsed);
      EXPECT_TRUE(sound.ok()) << Message(sound);
    });
  }
}

TEST(AnyGraph, NormalizeKeepsItsMeaning) {
  ForEachRandomGraph(kGraphs, {}, [](const Graph& graph, Rng& rng) {
    Graph lean = graph;
    ASSERT_TRUE(lean.Normalize().ok());
    EXPECT_TRUE(VerifyGraph(lean).ok());
    EXPECT_TRUE(test::SameResults(graph, lean, rng(), 0));
    const std::string once = Print(lean);
    ASSERT_TRUE(lean.Normalize().ok());
    EXPECT_EQ(Print(lean), once);
  });
}

TEST(AnyGraph, DecompositionKeepsItsMeaning) {
  ForEachRandomGraph(kGraphs, {}, [](const Graph& graph, Rng& rng) {
    const uint64_t seed = rng();
    for (NodeId id = 0; id < graph.size(); ++id) {
      if (Info(graph.node(id).op).decompose == nullptr) continue;
      const auto decomposed = test::Decompose(graph, id);
      ASSERT_TRUE(decomposed.ok()) << Message(decomposed.status());
      const absl::Status sound = VerifyGraph(*decomposed);
      EXPECT_TRUE(sound.ok()) << NodeLabel(graph, id) << ": " << Message(sound);
      EXPECT_TRUE(test::SameResults(graph, *decomposed, seed)) << NodeLabel(graph, id);
    }
  });
}

TEST(AnyGraph, BindsAtOnceAsInSteps) {
  ForEachRandomGraph(kGraphs, {.symbolic = true}, [](const Graph& graph, Rng& rng) {
    const DimBinding binding = test::RandomBinding(graph, rng);
    const auto at_once = BindSymbols(graph, binding);
    ASSERT_TRUE(at_once.ok()) << Message(at_once.status());
    EXPECT_TRUE(VerifyGraph(*at_once).ok());
    EXPECT_TRUE(CheckConstraints(graph.constraints, binding).ok());
    const auto first = BindSymbols(graph, {*binding.begin()});
    ASSERT_TRUE(first.ok()) << Message(first.status());
    const auto then = BindSymbols(*first, binding);
    ASSERT_TRUE(then.ok()) << Message(then.status());
    EXPECT_EQ(Print(*then), Print(*at_once));
    EXPECT_TRUE(Evaluate(*at_once, test::RandomInputs(*at_once, rng())).ok());
  });
}

}  // namespace
}  // namespace rlx
