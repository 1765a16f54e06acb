// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/text.h"
#include "runtime/ir/verify.h"
#include "tests/support/graphs.h"

namespace rlx {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const TensorType kVector = {DType::kF32, {4}};

TEST(Graph, NormalizeLeavesASortedGraphAlone) {
  Graph graph = test::ParseGraph(R"(mir "m" {
    %0 = input "x" : f32[4]
    %1 = param "w" : f32[4]
    %2 = constant {value = f32[] (2)} : f32[]
    %3 = mul(%0, %2) : f32[4]
    %4 = add(%3, %1) : f32[4]
    output "y" = %4
  })");
  const std::string before = Print(graph);
  EXPECT_THAT(*graph.Normalize(), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(Print(graph), before);
}

TEST(Graph, NormalizePutsReplacementsBeforeTheirUsers) {
  Graph graph;
  GraphBuilder b(graph);
  const Value x = b.Input("x", kVector);
  const Value old = b.Unary(OpKind::kNeg, x);
  const Value user = b.Unary(OpKind::kAbs, old);
  b.Output("y", user);
  const Value inner = b.Unary(OpKind::kExp, x);
  graph.ReplaceUses(old, b.Unary(OpKind::kTanh, inner));
  EXPECT_THAT(*graph.Normalize(), ElementsAre(0, -1, 3, 1, 2));
  EXPECT_TRUE(VerifyGraph(graph).ok());
  EXPECT_EQ(graph.node(2).op, OpKind::kTanh);
}

TEST(Graph, NormalizeKeepsTheSignatureAndDropsTheDead) {
  Graph graph;
  GraphBuilder b(graph);
  const Value x = b.Input("x", kVector);
  const Value dead = b.Unary(OpKind::kNeg, x);
  b.Param("unused", kVector);
  b.Unary(OpKind::kAbs, dead);
  b.Output("y", x);
  Graph all = graph;
  EXPECT_THAT(*graph.Normalize(), ElementsAre(0, -1, 1, -1));
  EXPECT_EQ(graph.size(), 2);
  EXPECT_THAT(*all.Normalize(/*keep_dead=*/true), ElementsAre(0, 2, 1, 3));
}

// What takes the input's buffer comes after all that still read it, unless they read what it makes.
TEST(Graph, NormalizeReadsADonatedInputBeforeItIsOverwritten) {
  Graph graph;
  GraphBuilder b(graph);
  const Value x = b.Input("x", kVector);
  const Value state = b.Unary(OpKind::kRelu, x);
  b.Output("state", state);
  b.Output("late", b.Unary(OpKind::kExp, x));
  graph.aliases = {{0, 0}};
  EXPECT_FALSE(VerifyGraph(graph).ok());
  Graph bound = graph;
  EXPECT_THAT(*graph.Normalize(), ElementsAre(0, 2, 1));
  EXPECT_TRUE(VerifyGraph(graph).ok());
  GraphBuilder more(bound);
  more.Output("later", more.Add(x, state));
  EXPECT_THAT(*bound.Normalize(), ElementsAre(0, 2, 1, 3));
}

TEST(Graph, NormalizeFailsOnCyclesAndDanglingReferences) {
  Graph graph;
  GraphBuilder b(graph);
  const Value x = b.Input("x", kVector);
  const Value p = b.Add(x, x), q = b.Add(p, x);
  b.Output("y", q);
  graph.node(p.node).operands[1] = q;
  const std::string before = Print(graph);
  EXPECT_THAT(Message(graph.Normalize().status()), HasSubstr("on a cycle"));
  EXPECT_EQ(Print(graph), before);
  graph.node(p.node).operands[1] = {99, 0};
  EXPECT_THAT(Message(graph.Normalize().status()), HasSubstr("%99 does not exist"));
  graph.node(p.node).operands[1] = x;
  graph.AddOutput("z", {0, 5});
  EXPECT_THAT(Message(graph.Normalize().status()), HasSubstr("%0.5 does not exist"));
}

TEST(Graph, NormalizeNeedsNoStackForLongChains) {
  Graph graph;
  GraphBuilder b(graph);
  const Value x = b.Input("x", kVector);
  Value last = b.Unary(OpKind::kNeg, x);
  const Value first = last;
  for (int i = 0; i < 100'000; ++i) last = b.Unary(OpKind::kNeg, last);
  b.Output("y", b.Add(first, last));
  graph.ReplaceUses(first, last, /*except=*/first.node + 1);
  EXPECT_TRUE(graph.Normalize().ok());
}

TEST(Graph, ReplaceUsesSparesTheExceptionAndCoversOutputs) {
  Graph graph;
  GraphBuilder b(graph);
  const Value x = b.Input("x", kVector);
  const Value y = b.Unary(OpKind::kNeg, x), z = b.Add(y, y);
  b.Output("y", y);
  const Value wrapped = b.Unary(OpKind::kAbs, y);
  graph.ReplaceUses(y, wrapped, wrapped.node);
  EXPECT_EQ(graph.node(wrapped.node).operands[0], y);
  EXPECT_THAT(graph.node(z.node).operands, ElementsAre(wrapped, wrapped));
  EXPECT_EQ(graph.outputs()[0].value, wrapped);
}

TEST(Uses, CountSlotsAndOutputs) {
  Graph graph;
  GraphBuilder b(graph);
  const Value x = b.Input("x", kVector);
  const Value square = b.Mul(x, x);
  const auto top = b.EmitAll(OpKind::kTopK, {square}, {{"k", 2}});
  b.Output("y", top[1]);
  const Uses uses(graph);
  EXPECT_EQ(uses.Count(x), 2);
  EXPECT_EQ(uses.OnlyUser(x), -1);
  EXPECT_EQ(uses.OnlyUser(square), top[0].node);
  EXPECT_EQ(uses.Count(top[0]), 0);
  EXPECT_TRUE(uses.IsOutput(top[1]));
  EXPECT_EQ(uses.OnlyUser(top[1]), -1);
}

// Of every value those alone that read it, in their order, outputs last.
TEST(Uses, KeepTheUsesOfEachValueApart) {
  Graph graph;
  GraphBuilder b(graph);
  const Value x = b.Input("x", kVector), dead = b.Input("dead", kVector);
  const auto top = b.EmitAll(OpKind::kTopK, {x}, {{"k", 4}});
  b.Output("top", top[0]);
  const Value sum = b.Add(top[0], x);
  const Value twice = b.Add(sum, top[0]);
  b.Output("x", x);
  b.Output("y", twice);
  const Uses uses(graph);
  const auto of = [&](Value v) {
    std::vector<std::pair<NodeId, int>> found;
    for (const Uses::Use& use : uses.of(v)) found.emplace_back(use.node, use.slot);
    return found;
  };
  using Found = std::vector<std::pair<NodeId, int>>;
  EXPECT_EQ(of(x), (Found{{top[0].node, 0}, {sum.node, 1}, {-1, 1}}));
  EXPECT_EQ(of(dead), Found{});
  EXPECT_EQ(of(top[0]), (Found{{sum.node, 0}, {twice.node, 1}, {-1, 0}}));
  EXPECT_EQ(of(top[1]), Found{});
  EXPECT_EQ(of(sum), (Found{{twice.node, 0}}));
  EXPECT_EQ(of(twice), (Found{{-1, 2}}));
  EXPECT_TRUE(uses.IsOutput(x));
  EXPECT_FALSE(uses.IsOutput(sum));
}

TEST(Builder, TheFirstErrorSticksAndNamesTheNode) {
  Graph graph;
  GraphBuilder b(graph);
  const Value x = b.Input("x", kVector);
  const Value y = b.Input("y", {DType::kI32, {4}});
  const Value bad = b.Add(x, y);
  EXPECT_FALSE(bad.valid());
  EXPECT_EQ(
      Message(b.status()),
      "%2 add: dtypes of operands 0 and 1 differ (f32 vs i32); nothing is converted implicitly");
  EXPECT_FALSE(b.Unary(OpKind::kNeg, bad).valid());
  EXPECT_EQ(b.type(bad), TensorType{});
  b.Output("z", bad);
  EXPECT_EQ(graph.size(), 2);
  EXPECT_TRUE(graph.outputs().empty());
  EXPECT_THAT(Message(b.status()), HasSubstr("%2 add"));
}

TEST(Builder, RefusesValuesOfOtherGraphs) {
  Graph graph;
  GraphBuilder b(graph);
  b.Unary(OpKind::kNeg, {5, 0});
  EXPECT_THAT(Message(b.status()), HasSubstr("operand 0 refers to %5, which does not exist"));
  GraphBuilder other(graph);
  other.Output("y", {0, 0});
  EXPECT_THAT(Message(other.status()), HasSubstr("does not exist"));
}

TEST(Builder, RefusesLeavesWithoutExtent) {
  Graph graph;
  GraphBuilder b(graph);
  b.Input("x", {DType::kF32, {0}});
  EXPECT_THAT(Message(b.status()), HasSubstr("extent 0"));
}

TEST(Builder, CompletesAttributes) {
  Graph graph;
  GraphBuilder b(graph);
  const Value x = b.Input("x", {DType::kF32, {2, 3, 4}});
  const Value top = b.Emit(OpKind::kTopK, {x}, {{"k", 1}});
  EXPECT_THAT(graph.node(top.node).attrs, ElementsAre(Attr{"k", 1}, Attr{"axis", 2}));
  const Value sum = b.Reduce(OpKind::kReduceSum, x, {-1, 0}, false);
  EXPECT_THAT(graph.node(sum.node).Ints("axes"), ElementsAre(0, 2));
  const Value all = b.Reduce(OpKind::kReduceSum, x, {}, false);
  EXPECT_THAT(graph.node(all.node).Ints("axes"), ElementsAre(0, 1, 2));
  const Value flat = b.Emit(OpKind::kReshape, {x}, {{"shape", std::vector<int64_t>{-1, 4}}});
  EXPECT_EQ(graph.type(flat).shape, (Shape{6, 4}));
}

TEST(Builder, NodesCarrySources) {
  Graph graph;
  GraphBuilder b(graph);
  const SourceRef source = {SourceRef::Kind::kHir, 3, "ffn"};
  b.SetSources({source});
  const Value x = b.Input("x", kVector), y = b.Unary(OpKind::kNeg, x);
  EXPECT_THAT(graph.node(y.node).sources, ElementsAre(source));
  const auto copy = b.Clone(graph.node(y.node), {y});
  EXPECT_EQ(graph.node(copy[0].node).op, OpKind::kNeg);
  EXPECT_THAT(graph.node(copy[0].node).sources, ElementsAre(source));
}

TEST(Builder, RecordsConstraintsOnce) {
  Graph graph;
  GraphBuilder b(graph);
  const Value x = b.Input("x", {DType::kF32, {Dim::Symbol("batch")}});
  const Value y = b.Input("y", {DType::kF32, {Dim::Symbol("rows")}});
  b.Add(x, y);
  b.Mul(x, y);
  EXPECT_EQ(graph.constraints.size(), 1u);
}

}  // namespace
}  // namespace rlx
