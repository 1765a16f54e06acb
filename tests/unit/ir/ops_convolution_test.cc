// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "tests/unit/ir/op_testing.h"

namespace rlx {
namespace {

using Ints = std::vector<int64_t>;
using testing::ElementsAre;
using testing::HasSubstr;

HostTensor Values(Ints dims, const std::vector<double>& values) {
  return HostTensor::FromDoubles(DType::kF64, std::move(dims), values);
}

std::vector<Attr> Window(Ints strides, Ints pads, Ints dilations, int64_t groups = 1) {
  return {{"strides", strides}, {"pads", pads}, {"dilations", dilations}, {"groups", groups}};
}

TEST(Conv, OneDimWithPaddingAndBias) {
  const auto out = EvalOp(
      {OpKind::kConv,
       {Values({1, 1, 4}, {1, 2, 3, 4}), Values({1, 1, 3}, {1, 10, 100}), Values({1}, {0.5})},
       Window({1}, {1, 1}, {1})});
  ASSERT_TRUE(out.ok()) << Message(out.status());
  EXPECT_THAT((*out)[0].f, ElementsAre(210.5, 321.5, 432.5, 43.5));
}

TEST(Conv, AsymmetricPadsStrideAndDilation) {
  // Taps at 2i-1 and 2i+1 of 1..5, with one zero before and none after.
  const auto out = EvalOp({OpKind::kConv,
                           {Values({1, 1, 5}, {1, 2, 3, 4, 5}), Values({1, 1, 2}, {1, 10})},
                           Window({2}, {1, 0}, {2})});
  ASSERT_TRUE(out.ok()) << Message(out.status());
  EXPECT_THAT((*out)[0].f, ElementsAre(20, 42));
}

// Every output of a grouped 2-D convolution against the definition written out.
TEST(Conv, GroupsInTwoDims) {
  Rng rng(5);
  const HostTensor x = RandomF64(rng, {2, 4, 5, 6}), w = RandomF64(rng, {6, 2, 3, 2});
  const auto out = EvalOp({OpKind::kConv, {x, w}, Window({2, 1}, {1, 0, 1, 1}, {1, 2}, 2)});
  ASSERT_TRUE(out.ok()) << Message(out.status());
  ASSERT_EQ((*out)[0].dims, (Ints{2, 6, 3, 5}));
  const auto xs = x.ToDoubles(), ws = w.ToDoubles();
  int64_t at = 0;
  for (int n = 0; n < 2; ++n) {
    for (int c = 0; c < 6; ++c) {
      for (int i = 0; i < 3; ++i) {
        for (int j = 0; j < 5; ++j) {
          double sum = 0;
          for (int k = 0; k < 2; ++k) {
            for (int p = 0; p < 3; ++p) {
              for (int q = 0; q < 2; ++q) {
                const int row = 2 * i + p - 1, column = j + 2 * q;
                if (row < 0 || row >= 5 || column >= 6) continue;
                const int channel = c / 3 * 2 + k;
                sum += xs[((n * 4 + channel) * 5 + row) * 6 + column] *
                       ws[((c * 2 + k) * 3 + p) * 2 + q];
              }
            }
          }
          EXPECT_NEAR((*out)[0].f[at++], sum, 1e-12);
        }
      }
    }
  }
}

TEST(Conv, KeepsSymbolsInSpatialDims) {
  const Dim s = Dim::Symbol("seq");
  const auto types = InferOp(OpKind::kConv, {F32({Dim::Symbol("batch"), 3, s}), F32({8, 3, 4})},
                             Window({2}, {1, 1}, {1}));
  ASSERT_TRUE(types.ok()) << Message(types.status());
  EXPECT_EQ((*types)[0], F32({Dim::Symbol("batch"), 8, FloorDiv(s - Dim(2), Dim(2)) + Dim(1)}));
}

TEST(Conv, SaysWhatIsWrong) {
  const TensorType x = F32({1, 4, 5});
  EXPECT_THAT(WhyNot(OpKind::kConv, {x, F32({8, 4, 6})}, Window({1}, {0, 0}, {1})),
              HasSubstr("the window spans 6 of spatial dim 0, which has 5"));
  EXPECT_THAT(WhyNot(OpKind::kConv, {x, F32({8, 4, 3})}, Window({1, 1}, {0, 0}, {1})),
              HasSubstr("strides has 2 entries where 1 are needed"));
  EXPECT_THAT(WhyNot(OpKind::kConv, {x, F32({8, 3, 3})}, Window({1}, {0, 0}, {1})),
              HasSubstr("channel count differs (4 vs 3)"));
  EXPECT_THAT(WhyNot(OpKind::kConv, {x, F32({7, 2, 3})}, Window({1}, {0, 0}, {1}, 2)),
              HasSubstr("7 output channels are not a multiple of 2 groups"));
  EXPECT_THAT(WhyNot(OpKind::kConv, {x, F32({8, 4, 3}), F32({7})}, Window({1}, {0, 0}, {1})),
              HasSubstr("bias is f32[7] where f32[8] is needed"));
  EXPECT_THAT(WhyNot(OpKind::kConv, {x, F32({8, 4, 3})}, Window({0}, {0, 0}, {1})),
              HasSubstr("strides"));
}

std::vector<Attr> Pooling(std::string mode, Ints kernel, Ints strides, Ints pads, bool whole) {
  return {{"mode", std::move(mode)},
          {"kernel", kernel},
          {"strides", strides},
          {"pads", pads},
          {"count_include_pad", whole}};
}

TEST(Pool, MaximumIgnoresPadding) {
  const auto out = EvalOp({OpKind::kPool,
                           {Values({1, 1, 4}, {-1, -2, -3, -4})},
                           Pooling("max", {2}, {2}, {1, 1}, false)});
  ASSERT_TRUE(out.ok()) << Message(out.status());
  EXPECT_THAT((*out)[0].f, ElementsAre(-1, -2, -4));
}

TEST(Pool, MeanCountsPaddingWhenAsked) {
  const HostTensor x = Values({1, 1, 4}, {2, 4, 6, 8});
  const auto inside = EvalOp({OpKind::kPool, {x}, Pooling("mean", {2}, {2}, {1, 1}, false)});
  const auto whole = EvalOp({OpKind::kPool, {x}, Pooling("mean", {2}, {2}, {1, 1}, true)});
  ASSERT_TRUE(inside.ok() && whole.ok());
  EXPECT_THAT((*inside)[0].f, ElementsAre(2, 5, 8));
  EXPECT_THAT((*whole)[0].f, ElementsAre(1, 5, 4));
}

TEST(Pool, RefusesWindowsOfPaddingAlone) {
  EXPECT_THAT(WhyNot(OpKind::kPool, {F32({1, 1, 4})}, Pooling("max", {2}, {1}, {2, 0}, false)),
              HasSubstr("pad 2 is not less than the kernel extent 2"));
}

}  // namespace
}  // namespace rlx
