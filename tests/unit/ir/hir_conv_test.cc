// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "runtime/ir/verify.h"
#include "tests/unit/ir/hir_testing.h"

namespace rlx {
namespace {

using testing::HasSubstr;

constexpr int64_t kBatches = 2, kTokens = 5, kChannels = 3, kTaps = 4;

Block ConvBlock(Shape weight, bool pad, Dim seq = kTokens) {
  Block block{OpKind::kHirDepthwiseConv1dCausal,
              {{"x", F64({kBatches, seq, kChannels})}, {"w", F64(std::move(weight))}},
              {}};
  if (pad) block.operands.push_back({"left_pad", F64({kBatches, kTaps - 1, kChannels})});
  return block;
}

// Row t of left_pad (or zeros) followed by x.
double Padded(const TensorMap& in, int64_t b, int64_t t, int64_t c) {
  const int64_t pad = kTaps - 1;
  if (t >= pad) return in.at("x").ToDoubles()[(b * kTokens + t - pad) * kChannels + c];
  return in.contains("left_pad") ? in.at("left_pad").ToDoubles()[(b * pad + t) * kChannels + c] : 0;
}

void ExpectConv(const std::vector<EvalTensor>& got, const TensorMap& in) {
  ASSERT_EQ(got.size(), 2u);
  const std::vector<double> w = in.at("w").ToDoubles();
  for (int64_t b = 0; b < kBatches; ++b) {
    for (int64_t c = 0; c < kChannels; ++c) {
      for (int64_t t = 0; t < kTokens; ++t) {
        double want = 0;
        for (int64_t j = 0; j < kTaps; ++j) want += w[c * kTaps + j] * Padded(in, b, t + j, c);
        EXPECT_NEAR(got[0].f[(b * kTokens + t) * kChannels + c], want, 1e-12);
      }
      for (int64_t t = 0; t < kTaps - 1; ++t) {
        EXPECT_EQ(got[1].f[(b * (kTaps - 1) + t) * kChannels + c], Padded(in, b, kTokens + t, c));
      }
    }
  }
}

TEST(HirDepthwiseConv, MatchesItsDefinition) {
  for (const Shape& weight :
       {Shape{kChannels, kTaps}, Shape{kChannels, 1, kTaps}, Shape{kChannels, 1, 1, kTaps}}) {
    for (const bool pad : {false, true}) {
      const Block block = ConvBlock(weight, pad);
      ExpectConv(EvaluateBoth(block), BlockInputs(ModuleOf(block, FusionPolicy::kDirect)->graph));
    }
  }
}

TEST(HirDepthwiseConv, TakesASymbolicSequence) {
  for (FusionPolicy policy : {FusionPolicy::kDirect, FusionPolicy::kFusable}) {
    const auto graph =
        LowerBlock(ConvBlock({kChannels, 1, 1, kTaps}, true, Dim::Symbol(kSeq)), policy);
    ASSERT_TRUE(graph.ok()) << Message(graph.status());
    const auto bound = BindSymbols(*graph, {{std::string(kSeq), kTokens}});
    ASSERT_TRUE(bound.ok()) << Message(bound.status());
    const TensorMap inputs = BlockInputs(*bound);
    const auto got = Evaluate(*bound, inputs);
    ASSERT_TRUE(got.ok()) << Message(got.status());
    ExpectConv(*got, inputs);
  }
}

TEST(HirDepthwiseConv, SaysWhatIsWrong) {
  EXPECT_THAT(WhyNotBlock(ConvBlock({kChannels, 2, 1, kTaps}, false)),
              HasSubstr("w is f64[3,2,1,4] where f64[3,1,1,4] is needed"));
  EXPECT_THAT(WhyNotBlock(ConvBlock({kChannels, 1}, false)), HasSubstr("k of 2 or more"));
  Block block = ConvBlock({kChannels, kTaps}, true);
  block.operands[2].second = F64({kBatches, kTaps, kChannels});
  EXPECT_THAT(WhyNotBlock(block), HasSubstr("left_pad is f64[2,4,3] where f64[2,3,3] is needed"));
}

}  // namespace
}  // namespace rlx
