// SPDX-License-Identifier: Apache-2.0
// Lowering for what a target lacks: broadcasts, reductions over other axes. Flat norms, promoted
// params and graphs inlined by name.
#include "runtime/ir/op_info.h"
#include "runtime/passes/inline.h"
#include "runtime/passes/promote_params.h"
#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {
namespace {

using ::testing::HasSubstr;

PassContext Tpu() {
  PassContext context;
  context.target = FusionTarget::kTpu;
  return context;
}

// Equal shapes, one element and trailing parts stay; a column and a middle extent are expanded.
constexpr char kBroadcasts[] = R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = input "row" : f32[4]
    %2 = input "column" : f32[3,1]
    %3 = input "one" : f32[1,1]
    %4 = input "keep" : bool[2,1,4]
    %5 = add(%0, %1)
    %6 = mul(%2, %5)
    %7 = max(%6, %3)
    %8 = where(%4, %7, %0)
    output "y" = %8
  })";

TEST(LowerBroadcast, ExpandsWhatIsNoTrailingPart) {
  ExpectRewrite(LowerBroadcast, kBroadcasts, R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = input "row" : f32[4]
    %2 = input "column" : f32[3,1]
    %3 = input "one" : f32[1,1]
    %4 = input "keep" : bool[2,1,4]
    %5 = add(%0, %1)
    %6 = expand(%2) {shape = [2,3,4]}
    %7 = mul(%6, %5)
    %8 = max(%7, %3)
    %9 = expand(%4) {shape = [2,3,4]}
    %10 = where(%9, %8, %0)
    output "y" = %10
  })",
                Tpu());
}

TEST(LowerBroadcast, IsForTargetsThatDoNotBroadcast) {
  ExpectUntouched(LowerBroadcast, kBroadcasts);
}

TEST(LowerBroadcast, WorksWithSymbols) {
  const Outcome outcome = RunPass(LowerBroadcast, R"(mir "m" {
    symbol n in [1, 9]
    %0 = input "x" : f32[n,4]
    %1 = input "column" : f32[n,1]
    %2 = add(%0, %1)
    output "y" = %2
  })",
                                  Tpu());
  EXPECT_THAT(outcome.text, HasSubstr("expand(%1) {shape = [n,4]}"));
}

PassContext RowsAlone() {
  PassContext context;
  context.runs = [](const Graph& graph, NodeId id) {
    const Node& node = graph.node(id);
    if (Info(node.op).claim != "Reduce") return true;
    const auto& axes = node.Ints("axes");
    return axes.size() == 1 && axes[0] == graph.type(node.operands[0]).rank() - 1;
  };
  return context;
}

TEST(LowerReduceAxes, BringsTheAxesToTheEnd) {
  ExpectRewrite(LowerReduceAxes, R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = reduce_sum(%0) {axes = [0,1], keep_dims = true}
    %2 = reduce_max(%0) {axes = [2]}
    %3 = reduce_mean(%0) {axes = [1,2]}
    output "a" = %1
    output "b" = %2
    output "c" = %3
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = reduce_max(%0) {axes = [2]}
    %2 = transpose(%0) {perm = [2,0,1]}
    %3 = reshape(%2) {shape = [4,6]}
    %4 = reduce_sum(%3) {axes = [1]}
    %5 = reshape(%4) {shape = [1,1,4]}
    %6 = reshape(%0) {shape = [2,12]}
    %7 = reduce_mean(%6) {axes = [1]}
    %8 = reshape(%7) {shape = [2]}
    output "a" = %5
    output "b" = %1
    output "c" = %8
  })",
                RowsAlone());
}

TEST(LowerReduceAxes, LeavesWhatTheBackEndRunsOrLacksAltogether) {
  constexpr char kSum[] = R"(mir "m" {
    %0 = input "x" : f32[2,3]
    %1 = reduce_sum(%0) {axes = [0]}
    output "y" = %1
  })";
  ExpectUntouched(LowerReduceAxes, kSum);
  PassContext none;
  none.runs = [](const Graph&, NodeId) { return false; };
  ExpectUntouched(LowerReduceAxes, kSum, std::move(none));
}

std::string FlatNorm(std::string_view outputs) {
  return Cat(R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = param "g" : f32[4]
    %2 = param "w" : f32[4,5]
    %3 = rms_norm(%0, %1)
    %4 = reshape(%3) {shape = [6,4]}
    %5 = matmul(%4, %2)
    output "y" = %5
    )",
             outputs, "\n}");
}

TEST(FuseRmsNormReshape, LooksAtFlatRows) {
  ExpectRewrite(FuseRmsNormReshape, FlatNorm(""), R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = param "g" : f32[4]
    %2 = param "w" : f32[4,5]
    %3 = reshape(%0) {shape = [6,4]}
    %4 = rms_norm(%3, %1)
    %5 = matmul(%4, %2)
    output "y" = %5
  })");
}

TEST(FuseRmsNormReshape, LeavesOutputsAndNormsWithOtherReaders) {
  for (const auto& [outputs, reason] :
       {std::pair{"output \"norm\" = %3", "graph_output"},
        std::pair{"output \"flat\" = %4", "graph_output"},
        std::pair{"%6 = exp(%3) output \"e\" = %6", "multi_consumer"}}) {
    const Outcome outcome = RunPass(FuseRmsNormReshape, FlatNorm(outputs));
    EXPECT_FALSE(outcome.changed);
    ASSERT_EQ(outcome.Missed().size(), 1u) << outputs;
    EXPECT_EQ(outcome.Missed()[0].reason, reason);
  }
}

TEST(FuseRmsNormReshape, LeavesOtherReshapesAndAxes) {
  ExpectUntouched(FuseRmsNormReshape, R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = param "g" : f32[4]
    %2 = param "g2" : f32[3,4]
    %3 = rms_norm(%0, %1)
    %4 = reshape(%3) {shape = [3,8]}
    %5 = rms_norm(%0, %2) {axis = 1}
    %6 = reshape(%5) {shape = [6,4]}
    %7 = exp(%4)
    %8 = exp(%6)
    output "a" = %7
    output "b" = %8
  })");
}

TEST(PromoteParams, TurnsWeightsIntoInputs) {
  Graph graph = ParseGraph(R"(mir "m" {
    %0 = param "w" : f32[4]
    %1 = input "state" : f32[4]
    %2 = add(%0, %1)
    output "y" = %2
  })");
  graph.aliases = {{0, 0}};
  EXPECT_EQ(PromoteParams(graph, {"w", "v"}).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(graph.params().size(), 1u);
  ASSERT_TRUE(PromoteParams(graph, {"w"}).ok());
  EXPECT_EQ(graph.inputs().size(), 2u);
  EXPECT_TRUE(graph.params().empty());
  EXPECT_EQ(graph.aliases[0].input, 1);  // still the state
  EXPECT_TRUE(VerifyGraph(graph).ok());
}

TEST(InlineInto, BindsByName) {
  const Graph source = ParseGraph(R"(mir "layer" {
    %0 = input "x" : f32[2,3]
    %1 = param "w" : f32[3,3]
    %2 = matmul(%0, %1)
    output "y" = %2
  })");
  Graph target;
  GraphBuilder b(target);
  const Value x = b.Input("in", {DType::kF32, {2, 3}});
  const auto once = InlineInto(b, source, {{"x", x}});
  ASSERT_TRUE(once.ok()) << once.status().ToString();
  const auto twice = InlineInto(b, source, {{"x", once->front()}, {"w", {1, 0}}});
  ASSERT_TRUE(twice.ok()) << twice.status().ToString();
  b.Output("y", twice->front());
  EXPECT_EQ(target.params().size(), 1u);
  EXPECT_TRUE(VerifyGraph(target).ok());

  const auto message = [&](const std::map<std::string, Value>& bindings) {
    return Cat(InlineInto(b, source, bindings).status().message());
  };
  EXPECT_THAT(message({}), HasSubstr("input \"x\" is bound to nothing"));
  EXPECT_THAT(message({{"x", x}, {"z", x}}), HasSubstr("nothing to bind is called \"z\""));
  EXPECT_THAT(message({{"x", x}, {"w", x}}), HasSubstr("is f32[3,3] and is bound to f32[2,3]"));
}

}  // namespace
}  // namespace rlx::passes
