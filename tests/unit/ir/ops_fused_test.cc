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

TEST(FusedMatMulBiasAct, AddsTheResidualAfterTheActivation) {
  const auto out =
      EvalOp({OpKind::kFusedMatMulBiasAct,
              {Values({1, 2}, {1, -2}), Values({2, 2}, {1, 0, 0, 1}), Values({2}, {0.5, 0.5}),
               Values({1, 2}, {10, 20})},
              {{"has_bias", true}, {"has_residual", true}, {"activation", std::string("relu")}}});
  ASSERT_TRUE(out.ok()) << Message(out.status());
  EXPECT_THAT((*out)[0].f, ElementsAre(11.5, 20));
}

// x·w + b with w the first rows of the identity; gelu(1.5), gelu(-0.5), gelu(0.5), gelu(0).
TEST(FusedMatMulBiasAct, KnownGeluValues) {
  const auto out =
      EvalOp({OpKind::kFusedMatMulBiasAct,
              {Values({1, 4}, {1, 0, 0.5, 0}), Values({4, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0}),
               Values({3}, {0.5, -0.5, 0})},
              {{"has_bias", true}, {"activation", std::string("gelu")}}});
  ASSERT_TRUE(out.ok()) << Message(out.status());
  EXPECT_THAT((*out)[0].f, Pointwise(DoubleNear(1e-6), {1.3997892, -0.1542688, 0.3457312}));
}

TEST(FusedMatMulBiasAct, SaysWhatIsWrong) {
  auto why = [](std::vector<TensorType> operands, bool bias, bool residual) {
    return WhyNot(OpKind::kFusedMatMulBiasAct, std::move(operands),
                  {{"has_bias", bias}, {"has_residual", residual}});
  };
  const TensorType x = F32({4, 8}), w = F32({8, 6}), bias = F32({6}), out = F32({4, 6});
  EXPECT_EQ(why({x, w, bias, out}, true, true), "");
  EXPECT_EQ(why({x, w, out}, false, true), "");
  EXPECT_THAT(why({x, w, bias}, false, true), HasSubstr("residual is f32[6]"));
  EXPECT_THAT(why({x, w, F32({1})}, true, false), HasSubstr("bias is f32[1] where f32[6]"));
  EXPECT_THAT(why({x, w}, true, false), HasSubstr("2 operands where 3 are needed"));
  EXPECT_THAT(why({x, F32({2, 8, 6}), bias}, true, false), HasSubstr("w has rank 3"));
  EXPECT_THAT(WhyNot(OpKind::kFusedMatMulBiasAct, {x, w}, {{"activation", std::string("exp")}}),
              HasSubstr("activation is \"exp\""));
}

TEST(FusedResidualRmsNorm, GivesTheNormAndTheSum) {
  const auto out = EvalOp({OpKind::kFusedResidualRmsNorm,
                           {Values({1, 2}, {1, 2}), Values({1, 2}, {1, 1}), Values({2}, {1, 1}),
                            Values({2}, {1, 2}), Values({2}, {0, 1})},
                           {{"has_bias", true}, {"eps", 0.0}}});
  ASSERT_TRUE(out.ok()) << Message(out.status());
  const double rms = std::sqrt(12.5);
  EXPECT_THAT((*out)[0].f, Pointwise(DoubleNear(1e-12), {3 / rms, 8 / rms + 1}));
  EXPECT_THAT((*out)[1].f, ElementsAre(3, 4));
}

TEST(FusedResidualLayerNorm, DemandsEqualShapes) {
  const TensorType x = F32({4, 8}), n = F32({8});
  EXPECT_EQ(WhyNot(OpKind::kFusedResidualLayerNorm, {x, x, n, n}), "");
  EXPECT_THAT(WhyNot(OpKind::kFusedResidualLayerNorm, {x, n, n, n}),
              HasSubstr("residual is f32[8] where f32[4,8] is needed"));
  EXPECT_THAT(WhyNot(OpKind::kFusedResidualLayerNorm, {x, x, n, n}, {{"has_bias", true}}),
              HasSubstr("4 operands where 5 are needed"));
}

TEST(FusedSwiglu, GateFirstSwapsTheHalves) {
  auto silu = [](double x) { return x / (1 + std::exp(-x)); };
  const HostTensor x = Values({1, 4}, {1, 2, 3, 4});
  const auto last = EvalOp({OpKind::kFusedSwiglu, {x}, {}});
  const auto first = EvalOp({OpKind::kFusedSwiglu, {x}, {{"gate_first", true}}});
  ASSERT_TRUE(last.ok() && first.ok());
  EXPECT_THAT((*last)[0].f, Pointwise(DoubleNear(1e-12), {1 * silu(3), 2 * silu(4)}));
  EXPECT_THAT((*first)[0].f, Pointwise(DoubleNear(1e-12), {3 * silu(1), 4 * silu(2)}));
  EXPECT_THAT(WhyNot(OpKind::kFusedSwiglu, {F32({2, 5})}),
              HasSubstr("the last extent 5 is not an even constant"));
}

// 3·silu(1) = 2.19317…, of which bf16 keeps 2.1875.
TEST(FusedSwiglu, CastsItsResult) {
  const HostTensor x = Values({1, 2}, {3, 1});
  const OpCase narrow = {OpKind::kFusedSwiglu, {x}, {{"cast_to", DType::kBF16}}};
  for (const auto& made : {EvalOp(narrow), EvalParts(narrow)}) {
    ASSERT_TRUE(made.ok()) << Message(made.status());
    EXPECT_EQ((*made)[0].dtype, DType::kBF16);
    EXPECT_EQ((*made)[0].f, std::vector<double>{2.1875});
  }
  EXPECT_THAT(WhyNot(OpKind::kFusedSwiglu, {F32({2, 4})}, {{"cast_to", DType::kI32}}),
              HasSubstr("cast_to is i32 where a float is needed"));
  EXPECT_EQ(WhyNot(OpKind::kFusedSwiglu, {F32({2, 4})}, {{"cast_to", DType::kF16}}), "");
}

}  // namespace
}  // namespace rlx
