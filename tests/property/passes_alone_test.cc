// SPDX-License-Identifier: Apache-2.0
// Each pass alone on random graphs: the result verifies, keeps its signature and computes the same.
#include "runtime/ir/verify.h"
#include "runtime/stages/pipeline.h"
#include "tests/support/random_graph.h"
#include "tests/support/same_results.h"

namespace rlx::passes {
namespace {

constexpr int kGraphs = 150;

std::vector<std::string> Signature(const Graph& graph) {
  std::vector<std::string> names;
  for (NodeId id : graph.inputs()) names.push_back(graph.node(id).name);
  for (NodeId id : graph.params()) names.push_back(graph.node(id).name);
  for (const Output& output : graph.outputs()) names.push_back(output.name);
  return names;
}

// The sources of every author's node, so that losing or inventing one shows.
Graph Stamped(Graph graph) {
  for (NodeId id = 0; id < graph.size(); ++id) {
    graph.node(id).sources = {{SourceRef::Kind::kMir, id, ""}};
  }
  return graph;
}

// Whether the pass rewrote something.
bool CheckPass(const Pass& pass, const Graph& original, const PassContext& options, Rng& rng) {
  SCOPED_TRACE(pass.name);
  const Graph before = Stamped(original);
  Graph after = before;
  std::vector<Remark> remarks;
  PassContext context = options;
  context.remarks = &remarks;
  absl::Status status = pass.run(after, context);
  if (status.ok()) status = VerifyGraph(after);
  EXPECT_TRUE(status.ok()) << status.ToString() << "\n" << Print(after);
  EXPECT_EQ(Signature(after), Signature(before));
  for (const Node& node : after.nodes()) EXPECT_FALSE(node.sources.empty()) << Name(node.op);
  for (const Remark& remark : remarks) EXPECT_FALSE(remark.sources.empty()) << remark.message;
  if (!context.changed) {
    EXPECT_EQ(Print(after), Print(before));
    return false;
  }
  const DimBinding binding = test::RandomBinding(before, rng);
  const auto bound_before = BindSymbols(before, binding), bound_after = BindSymbols(after, binding);
  EXPECT_TRUE(bound_before.ok() && bound_after.ok()) << bound_after.status().ToString();
  if (::testing::Test::HasFailure()) return true;
  EXPECT_TRUE(test::SameResults(*bound_before, *bound_after, rng()))
      << Print(after, {.full_constants = false});
  return true;
}

class PassAlone : public ::testing::TestWithParam<std::string_view> {
 protected:
  const Pass& pass() const {
    const auto passes = stages::AllPasses();
    return *std::ranges::find(passes, GetParam(), &Pass::name);
  }
};

TEST_P(PassAlone, KeepsTheMeaning) {
  test::ForEachRandomGraph(
      kGraphs, {}, [&](const Graph& graph, Rng& rng) { CheckPass(pass(), graph, {}, rng); });
}

TEST_P(PassAlone, KeepsTheMeaningWithSymbols) {
  test::ForEachRandomGraph(kGraphs / 2, {.symbolic = true}, [&](const Graph& graph, Rng& rng) {
    CheckPass(pass(), graph, {}, rng);
  });
}

// A target that claims a random part of all kinds, refuses some nodes and allows small regions.
// Every pass finds work among these.
TEST_P(PassAlone, KeepsTheMeaningForAnyTarget) {
  int changed = 0;
  test::ForEachRandomGraph(kGraphs, {}, [&](const Graph& graph, Rng& rng) {
    PassContext context;
    context.limits = {static_cast<uint32_t>(1 + rng() % 6), static_cast<uint32_t>(1 + rng() % 4)};
    for (const OpInfo* op : AllOps()) {
      if (rng() % 2 == 0) context.claims.emplace(op->claim);
    }
    const uint64_t refused = rng();
    context.runs = [refused](const Graph& g, NodeId id) {
      return (refused >> (static_cast<int>(g.node(id).op) % 64) & 1) == 0;
    };
    changed += CheckPass(pass(), graph, context, rng) ? 1 : 0;
  });
  EXPECT_GT(changed, kGraphs / 20);
}

std::vector<std::string_view> PassNames() {
  std::vector<std::string_view> names;
  for (const Pass& pass : stages::AllPasses()) names.push_back(pass.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Every, PassAlone, ::testing::ValuesIn(PassNames()),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace rlx::passes
