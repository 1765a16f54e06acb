// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "tests/unit/ir/op_testing.h"

namespace rlx {
namespace {

using Ints = std::vector<int64_t>;
using testing::HasSubstr;

HostTensor Counting(Ints dims, double start = 0) {
  std::vector<double> values;
  int64_t size = 1;
  for (int64_t dim : dims) size *= dim;
  for (int64_t k = 0; k < size; ++k) values.push_back(start + static_cast<double>(k));
  return HostTensor::FromDoubles(DType::kF64, std::move(dims), values);
}

TEST(MatMul, Multiplies) {
  const auto out = EvalOp({OpKind::kMatMul, {Counting({2, 3}, 1), Counting({3, 2}, 1)}, {}});
  ASSERT_TRUE(out.ok());
  EXPECT_EQ((*out)[0].f, (std::vector<double>{22, 28, 49, 64}));
}

TEST(MatMul, BroadcastsBatchDimsOfEitherSide) {
  // a[2,1,2,2] · b[3,2,1]: every a with every b.
  const auto out = EvalOp({OpKind::kMatMul, {Counting({2, 1, 2, 2}), Counting({3, 2, 1})}, {}});
  ASSERT_TRUE(out.ok());
  ASSERT_EQ((*out)[0].dims, (Ints{2, 3, 2, 1}));
  for (int64_t p = 0; p < 2; ++p) {
    for (int64_t q = 0; q < 3; ++q) {
      for (int64_t i = 0; i < 2; ++i) {
        const double a0 = 4 * p + 2 * i, b0 = 2 * q;
        EXPECT_EQ((*out)[0].f[(p * 3 + q) * 2 + i], a0 * b0 + (a0 + 1) * (b0 + 1));
      }
    }
  }
}

TEST(MatMul, MultipliesIntegersExactly) {
  const int64_t big = (int64_t{1} << 53) + 1;  // not a double
  const HostTensor a = HostTensor::FromInts(DType::kI64, {1, 1}, {big});
  const HostTensor b = HostTensor::FromInts(DType::kI64, {1, 1}, {3});
  const auto out = EvalOp({OpKind::kMatMul, {a, b}, {}});
  ASSERT_TRUE(out.ok());
  EXPECT_EQ((*out)[0].i, (Ints{3 * big}));
}

TEST(MatMul, InfersSymbolicDims) {
  const Dim s = Dim::Symbol("seq"), n = Dim::Symbol("batch");
  const auto types = InferOp(OpKind::kMatMul, {F32({n, s, 64}), F32({64, 32})});
  ASSERT_TRUE(types.ok());
  EXPECT_EQ((*types)[0], F32({n, s, 32}));
}

TEST(MatMul, SaysWhatDiffers) {
  EXPECT_THAT(WhyNot(OpKind::kMatMul, {F32({2, 64}), F32({32, 8})}),
              HasSubstr("k differs (64 vs 32)"));
  EXPECT_THAT(WhyNot(OpKind::kMatMul, {F32({64}), F32({64, 8})}), HasSubstr("ranks are 1 and 2"));
  EXPECT_THAT(WhyNot(OpKind::kMatMul, {F32({2, 4, 4}), F32({3, 4, 4})}), HasSubstr("batch dims"));
  EXPECT_THAT(WhyNot(OpKind::kMatMul, {F32({2, 4}), {DType::kF16, {4, 4}}}),
              HasSubstr("dtype differs (f32 vs f16)"));
  EXPECT_THAT(WhyNot(OpKind::kMatMul, {{DType::kI8, {2, 4}}, {DType::kI8, {4, 2}}}),
              HasSubstr("i8"));
}

std::vector<Attr> Axes(Ints lc, Ints rc, Ints lb, Ints rb) {
  return {{"lhs_contracting", lc}, {"rhs_contracting", rc}, {"lhs_batch", lb}, {"rhs_batch", rb}};
}

TEST(DotGeneral, OrdersDimsBatchThenFree) {
  const auto types = InferOp(OpKind::kDotGeneral, {F32({5, 2, 3, 7}), F32({11, 3, 5, 13})},
                             Axes({2}, {1}, {0}, {2}));
  ASSERT_TRUE(types.ok());
  EXPECT_EQ((*types)[0], F32({5, 2, 7, 11, 13}));
}

// Two contracting axes in different order, one batch axis: against four plain loops.
TEST(DotGeneral, ContractsPairedAxes) {
  Rng rng(3);
  const HostTensor a = RandomF64(rng, {2, 3, 4, 5}), b = RandomF64(rng, {5, 6, 3, 2});
  const auto out = EvalOp({OpKind::kDotGeneral, {a, b}, Axes({1, 3}, {2, 0}, {0}, {3})});
  ASSERT_TRUE(out.ok());
  ASSERT_EQ((*out)[0].dims, (Ints{2, 4, 6}));
  const auto x = a.ToDoubles(), y = b.ToDoubles();
  for (int p = 0; p < 2; ++p) {
    for (int m = 0; m < 4; ++m) {
      for (int n = 0; n < 6; ++n) {
        double sum = 0;
        for (int i = 0; i < 3; ++i) {
          for (int j = 0; j < 5; ++j) {
            sum += x[((p * 3 + i) * 4 + m) * 5 + j] * y[((j * 6 + n) * 3 + i) * 2 + p];
          }
        }
        EXPECT_NEAR((*out)[0].f[(p * 4 + m) * 6 + n], sum, 1e-12);
      }
    }
  }
}

TEST(DotGeneral, ChecksAxes) {
  const std::vector<TensorType> types = {F32({2, 3}), F32({3, 2})};
  EXPECT_THAT(WhyNot(OpKind::kDotGeneral, types, Axes({1}, {}, {}, {})),
              HasSubstr("lhs_contracting names 1 axes and rhs_contracting 0"));
  EXPECT_THAT(WhyNot(OpKind::kDotGeneral, types, Axes({2}, {0}, {}, {})),
              HasSubstr("lhs axis 2 is outside rank 2"));
  EXPECT_THAT(WhyNot(OpKind::kDotGeneral, types, Axes({1}, {0}, {1}, {1})),
              HasSubstr("lhs axis 1 is named twice"));
  EXPECT_THAT(WhyNot(OpKind::kDotGeneral, types, Axes({0}, {0}, {}, {})),
              HasSubstr("contracting differs (2 vs 3)"));
}

}  // namespace
}  // namespace rlx
