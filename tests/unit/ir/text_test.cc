// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"

namespace rlx {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kEverything = R"(hir fusable "every thing" {
  symbol batch in [1, 64]
  symbol s in [2, 7]
  constraint s = past_seq
  %0 = input "x" : f32[batch,(2 * s + 1),4]
  %1 = input "flag \"a\\b\"\x0a" : bool[]
  %2 = param "w" : f32[4] from onnx 12 "w.weight"
  %3 = constant {value = f32[4] (0.1, -2.5, 1e-30, inf)} : f32[4]
  %4 = mul "scaled" (%0, %2) : f32[batch,(2 * s + 1),4] from hir 3 "ffn", mir 4
  %5 = topk(%4) {k = 2, axis = 2} : f32[batch,(2 * s + 1),2], i64[batch,(2 * s + 1),2]
  %6 = reshape(%5) {shape = [-1,2]} : f32[(2 * batch * s + batch),2]
  %7 = elementwise_region(%4, %3) graph "body" {
    %0 = input : f32[batch,(2 * s + 1),4]
    %1 = input : f32[4]
    %2 = add(%0, %1) : f32[batch,(2 * s + 1),4]
    output "" = %2
    output "" = %0
  } : f32[batch,(2 * s + 1),4], f32[batch,(2 * s + 1),4]
  %8 = if(%1, %7.1) graph "" {
    %0 = input : f32[batch,(2 * s + 1),4]
    %1 = cast(%0) {to = f16} : f16[batch,(2 * s + 1),4]
    output "" = %1
  } graph "" {
    %0 = input : f32[batch,(2 * s + 1),4]
    %1 = cast(%0) {to = f16} : f16[batch,(2 * s + 1),4]
    output "" = %1
  } : f16[batch,(2 * s + 1),4]
  alias 0 -> 1
  output "top" = %5.1
  output "y" = %7
}
)";

TEST(Text, RoundTripsExactly) {
  const auto module = ParseModule(kEverything);
  ASSERT_TRUE(module.ok()) << Message(module.status());
  EXPECT_EQ(Print(*module), kEverything);
  EXPECT_EQ(module->stage, Stage::kHir);
  EXPECT_EQ(module->policy, FusionPolicy::kFusable);
  const absl::Status sound = Verify(*module);
  EXPECT_TRUE(sound.ok()) << Message(sound);
  EXPECT_THAT(module->graph.node(4).sources, ElementsAre(SourceRef{SourceRef::Kind::kHir, 3, "ffn"},
                                                         SourceRef{SourceRef::Kind::kMir, 4, ""}));
  EXPECT_EQ(module->graph.node(1).name, "flag \"a\\b\"\n");
}

TEST(Text, CompletesWhatMayBeLeftOut) {
  const auto module = ParseModule(R"(mir "m" {
    // types and defaults are inferred
    %0 = input "x" : f32[2,3]
    %1 = topk(%0) {k = 1}
    %2 = reduce_sum(%1) {axes = []} output "y" = %2
  })");
  ASSERT_TRUE(module.ok()) << Message(module.status());
  EXPECT_TRUE(Verify(*module).ok());
  EXPECT_EQ(module->graph.node(1).results.size(), 2u);
  EXPECT_EQ(module->graph.node(2).results[0], (TensorType{DType::kF32, {}}));
}

TEST(Text, ConstantsOfEveryDTypeKeepTheirBits) {
  for (int d = 0; d < kDTypeCount; ++d) {
    const auto dtype = static_cast<DType>(d);
    for (int64_t count : {1, 5, 40}) {
      std::string bytes;
      for (int64_t k = 0; k < count * ByteWidth(dtype); ++k)
        bytes += static_cast<char>(dtype == DType::kBool ? k % 2 : 37 * k + count);
      Graph graph;
      GraphBuilder b(graph);
      const HostTensor value = *HostTensor::Create(dtype, {count}, SharedBytes(bytes));
      b.Output("y", b.Constant(value));
      const auto parsed = ParseModule(Print(graph));
      ASSERT_TRUE(parsed.ok()) << Message(parsed.status());
      EXPECT_EQ(parsed->graph.node(0).Tensor("value"), value) << Print(graph);
    }
  }
}

TEST(Text, FloatsReadBackEqual) {
  for (float value : {0.1f, 1e-45f, 3.4028235e38f, -0.0f, INFINITY, NAN, 16777216.0f}) {
    Graph graph;
    GraphBuilder b(graph);
    b.Output("y", b.Scalar(DType::kF32, value));
    const auto parsed = ParseModule(Print(graph));
    ASSERT_TRUE(parsed.ok()) << Message(parsed.status());
    EXPECT_EQ(Print(*parsed), Print(graph));
    EXPECT_EQ(parsed->graph.node(0).Tensor("value"), graph.node(0).Tensor("value"));
  }
}

TEST(Text, LargeConstantsCanBeADigest) {
  Graph graph;
  GraphBuilder b(graph);
  b.Output("y", b.Constant(HostTensor::FromInts(DType::kI32, {100}, std::vector<int64_t>(100))));
  const std::string text = Print(graph, {.full_constants = false});
  EXPECT_THAT(text, HasSubstr("i32[100] sha256:"));
  EXPECT_LT(text.size(), 200u);
  EXPECT_FALSE(ParseModule(text).ok());
}

TEST(Text, SourcesCanBeLeftOut) {
  Graph graph;
  GraphBuilder b(graph);
  b.SetSources({{SourceRef::Kind::kHir, 1, "block"}});
  b.Output("y", b.Unary(OpKind::kNeg, b.Input("x", {DType::kF32, {}})));
  EXPECT_THAT(Print(graph), HasSubstr("from hir 1 \"block\""));
  EXPECT_EQ(Print(graph, {.sources = false}).find("from"), std::string::npos);
}

TEST(Text, ErrorsSayWhere) {
  const auto complaint = [](std::string_view text) {
    return std::string(Message(ParseModule(text).status()));
  };
  EXPECT_THAT(complaint("mir \"m\" {\n  %0 = input \"x\" : f33[2]\n}"),
              HasSubstr("line 2, column 20: unknown dtype f33"));
  EXPECT_THAT(complaint("mir \"m\" {\n  %1 = input \"x\" : f32[2]\n}"),
              HasSubstr("expected %0, the next node"));
  EXPECT_THAT(complaint("lisp \"m\" {}"), HasSubstr("expected hir, mir or lir"));
  EXPECT_THAT(complaint("mir \"m\" {"), HasSubstr("expected a node"));
  EXPECT_THAT(complaint("mir \"m\" {} x"), HasSubstr("expected the end"));
  EXPECT_THAT(complaint("mir \"m"), HasSubstr("does not end"));
  EXPECT_THAT(complaint("mir \"m\" { %0 = constant {value = f32[2] (1)} : f32[2] }"),
              HasSubstr("f32[2] needs 2 numbers, got 1"));
  EXPECT_THAT(complaint("mir \"m\" { %0 = constant {value = f32[2] 0x0102} : f32[2] }"),
              HasSubstr("needs 8 bytes, got 2"));
  EXPECT_THAT(complaint("mir \"m\" { %0 = constant {value = u8[4294967296,4294967296] ()} }"),
              HasSubstr("has no size"));
  EXPECT_THAT(complaint("mir \"m\" { symbol s in [1, 2] symbol s in [1, 2] }"),
              HasSubstr("symbol s is there twice"));
}

TEST(Text, HostileNestingIsRefused) {
  std::string text = "mir \"m\" {";
  for (int i = 0; i < 5000; ++i) text += "%0 = elementwise_region() graph \"\" {";
  EXPECT_THAT(Message(ParseModule(text).status()), HasSubstr("nested too deeply"));
}

// With the result declared or left to inference, and anywhere inside.
TEST(Text, ABodyWithoutTypesIsRefused) {
  for (const char* declared : {"", " : f32[2]"}) {
    const auto module = ParseModule(Cat(R"(mir "m" {
      %0 = input "x" : f32[2]
      %1 = elementwise_region(%0) graph "" {
        %0 = input
        %1 = exp(%0)
        output "" = %1
      })",
                                        declared, "\noutput \"y\" = %1\n}"));
    EXPECT_FALSE(module.ok() && Verify(*module).ok());
  }
}

// Whatever the parser accepts after a random edit, it prints back to the same.
TEST(Text, MutationsAreRefusedOrRoundTrip) {
  int accepted = 0;
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    Rng rng(seed);
    std::string text(kEverything);
    for (uint64_t edits = 1 + rng() % 3; edits > 0; --edits) {
      const size_t at = rng() % text.size(), from = rng() % text.size();
      switch (rng() % 3) {
        case 0:
          text[at] = text[from];
          break;
        case 1:
          text.erase(at, 1 + rng() % 8);
          break;
        default:
          text.insert(at, text.substr(from, 1 + rng() % 40));
      }
    }
    const auto module = ParseModule(text);
    if (!module.ok()) continue;
    ++accepted;
    (void)Verify(*module);
    const std::string printed = Print(*module);
    const auto again = ParseModule(printed);
    ASSERT_TRUE(again.ok()) << Message(again.status()) << "\n" << printed;
    EXPECT_EQ(Print(*again), printed) << "seed " << seed;
  }
  EXPECT_GT(accepted, 50);
}

}  // namespace
}  // namespace rlx
