// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/canonical.h"

#include <gtest/gtest.h>

#include "runtime/base/text.h"
#include "runtime/ir/text.h"
#include "runtime/ir/verify.h"

namespace rlx::engine {
namespace {

Canonical Of(std::string_view text, bool drop_dead = true) {
  absl::StatusOr<Module> module = ParseModule(text);
  EXPECT_TRUE(module.ok()) << module.status();
  EXPECT_TRUE(Verify(*module).ok()) << Verify(*module);
  Canonical canonical = Canonicalize(*module, drop_dead);
  EXPECT_TRUE(Verify(canonical.module).ok()) << Verify(canonical.module);
  return canonical;
}

Digest256 DigestOf(std::string_view text) { return Of(text).digest; }

constexpr std::string_view kPlain = R"(mir "m" {
  %0 = input "x" : f32[2,4]
  %1 = param "w" : f32[4,4]
  %2 = matmul(%0, %1)
  %3 = relu(%0)
  %4 = add(%2, %3)
  output "y" = %4
})";

// The digest names what a cache on disk and other versions know: a change of the canonical bytes
// loses them, and is to be meant.
TEST(Canonical, TheDigestOfAModuleStays) {
  EXPECT_EQ(DigestOf(kPlain).ToHex(),
            "165e84ed446820db0c22415073ab894bd24f684a890e7d72b09a1df0f1adbabb");
}

TEST(Canonical, NamesAndSourcesDoNotCount) {
  EXPECT_EQ(DigestOf(kPlain), DigestOf(R"(mir "other" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = matmul "up" (%0, %1) : f32[2,4] from onnx 7 "MatMul_7"
    %3 = relu "act" (%0)
    %4 = add "sum" (%2, %3)
    output "y" = %4
  })"));
}

TEST(Canonical, TheOrderOfNodesAndDeadOnesDoNotCount) {
  constexpr std::string_view kShuffled = R"(mir "m" {
    %0 = param "w" : f32[4,4]
    %1 = input "x" : f32[2,4]
    %2 = relu(%1)
    %3 = exp(%1)
    %4 = matmul(%1, %0)
    %5 = add(%4, %2)
    output "y" = %5
  })";
  EXPECT_EQ(DigestOf(kPlain), DigestOf(kShuffled));
  EXPECT_NE(Of(kPlain, false).digest, Of(kShuffled, false).digest) << "dead nodes were to stay";
}

TEST(Canonical, WhatChangesTheMeaningCounts) {
  const Digest256 plain = DigestOf(kPlain);
  const auto with = [](std::string_view from, std::string_view to) {
    std::string text(kPlain);
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  EXPECT_NE(plain, DigestOf(with("relu", "exp")));
  EXPECT_NE(plain, DigestOf(with("input \"x\"", "input \"z\"")));
  EXPECT_NE(plain, DigestOf(with("output \"y\"", "output \"z\"")));
  EXPECT_NE(plain, DigestOf(with("add(%2, %3)", "add(%3, %2)")));
  EXPECT_NE(plain, DigestOf(with("output \"y\" = %4", "output \"y\" = %2")));
}

TEST(Canonical, ConstantsAttributesAndSymbolsCount) {
  const auto text = [](std::string_view value, int axis, int most) {
    return Cat("mir \"m\" { symbol rows in [1, ", most, "] %0 = input \"x\" : f32[rows,4,4] ",
               "%1 = constant {value = f32[] (", value, ")} : f32[] %2 = mul(%0, %1) ",
               "%3 = softmax(%2) {axis = ", axis, "} output \"y\" = %3 }");
  };
  const Digest256 plain = DigestOf(text("1", 2, 8));
  EXPECT_EQ(plain, DigestOf(text("1", -1, 8))) << "the same axis, written from the end";
  EXPECT_NE(plain, DigestOf(text("2", 2, 8)));
  EXPECT_NE(plain, DigestOf(text("1", 1, 8)));
  EXPECT_NE(plain, DigestOf(text("1", 2, 9)));
}

TEST(Canonical, ForgetsNamesAndKeepsThemForTheirAuthor) {
  const Canonical canonical = Of(R"(mir "mine" {
    %0 = param "w" : f32[4,4]
    %1 = input "x" : f32[2,4]
    %2 = matmul "up" (%1, %0) : f32[2,4] from onnx 7 "MatMul_7"
    %3 = relu "act" (%2)
    output "y" = %3
  })");
  const Graph& graph = canonical.module.graph;
  EXPECT_EQ(graph.name, "");
  ASSERT_EQ(graph.size(), 4);
  EXPECT_EQ(graph.node(0).name, "x");
  EXPECT_EQ(graph.node(1).name, "w");
  EXPECT_EQ(graph.node(2).name, "");
  EXPECT_EQ(graph.node(3).sources, (std::vector<SourceRef>{{SourceRef::Kind::kMir, 3, ""}}));
  EXPECT_EQ(canonical.names->module_name, "mine");
  EXPECT_EQ(canonical.names->nodes[2].sources,
            (std::vector<SourceRef>{{SourceRef::Kind::kOnnx, 7, "MatMul_7"}}));
  EXPECT_EQ(canonical.names->nodes[0].sources,
            (std::vector<SourceRef>{{SourceRef::Kind::kMir, 1, "x"}}));
}

TEST(Canonical, AliasesKeepTheAuthorsOrder) {
  // %2 reads the cache before %3 writes it; the outputs name them the other way round.
  const Canonical canonical = Of(R"(mir "kv" {
    %0 = input "cache" : f32[4]
    %1 = input "x" : f32[4]
    %2 = mul(%0, %1)
    %3 = add(%1, %1)
    alias 0 -> 0
    output "cache" = %3
    output "y" = %2
  })");
  EXPECT_EQ(canonical.module.graph.node(2).op, OpKind::kMul);
}

TEST(Canonical, NestedNamesDoNotCount) {
  const auto text = [](std::string_view name) {
    return Cat("mir \"m\" { %0 = input \"c\" : bool[] %1 = input \"x\" : f32[4] ",
               "%2 = if(%0, %1) graph \"a\" { %0 = input \"v\" : f32[4] %1 = relu \"", name,
               "\" (%0) output \"o\" = %1 } graph \"b\" { %0 = input \"v\" : f32[4] ",
               "%1 = neg(%0) output \"o\" = %1 } output \"y\" = %2 }");
  };
  EXPECT_EQ(DigestOf(text("one")), DigestOf(text("two")));
}

}  // namespace
}  // namespace rlx::engine
