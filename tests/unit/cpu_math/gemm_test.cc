// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/gemm.h"

#include <gtest/gtest.h>

#include "runtime/base/thread_pool.h"
#include "tests/unit/cpu_math/math_testing.h"

namespace rlx::cpu {
namespace {

constexpr double kRounding = 0x1p-24;

struct Product {
  Matrix a, b, c, residual;
  std::vector<float> bias, row_bias;
};

Product RandomProduct(int64_t m, int64_t n, int64_t k, bool transposed, std::mt19937& rng) {
  Product p{RandomMatrix(m, k, 3, rng),
            transposed ? RandomMatrix(n, k, 2, rng) : RandomMatrix(k, n, 2, rng),
            Matrix(m, n, 5),
            RandomMatrix(m, n, 1, rng),
            std::vector<float>(n),
            std::vector<float>(m)};
  Fill(p.bias, rng);
  Fill(p.row_bias, rng);
  return p;
}

// A chain of k additions is off by at most k rounding errors of the sum of magnitudes; the epilogue
// adds a few more, and no activation here has a slope above 1.13.
void ExpectProduct(const Product& p, bool transposed, const Epilogue& e) {
  const int64_t k = p.a.cols;
  for (int64_t i = 0; i < p.c.rows; ++i) {
    for (int64_t j = 0; j < p.c.cols; ++j) {
      double sum = 0, magnitude = 0;
      for (int64_t x = 0; x < k; ++x) {
        const double term = double{p.a.At(i, x)} * (transposed ? p.b.At(j, x) : p.b.At(x, j));
        sum += term;
        magnitude += std::abs(term);
      }
      double want = e.alpha * sum;
      if (e.bias != nullptr) want += e.bias[j];
      if (e.row_bias != nullptr) want += e.row_bias[i];
      want = Reference(e.activation, want);
      if (e.residual != nullptr) want += p.residual.At(i, j);
      const double bound = 1.13 * (k + 4) * kRounding * (std::abs(e.alpha) * magnitude + 2) + 1e-6;
      ASSERT_NEAR(p.c.At(i, j), want, bound) << "at " << i << ", " << j;
    }
  }
  EXPECT_TRUE(p.c.PaddingUntouched());
}

void RunPacked(const MathKernels& kernels, Product& p, bool transposed, const Epilogue& e,
               Team& team) {
  const int64_t k = p.a.cols, n = p.c.cols;
  Aligned packed(PackedSize(kernels, k, n) * sizeof(float));
  PackB(kernels, k, n, p.b.data.data(), p.b.ld, transposed, packed.floats(), team);
  const PackedGemm gemm{.m = p.c.rows,
                        .n = n,
                        .k = k,
                        .a = p.a.data.data(),
                        .lda = p.a.ld,
                        .b = packed.floats(),
                        .c = p.c.data.data(),
                        .ldc = p.c.ld,
                        .epilogue = e};
  Gemm(kernels, gemm, team);
}

class GemmOnIsa : public testing::TestWithParam<Isa> {
 protected:
  const MathKernels& kernels_ = MathFor(GetParam());
  std::mt19937 rng_{7};
};

TEST_P(GemmOnIsa, AnyShapeIsTheProduct) {
  Team alone;
  const int w = kernels_.panel_width();
  for (int64_t m : {1, 2, 3, 4, 5, 7, 9, 13, 17, 130}) {
    for (int64_t n : {1, 3, w - 1, w, w + 1, w + w / 3 + 1, 3 * w + 2}) {
      for (int64_t k : {1, 2, 7, 64, 401}) {
        SCOPED_TRACE(testing::Message() << m << " x " << n << " x " << k);
        const bool transposed = (m + n + k) % 2 == 0;
        Product p = RandomProduct(m, n, k, transposed, rng_);
        RunPacked(kernels_, p, transposed, {}, alone);
        ExpectProduct(p, transposed, {});
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(GemmOnIsa, EpilogueScalesBiasesActivatesAndAdds) {
  Team alone;
  for (const Activation& activation : AllActivations()) {
    for (int parts = 0; parts < 8; ++parts) {
      SCOPED_TRACE(testing::Message() << "act " << int(activation.kind) << " parts " << parts);
      Product p = RandomProduct(11, 2 * kernels_.panel_width() + 3, 30, false, rng_);
      Epilogue e{.alpha = 0.75f, .activation = activation};
      if (parts & 1) e.bias = p.bias.data();
      if (parts & 2) e.row_bias = p.row_bias.data();
      if (parts & 4) e.residual = p.residual.data.data(), e.ld_residual = p.residual.ld;
      RunPacked(kernels_, p, false, e, alone);
      ExpectProduct(p, false, e);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(GemmOnIsa, ThreadsAndNeighbouringRowsDoNotChangeABit) {
  ThreadPool pool(3);
  for (auto [m, n, k] : {std::array<int64_t, 3>{300, 200, 700}, {5, 1000, 900}, {1, 97, 64}}) {
    Product p = RandomProduct(m, n, k, true, rng_);
    const Epilogue e{.bias = p.bias.data(), .activation = {Act::kGeluErf}};
    Team alone;
    RunPacked(kernels_, p, true, e, alone);
    const std::vector<float> once = p.c.data;
    for (int threads : {2, 4}) {
      std::fill(p.c.data.begin(), p.c.data.end(), kUntouched);
      Team team = pool.Lease(threads);
      RunPacked(kernels_, p, true, e, team);
      EXPECT_TRUE(SameBits(once, p.c.data)) << threads;
    }
    Product first = p;
    first.a.rows = first.c.rows = 1;
    RunPacked(kernels_, first, true, e, alone);
    EXPECT_EQ(std::memcmp(first.c.data.data(), once.data(), n * sizeof(float)), 0);
  }
}

TEST_P(GemmOnIsa, NanAndInfinityComeThrough) {
  Team alone;
  for (const Activation& activation : AllActivations()) {
    Product p = RandomProduct(3, 10, 5, false, rng_);
    p.a.At(1, 2) = NAN;
    RunPacked(kernels_, p, false, {.activation = activation}, alone);
    for (int64_t j = 0; j < 10; ++j) {
      EXPECT_TRUE(std::isnan(p.c.At(1, j))) << int(activation.kind);
      EXPECT_FALSE(std::isnan(p.c.At(0, j))) << int(activation.kind);
    }
  }
}

struct Batch {
  int64_t count, m, n, k;
  bool b_transposed, b_shared;
};

void ExpectBatch(const MathKernels& kernels, const Batch& shape, std::mt19937& rng) {
  std::vector<Product> want;
  std::vector<float> a, b, c;
  for (int64_t i = 0; i < shape.count; ++i) {
    want.push_back(RandomProduct(shape.m, shape.n, shape.k, shape.b_transposed, rng));
    if (shape.b_shared) want.back().b = want.front().b;
    a.insert(a.end(), want.back().a.data.begin(), want.back().a.data.end());
    b.insert(b.end(), want.back().b.data.begin(), want.back().b.data.end());
    c.insert(c.end(), want.back().c.data.begin(), want.back().c.data.end());
  }
  const Product& one = want.front();
  const auto size = [](const Matrix& m) { return static_cast<int64_t>(m.data.size()); };
  const BatchedGemm gemm{.batch = shape.count,
                         .m = shape.m,
                         .n = shape.n,
                         .k = shape.k,
                         .a = a.data(),
                         .lda = one.a.ld,
                         .stride_a = size(one.a),
                         .b = b.data(),
                         .ldb = one.b.ld,
                         .stride_b = shape.b_shared ? 0 : size(one.b),
                         .b_transposed = shape.b_transposed,
                         .c = c.data(),
                         .ldc = one.c.ld,
                         .stride_c = size(one.c),
                         .epilogue = {.alpha = 0.5f}};
  ThreadPool pool(2);
  std::vector<float> before = c, once;
  for (int threads : {1, 2, 3}) {
    Team team = pool.Lease(threads);
    Aligned scratch(GemmScratchBytes(kernels, gemm, 3));
    c = before;
    Gemm(kernels, gemm, team, scratch.get());
    if (threads == 1) once = c;
    EXPECT_TRUE(SameBits(once, c)) << threads;
  }
  for (int64_t i = 0; i < shape.count; ++i) {
    Product& p = want[i];
    std::copy_n(c.begin() + i * size(p.c), size(p.c), p.c.data.begin());
    ExpectProduct(p, shape.b_transposed, gemm.epilogue);
  }
}

TEST_P(GemmOnIsa, BatchesOfActivations) {
  for (const Batch& shape : {Batch{1, 40, 70, 33, true, false},
                             {12, 17, 20, 32, true, false},
                             {7, 128, 32, 100, false, false},
                             {5, 9, 64, 31, false, true},
                             {3, 1, 5, 1, true, false}}) {
    SCOPED_TRACE(testing::Message() << shape.count << " of " << shape.m << " x " << shape.n);
    ExpectBatch(kernels_, shape, rng_);
  }
}

INSTANTIATE_TEST_SUITE_P(All, GemmOnIsa, testing::ValuesIn(IsasHere()),
                         [](const auto& isa) { return std::string(IsaName(isa.param)); });

}  // namespace
}  // namespace rlx::cpu
