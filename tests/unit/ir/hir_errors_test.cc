// SPDX-License-Identifier: Apache-2.0
// What is wrong with a module of blocks is said by name, whatever it is: wrong counts, references
// that lead nowhere, attributes that do not go together. Nothing reaches lowering.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/text.h"
#include "runtime/ir/verify.h"
#include "tests/unit/ir/hir_testing.h"

namespace rlx {
namespace {

using testing::HasSubstr;

std::string Takes(const OpInfo& info) {
  if (info.min_operands == info.max_operands) return Cat("takes ", info.min_operands);
  return Cat("takes ", info.min_operands, " to ", info.max_operands);
}

TEST(HirErrors, AWrongNumberOfOperandsNamesTheBlockAndBothNumbers) {
  for (const OpInfo* info : AllOps()) {
    if (info->level != Stage::kHir) continue;
    for (const int count : {info->min_operands - 1, info->max_operands + 1}) {
      Graph graph;
      GraphBuilder b(graph);
      const std::vector<Value> operands(count, b.Input("x", F64({2, 3, 4})));
      b.Emit(info->kind, operands);
      EXPECT_EQ(b.status().code(), absl::StatusCode::kInvalidArgument) << info->name;
      EXPECT_THAT(std::string(Message(b.status())),
                  HasSubstr(Cat("%1 ", info->name, ": has ", count, " operands, ", Takes(*info))));
    }
  }
}

std::string WhyNotModule(std::string_view body) {
  const auto module = ParseModule(Cat("hir \"m\" {\n", body, "\n}"));
  if (!module.ok()) return std::string(Message(module.status()));
  const absl::Status status = Verify(*module);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << body;
  return std::string(Message(status));
}

TEST(HirErrors, ReferencesThatLeadNowhereAreNamed) {
  constexpr std::string_view kX = R"(
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    )";
  EXPECT_THAT(WhyNotModule(Cat(kX, "%2 = linear(%0, %9) : f32[2,4]\noutput \"y\" = %2")),
              HasSubstr("%2 linear: operand 1 refers to %9, which does not exist"));
  EXPECT_THAT(WhyNotModule(Cat(kX, "%2 = linear(%2, %1) : f32[2,4]\noutput \"y\" = %2")),
              HasSubstr("%2 linear: operand 0 refers to %2, which does not come before it"));
  EXPECT_THAT(WhyNotModule(Cat(kX, "%2 = linear(%0, %1)\noutput \"y\" = %7")),
              HasSubstr("output \"y\" refers to %7, which does not exist"));
  EXPECT_THAT(WhyNotModule(Cat(kX, "%2 = linear(%0, %1)\noutput \"y\" = %2.1")),
              HasSubstr("output \"y\" refers to %2.1, which does not exist"));
  EXPECT_THAT(WhyNotModule(Cat(kX, "%2 = linear(%0, %1)")), HasSubstr("the graph has no outputs"));
}

TEST(HirErrors, DeclaredShapesAreNotTrusted) {
  EXPECT_THAT(WhyNotModule(R"(
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = linear(%0, %1) : f32[2,5]
    output "y" = %2)"),
              HasSubstr("%2 linear: declared f32[2,5], inferred f32[2,4]"));
}

TEST(HirErrors, RotaryDimsAndHeadsAreChecked) {
  Block rope{OpKind::kHirRope,
             {{"x", F64({2, 3, 8})}, {"cos", F64({3, 2})}, {"sin", F64({3, 2})}},
             {{"head_dim", int64_t{4}}, {"n_rot", int64_t{3}}}};
  EXPECT_THAT(WhyNotBlock(rope), HasSubstr("hir.rope: n_rot 3 is odd"));
  rope.attrs[1].value = int64_t{6};
  EXPECT_THAT(WhyNotBlock(rope), HasSubstr("hir.rope: n_rot 6 is more than head_dim 4"));
  const Block attention{
      OpKind::kHirAttention,
      {{"q", F64({2, 3, 8})}, {"k", F64({2, 3, 6})}, {"v", F64({2, 3, 6})}},
      {{"num_heads", int64_t{4}}, {"num_kv_heads", int64_t{3}}, {"head_dim", int64_t{2}}}};
  EXPECT_THAT(WhyNotBlock(attention),
              HasSubstr("hir.attention: num_heads 4 is not a multiple of num_kv_heads 3"));
}

TEST(HirLabels, SayWhatABlockIsWhenItsAuthorDoesNot) {
  const auto label = [](OpKind op, std::vector<Attr> attrs, std::string name = "") {
    return HirLabel({.op = op, .attrs = std::move(attrs), .name = std::move(name)});
  };
  EXPECT_EQ(label(OpKind::kHirLinear, {}), "linear");
  EXPECT_EQ(label(OpKind::kHirLinear, {}, "ffn.up"), "ffn.up");
  EXPECT_EQ(label(OpKind::kHirSwiglu, {}), "swiglu_ffn");
  EXPECT_EQ(label(OpKind::kHirRope, {}), "rope");
  EXPECT_EQ(label(OpKind::kHirAttention, {}), "attention");
  EXPECT_EQ(label(OpKind::kHirDequantMatMul, {{"scheme", std::string("gguf_q4_k")}}),
            "dequant_matmul(gguf_q4_k)");
  EXPECT_EQ(label(OpKind::kCustom, {{"name", std::string("own")}}), "own");
  EXPECT_EQ(label(OpKind::kAdd, {}), "mir(add)");
}

// ---- blocks that a module defines itself

constexpr std::string_view kOwn = R"(
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = custom(%0, %1) {name = "own"} graph "own" {
      %0 = input "a" : f32[2,4]
      %1 = input "b" : f32[4,4]
      %2 = linear(%0, %1) {activation = "gelu"}
      output "y" = %2
    }
    %3 = custom "second" (%2, %1) {name = "own"} graph "own" {
      %0 = input "a" : f32[2,4]
      %1 = input "b" : f32[4,4]
      %2 = linear(%0, %1)
      output "y" = %2
    }
    output "y" = %3)";

TEST(HirCustom, IsInlinedAndNamesItself) {
  const auto module = ParseModule(Cat("hir \"m\" {\n", kOwn, "\n}"));
  ASSERT_TRUE(module.ok()) << Message(module.status());
  ASSERT_TRUE(Verify(*module).ok()) << Message(Verify(*module));
  const auto graph = LowerHir(*module);
  ASSERT_TRUE(graph.ok()) << Message(graph.status());
  EXPECT_TRUE(VerifyGraph(*graph).ok()) << Message(VerifyGraph(*graph));
  EXPECT_EQ(CountOps(*graph, OpKind::kCustom), 0);
  std::vector<std::string> names;
  for (const Node& node : graph->nodes()) names.push_back(node.sources[0].name);
  EXPECT_EQ(names, (std::vector<std::string>{"x", "w", "own", "second"}));
  EXPECT_EQ(graph->node(3).sources[0].id, 3);
}

TEST(HirCustom, ItsBodyIsChecked) {
  const auto with = [](std::string_view operands, std::string_view type) {
    return WhyNotModule(Cat(R"(
    %0 = input "x" : f32[2,4]
    %1 = custom()",
                            operands, R"() {name = "own"} graph "own" {
      %0 = input "a" : )",
                            type, R"(
      %1 = linear(%0, %0) : f32[2,4]
      output "y" = %1
    } : f32[2,4]
    output "y" = %1)"));
  };
  EXPECT_THAT(with("%0", "f32[2,4]"), HasSubstr("%1 custom: %1 linear: w is f32[2,4]"));
  EXPECT_THAT(with("%0", "f32[4,4]"), HasSubstr("%1 custom"));
  EXPECT_THAT(with("%0, %0", "f32[2,4]"), HasSubstr("%1 custom"));
}

// A chain of bodies, each of which uses the next twice, is small to send and large to run.
TEST(HirCustom, BodiesCountAtEveryUse) {
  std::shared_ptr<const Graph> body;
  for (int depth = 0; depth < 40; ++depth) {
    Graph graph;
    GraphBuilder b(graph);
    Value x = b.Input("x", F64({2}));
    for (int i = 0; i < 2; ++i) {
      x = body ? b.Emit(OpKind::kCustom, {x}, {{"name", std::string("own")}}, {body})
               : b.Unary(OpKind::kTanh, x);
    }
    b.Output("y", x);
    ASSERT_TRUE(b.status().ok());
    body = std::make_shared<const Graph>(std::move(graph));
  }
  EXPECT_EQ(Verify({Stage::kHir, FusionPolicy::kDirect, *body}).code(),
            absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace rlx
