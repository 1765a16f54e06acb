// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "runtime/base/status.h"
#include "tests/unit/ir/op_testing.h"

namespace rlx {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Ints = std::vector<int64_t>;

HostTensor F64(std::vector<int64_t> dims, const std::vector<double>& values) {
  return HostTensor::FromDoubles(DType::kF64, std::move(dims), values);
}

std::vector<double> Eval(const OpCase& op_case) {
  const auto got = EvalOp(op_case);
  EXPECT_TRUE(got.ok()) << Message(got.status());
  return got.ok() ? (*got)[0].f : std::vector<double>();
}

// out[2h+i, 2w+j] = in[h, w]: it repeats pixels, it does not tile the image.
TEST(ResizeNearest2x, RepeatsPixels) {
  EXPECT_THAT(Eval({OpKind::kResizeNearest2x, {F64({1, 1, 2, 2}, {1, 2, 3, 4})}, {}}),
              ElementsAre(1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4));
}

TEST(GroupNorm, IsPerImageAndGroup) {
  // Two images of two groups of one channel: [0, 2] is -1, 1 wherever it stands.
  const std::vector<double> x = {0, 2, 10, 14, -3, -1, 5, 5.5};
  const std::vector<double> got = Eval({OpKind::kGroupNorm,
                                        {F64({2, 2, 1, 2}, x), F64({2}, {1, 10}), F64({2}, {0, 1})},
                                        {{"num_groups", int64_t{2}}, {"eps", 0.0}}});
  const double want[] = {-1, 1, -9, 11, -1, 1, -9, 11};
  for (int k = 0; k < 8; ++k) EXPECT_NEAR(got[k], want[k], 1e-12);
}

TEST(LayerNorm2d, IsOverChannelsAtAPixel) {
  const std::vector<double> got =
      Eval({OpKind::kLayerNorm2d,
            {F64({1, 2, 1, 2}, {0, 5, 2, 15}), F64({2}, {1, 1}), F64({2}, {0, 0})},
            {{"eps", 0.0}}});
  const double want[] = {-1, -1, 1, 1};
  for (int k = 0; k < 4; ++k) EXPECT_NEAR(got[k], want[k], 1e-12);
}

// Transposed means: <conv(x), y> = <x, conv_transpose(y)>.
TEST(ConvTranspose2d, IsTheAdjointOfConv) {
  Rng rng(11);
  for (const int64_t groups : {1, 2}) {
    const HostTensor x = RandomF64(rng, {2, 2 * groups, 7, 6});
    const HostTensor w = RandomF64(rng, {3 * groups, 2, 3, 2});  // of conv: [c_out, c_in/g, ..]
    const Ints strides = {2, 1}, pads = {1, 0, 0, 1}, dilations = {1, 2};
    const OpCase conv{
        OpKind::kConv,
        {x, w},
        {{"strides", strides}, {"pads", pads}, {"dilations", dilations}, {"groups", groups}}};
    const auto forward = EvalOp(conv);
    ASSERT_TRUE(forward.ok()) << Message(forward.status());
    const HostTensor y = RandomF64(rng, (*forward)[0].dims);
    const Ints padding = {(7 + 1 - 3) % 2, 0};
    const auto back = EvalOp({OpKind::kConvTranspose2d,
                              {y, w},
                              {{"strides", strides},
                               {"pads", pads},
                               {"dilations", dilations},
                               {"output_padding", padding},
                               {"groups", groups}}});
    ASSERT_TRUE(back.ok()) << Message(back.status());
    ASSERT_EQ((*back)[0].dims, x.dims());
    const auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
      return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
    };
    EXPECT_NEAR(dot((*forward)[0].f, y.ToDoubles()), dot(x.ToDoubles(), (*back)[0].f), 1e-9);
  }
}

TEST(AxialRope2d, TurnsByColumnThenRow) {
  // A grid of 2 by 2, one head of 4: pair 0 turns by the column, pair 1 by the row, frequency 1.
  const std::vector<double> x = {1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0};
  const std::vector<double> got = Eval({OpKind::kAxialRope2d,
                                        {F64({1, 4, 4}, x)},
                                        {{"end_x", int64_t{2}},
                                         {"end_y", int64_t{2}},
                                         {"head_dim", int64_t{4}},
                                         {"num_heads", int64_t{1}},
                                         {"theta", 10000.0}}});
  for (int token = 0; token < 4; ++token) {
    EXPECT_NEAR(got[4 * token], std::cos(token % 2), 1e-12);
    EXPECT_NEAR(got[4 * token + 1], std::sin(token % 2), 1e-12);
    EXPECT_NEAR(got[4 * token + 2], std::cos(token / 2), 1e-12);
    EXPECT_NEAR(got[4 * token + 3], std::sin(token / 2), 1e-12);
  }
}

TEST(Vision, NamesWhatDoesNotFit) {
  EXPECT_THAT(WhyNot(OpKind::kGroupNorm, {F32({1, 6, 2, 2}), F32({6}), F32({6})},
                     {{"num_groups", int64_t{4}}}),
              HasSubstr("not a multiple of 4 groups"));
  EXPECT_THAT(WhyNot(OpKind::kResizeNearest2x, {F32({2, 2})}), HasSubstr("rank 2"));
  const auto symbolic =
      InferOp(OpKind::kResizeNearest2x, {F32({Dim::Symbol(kBatch), 3, Dim::Symbol("h"), 4})});
  ASSERT_TRUE(symbolic.ok());
  EXPECT_EQ((*symbolic)[0].shape[2], Dim::Symbol("h") * Dim(2));
}

}  // namespace
}  // namespace rlx
