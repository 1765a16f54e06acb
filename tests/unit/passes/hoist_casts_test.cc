// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/hoist_casts.h"

#include <algorithm>

#include "runtime/ir/op_info.h"
#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {
namespace {

Graph Hoisted(std::string_view text, bool changes = true) {
  Graph graph = ParseGraph(text);
  const auto changed = HoistCasts(graph);
  EXPECT_TRUE(changed.ok()) << changed.status();
  EXPECT_EQ(changed.value_or(!changes), changes) << Text(graph);
  EXPECT_TRUE(VerifyGraph(graph).ok()) << Text(graph);
  return graph;
}

TEST(HoistCasts, CastsWhatIsCapturedBeforeTheLoop) {
  const Graph graph = Hoisted(R"(mir "m" {
    %0 = input "h" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = input "xs" : f32[9,2,4]
    %3 = scan(%0, %1, %2) {carries = 1, sequences = 1, length = [9]} graph "" {
      %0 = input "" : f32[2,4]
      %1 = input "" : f32[4,4]
      %2 = input "" : f32[2,4]
      %3 = cast(%0) {to = f16}
      %4 = cast(%1) {to = f16}
      %5 = matmul(%3, %4)
      %6 = cast(%5) {to = f32}
      %7 = cast(%2) {to = f16}
      %8 = cast(%7) {to = f32}
      %9 = add(%6, %8)
      output "h" = %9
    }
    %4 = scan(%0, %1) {carries = 1, sequences = 0, length = [9]} graph "" {
      %0 = input "" : f32[2,4]
      %1 = input "" : f32[4,4]
      %2 = cast(%1) {to = f16}
      %3 = cast(%0) {to = f16}
      %4 = matmul(%3, %2)
      %5 = cast(%4) {to = f32}
      output "h" = %5
    }
    output "y" = %3
    output "z" = %4
  })");
  std::vector<NodeId> casts, scans;
  for (NodeId id = 0; id < graph.size(); ++id) {
    if (graph.node(id).op == OpKind::kCast) casts.push_back(id);
    if (graph.node(id).op == OpKind::kScan) scans.push_back(id);
  }
  ASSERT_EQ(casts.size(), 1u) << Text(graph);  // for both
  ASSERT_EQ(scans.size(), 2u);
  EXPECT_TRUE(WeightOnly(graph)[casts[0]]);
  for (NodeId scan : scans) {
    const Graph& body = *graph.node(scan).subgraphs[0];
    EXPECT_EQ(graph.node(scan).operands[1].node, casts[0]);
    EXPECT_EQ(body.node(body.inputs()[1]).results[0].dtype, DType::kF16);
    EXPECT_EQ(body.node(body.inputs()[0]).results[0].dtype, DType::kF32);  // a carry
  }
  const Graph& first = *graph.node(scans[0]).subgraphs[0];
  EXPECT_EQ(first.node(first.inputs()[2]).results[0].dtype, DType::kF32);  // a sequence
}

// What was widened before is taken as it was; what some body reads otherwise stays.
TEST(HoistCasts, AsksEveryBody) {
  const auto with = [](std::string_view other) {
    return Cat(R"(mir "m" {
      %0 = input "p" : bool[]
      %1 = input "x" : f16[4]
      %2 = cast(%1) {to = f32}
      %3 = if(%0, %2) graph "" {
        %0 = input "" : f32[4]
        %1 = cast(%0) {to = f16}
        output "o" = %1
      } graph "" {
        %0 = input "" : f32[4]
        )",
               other, R"(
      }
      output "y" = %3
    })");
  };
  for (const std::string_view other :
       {"%1 = cast(%0) {to = f16} %2 = neg(%1) output \"o\" = %2",
        "%1 = constant {value = f16[4] (1, 2, 3, 4)} output \"o\" = %1"}) {
    const Graph graph = Hoisted(with(other));
    const auto taken = std::ranges::find(graph.nodes(), OpKind::kIf, &Node::op);
    ASSERT_NE(taken, graph.nodes().end());
    EXPECT_EQ(graph.node(taken->operands[1].node).name, "x");
  }
  Hoisted(with("%1 = neg(%0) %2 = cast(%1) {to = f16} output \"o\" = %2"), false);
  Hoisted(with("%1 = cast(%0) {to = bf16} %2 = cast(%1) {to = f16} output \"o\" = %2"), false);
}

}  // namespace
}  // namespace rlx::passes
