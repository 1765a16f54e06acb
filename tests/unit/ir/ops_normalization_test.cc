// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/base/status.h"
#include "tests/unit/ir/op_testing.h"

namespace rlx {
namespace {

using Ints = std::vector<int64_t>;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pointwise;

HostTensor Values(Ints dims, const std::vector<double>& values) {
  return HostTensor::FromDoubles(DType::kF64, std::move(dims), values);
}

TEST(LayerNorm, NormalizesTheLastAxis) {
  const auto out =
      EvalOp({OpKind::kLayerNorm,
              {Values({1, 3}, {1, 2, 3}), Values({3}, {1, 2, 1}), Values({3}, {0, 0, 5})},
              {{"eps", 0.0}}});
  ASSERT_TRUE(out.ok()) << Message(out.status());
  const double unit = std::sqrt(1.5);
  EXPECT_THAT((*out)[0].f, Pointwise(DoubleNear(1e-12), {-unit, 0.0, 5 + unit}));
}

// E[x²] - E[x]² would lose every digit here.
TEST(LayerNorm, TakesTheVarianceAroundTheMean) {
  const double far = 1e9;
  const auto out =
      EvalOp({OpKind::kLayerNorm,
              {Values({2}, {far + 1, far - 1}), Values({2}, {1, 1}), Values({2}, {0, 0})},
              {{"eps", 0.0}}});
  ASSERT_TRUE(out.ok());
  EXPECT_THAT((*out)[0].f, Pointwise(DoubleNear(1e-12), {1.0, -1.0}));
}

TEST(LayerNorm, NormalizesSeveralTrailingAxes) {
  const auto out = EvalOp({OpKind::kLayerNorm,
                           {Values({1, 2, 2}, {1, 2, 3, 4}), Values({2, 2}, {1, 1, 1, 1}),
                            Values({2, 2}, {0, 0, 0, 0})},
                           {{"axis", int64_t{1}}, {"eps", 0.0}}});
  ASSERT_TRUE(out.ok()) << Message(out.status());
  const double unit = 1 / std::sqrt(1.25);
  EXPECT_THAT((*out)[0].f,
              Pointwise(DoubleNear(1e-12), {-1.5 * unit, -0.5 * unit, 0.5 * unit, 1.5 * unit}));
}

TEST(LayerNorm, SaysWhatIsWrong) {
  const TensorType x = F32({4, 8}), n = F32({8});
  EXPECT_THAT(WhyNot(OpKind::kLayerNorm, {x, F32({4}), n}),
              HasSubstr("gamma is f32[4] where f32[8] is needed"));
  EXPECT_THAT(WhyNot(OpKind::kLayerNorm, {x, n, n}, {{"eps", -1e-5}}), HasSubstr("eps is -1e-05"));
  EXPECT_THAT(WhyNot(OpKind::kLayerNorm, {x, n, n}, {{"axis", int64_t{2}}}),
              HasSubstr("axis 2 is outside rank 2"));
  EXPECT_THAT(WhyNot(OpKind::kLayerNorm, {x, n, {DType::kBF16, {8}}}),
              HasSubstr("operand 2 is bf16 where operand 0 is f32"));
}

TEST(RmsNorm, HasAnOptionalShift) {
  const HostTensor x = Values({2}, {3, 4}), gamma = Values({2}, {1, 2});
  const auto plain = EvalOp({OpKind::kRmsNorm, {x, gamma}, {{"eps", 0.0}}});
  const auto shifted =
      EvalOp({OpKind::kRmsNorm, {x, gamma, Values({2}, {10, 20})}, {{"eps", 0.0}}});
  ASSERT_TRUE(plain.ok() && shifted.ok());
  const double rms = std::sqrt(12.5);
  EXPECT_THAT((*plain)[0].f, Pointwise(DoubleNear(1e-12), {3 / rms, 8 / rms}));
  EXPECT_THAT((*shifted)[0].f, Pointwise(DoubleNear(1e-12), {10 + 3 / rms, 20 + 8 / rms}));
}

TEST(BatchNorm, ScalesEachChannel) {
  const auto out = EvalOp({OpKind::kBatchNorm,
                           {Values({1, 2, 2}, {1, 3, 5, 7}), Values({2}, {2, 1}),
                            Values({2}, {0, 1}), Values({2}, {1, 5}), Values({2}, {4, 1})},
                           {{"eps", 0.0}}});
  ASSERT_TRUE(out.ok()) << Message(out.status());
  EXPECT_THAT((*out)[0].f, ElementsAre(0, 2, 1, 3));
}

TEST(Softmax, SumsToOneAlongAnyAxis) {
  Rng rng(7);
  for (int64_t axis : {0, 1, 2, -1, -2, -3}) {
    const HostTensor x = RandomF64(rng, {3, 4, 5}, -30, 30);
    const auto out = EvalOp({OpKind::kSoftmax, {x}, {{"axis", axis}}});
    ASSERT_TRUE(out.ok());
    const auto xs = x.ToDoubles();
    const Ints dims = {3, 4, 5}, strides = {20, 5, 1};
    const int64_t at = (axis + 3) % 3;
    for (int64_t k = 0; k < 60; ++k) {
      const int64_t first = k - k / strides[at] % dims[at] * strides[at];
      double sum = 0;
      for (int64_t j = 0; j < dims[at]; ++j) sum += std::exp(xs[first + j * strides[at]] - xs[k]);
      EXPECT_NEAR((*out)[0].f[k], 1 / sum, 1e-12);
    }
  }
}

TEST(Softmax, SurvivesLargeScores) {
  const auto out = EvalOp({OpKind::kSoftmax, {Values({2}, {1e4, 1e4 - std::log(3.0)})}, {}});
  ASSERT_TRUE(out.ok());
  EXPECT_THAT((*out)[0].f, Pointwise(DoubleNear(1e-9), {0.75, 0.25}));
}

}  // namespace
}  // namespace rlx
