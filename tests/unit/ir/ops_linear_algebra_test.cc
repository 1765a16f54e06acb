// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/base/status.h"
#include "tests/unit/ir/op_testing.h"

namespace rlx {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

HostTensor F64(std::vector<int64_t> dims, const std::vector<double>& values) {
  return HostTensor::FromDoubles(DType::kF64, std::move(dims), values);
}

EvalTensor Fft(const HostTensor& x, bool inverse, const char* norm) {
  const auto got = EvalOp({OpKind::kFft, {x}, {{"inverse", inverse}, {"norm", std::string(norm)}}});
  EXPECT_TRUE(got.ok()) << Message(got.status());
  return got.ok() ? (*got)[0] : EvalTensor{};
}

// numpy.fft.fft([0, 1, 2, 3]) = [6, -2+2j, -2, -2-2j].
TEST(Fft, TurnsLikeNumpy) {
  const EvalTensor got = Fft(F64({8}, {0, 1, 2, 3, 0, 0, 0, 0}), false, "backward");
  const double want[] = {6, -2, -2, -2, 0, 2, 0, -2};
  for (int k = 0; k < 8; ++k) EXPECT_NEAR(got.f[k], want[k], 1e-12);
}

// The sum that defines it, at lengths that are powers of two and others.
TEST(Fft, IsTheNaiveTransform) {
  Rng rng(9);
  for (const int n : {3, 8, 12, 15, 20}) {
    const HostTensor x = RandomF64(rng, {2 * n});
    const std::vector<double> in = x.ToDoubles();
    for (const bool inverse : {false, true}) {
      const EvalTensor got = Fft(x, inverse, "backward");
      for (int k = 0; k < n; ++k) {
        double re = 0, im = 0;
        for (int t = 0; t < n; ++t) {
          const double angle = (inverse ? 2 : -2) * M_PI * k * t / n;
          re += in[t] * std::cos(angle) - in[n + t] * std::sin(angle);
          im += in[t] * std::sin(angle) + in[n + t] * std::cos(angle);
        }
        EXPECT_NEAR(got.f[k], re, 1e-9) << n << (inverse ? " inverse " : " ") << k;
        EXPECT_NEAR(got.f[n + k], im, 1e-9);
      }
    }
  }
}

TEST(Fft, ThereAndBack) {
  Rng rng(1);
  for (int64_t n : {1, 2, 7, 12, 64}) {
    const HostTensor x = RandomF64(rng, {2, 2 * n});
    const std::pair<const char*, double> kNorms[] = {
        {"backward", static_cast<double>(n)}, {"forward", 1.0}, {"ortho", 1.0}};
    for (const auto& [norm, factor] : kNorms) {
      const EvalTensor back = Fft(Fft(x, false, norm).ToHost(), true, norm);
      for (int64_t k = 0; k < x.size(); ++k)
        EXPECT_NEAR(back.f[k], factor * x.ToDoubles()[k], 1e-9 * factor) << norm << n;
    }
  }
}

TEST(Fft, KeepsEnergyWhenOrtho) {
  Rng rng(2);
  const HostTensor x = RandomF64(rng, {30});
  const EvalTensor y = Fft(x, false, "ortho");
  double before = 0, after = 0;
  for (int k = 0; k < 30; ++k) {
    before += std::pow(x.ToDoubles()[k], 2);
    after += std::pow(y.f[k], 2);
  }
  EXPECT_NEAR(before, after, 1e-9);
}

TEST(DenseSolve, FindsWhatWasMultiplied) {
  Rng rng(3);
  const HostTensor a = RandomF64(rng, {4, 5, 5}), x = RandomF64(rng, {4, 5, 2});
  const auto b = EvalOp({OpKind::kMatMul, {a, x}, {}});
  const auto got = EvalOp({OpKind::kBatchedDenseSolve, {a, (*b)[0].ToHost()}, {}});
  ASSERT_TRUE(got.ok()) << Message(got.status());
  EXPECT_LT(MaxDifference((*got)[0], EvalTensor::From(x)), 1e-9);
}

TEST(DenseSolve, PivotsAndRefusesSingularMatrices) {
  const auto got = EvalOp({OpKind::kDenseSolve, {F64({2, 2}, {0, 2, 3, 0}), F64({2}, {4, 9})}, {}});
  ASSERT_TRUE(got.ok()) << Message(got.status());
  EXPECT_THAT((*got)[0].f, ElementsAre(3, 2));
  const auto bad = EvalOp({OpKind::kDenseSolve, {F64({2, 2}, {1, 2, 2, 4}), F64({2}, {1, 1})}, {}});
  EXPECT_THAT(Message(bad.status()), HasSubstr("singular"));
}

HostTensor C64(const std::vector<double>& parts) {
  return HostTensor::FromDoubles(DType::kC64, {static_cast<int64_t>(parts.size() / 2)}, parts);
}

TEST(Complex, TextbookIdentities) {
  const HostTensor z = C64({3, -4, 0, 1, -2, 0.5});
  const auto conjugate = EvalOp({OpKind::kConjugate, {z}, {}});
  ASSERT_TRUE(conjugate.ok());
  const auto product = EvalOp({OpKind::kMul, {z, (*conjugate)[0].ToHost()}, {}});
  const auto norm = EvalOp({OpKind::kComplexNormSq, {z}, {}});
  EXPECT_THAT((*norm)[0].f, ElementsAre(25, 1, 4.25));
  EXPECT_THAT((*product)[0].f, ElementsAre(25, 0, 1, 0, 4.25, 0));
  const auto root = EvalOp({OpKind::kSqrt, {z}, {}});
  const auto square = EvalOp({OpKind::kMul, {(*root)[0].ToHost(), (*root)[0].ToHost()}, {}});
  for (int k = 0; k < 6; ++k) EXPECT_NEAR((*square)[0].f[k], z.ToDoubles()[k], 1e-5);
  const auto log = EvalOp({OpKind::kLog, {z}, {}});
  EXPECT_NEAR((*log)[0].f[3], M_PI / 2, 1e-12);  // ln i
}

TEST(Complex, RefusesWhatHasNoOrder) {
  const TensorType c{DType::kC64, {2}};
  EXPECT_NE(WhyNot(OpKind::kMax, {c, c}), "");
  EXPECT_NE(WhyNot(OpKind::kLt, {c, c}), "");
  EXPECT_NE(WhyNot(OpKind::kTanh, {c}), "");
  EXPECT_EQ(WhyNot(OpKind::kExp, {c}), "");
}

}  // namespace
}  // namespace rlx
