// SPDX-License-Identifier: Apache-2.0
// The elementary functions, seen through the kernels that use them.
#include <gtest/gtest.h>

#include "backends/cpu/math/attention_task.h"
#include "backends/cpu/math/gemm.h"
#include "runtime/base/thread_pool.h"
#include "tests/unit/cpu_math/math_testing.h"

namespace rlx::cpu {
namespace {

class SimdMathOnIsa : public testing::TestWithParam<Isa> {
 protected:
  const MathKernels& kernels_ = MathFor(GetParam());
};

// e^x of every x <= 0: a softmax row whose maximum is known to be 0.
std::vector<float> Exponentials(const MathKernels& kernels, std::vector<float> x) {
  float maximum = 0, sum = 0;
  kernels.softmax_row({.scores = x.data(),
                       .keys = static_cast<int64_t>(x.size()),
                       .begin = 0,
                       .end = static_cast<int64_t>(x.size()),
                       .softcap = 0,
                       .additive = nullptr,
                       .maximum = &maximum,
                       .sum = &sum});
  return x;
}

TEST_P(SimdMathOnIsa, ExpIsRightTo23e7OfItsValue) {
  std::vector<float> x;
  for (float v = 0; v > -87.2f; v -= 0.0007f) x.push_back(v);
  const std::vector<float> y = Exponentials(kernels_, x);
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    worst = std::fmax(worst, std::abs(y[i] / std::exp(double{x[i]}) - 1));
  }
  EXPECT_LT(worst, 2.3e-7);
}

TEST_P(SimdMathOnIsa, ExpOfWhatIsHiddenIsExactlyZero) {
  for (float y : Exponentials(kernels_, {-88, -1e5f, -1e30f, -3.4e38f, -INFINITY})) EXPECT_EQ(y, 0);
}

// act(x) through a product with one step of k: x times 1.
std::vector<float> Activated(const MathKernels& kernels, const Activation& a,
                             const std::vector<float>& x) {
  const int64_t n = static_cast<int64_t>(x.size());
  Aligned packed(PackedSize(kernels, 1, n) * sizeof(float));
  Team alone;
  PackB(kernels, 1, n, x.data(), n, false, packed.floats(), alone);
  const float one = 1;
  std::vector<float> y(n);
  Gemm(kernels,
       PackedGemm{.m = 1,
                  .n = n,
                  .k = 1,
                  .a = &one,
                  .lda = 1,
                  .b = packed.floats(),
                  .c = y.data(),
                  .ldc = n,
                  .epilogue = {.activation = a}},
       alone);
  return y;
}

TEST_P(SimdMathOnIsa, ActivationsAreRightTo1e6) {
  std::vector<float> x;
  for (float v = -12; v < 12; v += 0.0011f) x.push_back(v);
  for (float v : {-1e4f, -90.0f, 90.0f, 1e4f, 0.0f, 1e-6f}) x.push_back(v);
  for (const Activation& a : AllActivations()) {
    const std::vector<float> y = Activated(kernels_, a, x);
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = Reference(a, x[i]);
      ASSERT_NEAR(y[i], want, 1e-6 + 4e-7 * std::abs(want)) << int(a.kind) << " of " << x[i];
    }
  }
}

TEST_P(SimdMathOnIsa, TanhIsRightToItsValueNearZero) {
  std::vector<float> x;
  for (float v = 1e-6f; v < 3; v *= 1.01f) x.push_back(v);
  const std::vector<float> y = Activated(kernels_, {Act::kTanh}, x);
  for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(y[i] / std::tanh(double{x[i]}), 1, 4e-7);
}

INSTANTIATE_TEST_SUITE_P(All, SimdMathOnIsa, testing::ValuesIn(IsasHere()),
                         [](const auto& isa) { return std::string(IsaName(isa.param)); });

}  // namespace
}  // namespace rlx::cpu
