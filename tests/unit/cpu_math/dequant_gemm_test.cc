// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/dequant_gemm.h"

#include <gtest/gtest.h>

#include "runtime/base/thread_pool.h"
#include "runtime/tensor/host_tensor.h"
#include "tests/unit/cpu_math/math_testing.h"

namespace rlx::cpu {
namespace {

void CopyFloats(const void* from, int64_t at, int64_t count, float* out) {
  std::memcpy(out, static_cast<const float*>(from) + at, count * sizeof(float));
}

// Random weights of one scheme, and what they decode to: W[k,n] in rows of n.
struct Weights {
  std::vector<uint8_t> bytes;
  std::vector<float> scale, zero;
  std::vector<float> w;
  QuantWeights packed;
};

constexpr QuantScheme kCodes[] = {QuantScheme::kInt8, QuantScheme::kInt8Asym, QuantScheme::kInt4};

// Halves of a block that must be small numbers: where the scheme keeps them.
std::vector<int> HalvesOf(QuantScheme scheme) {
  switch (scheme) {
    case QuantScheme::kQ2K:
      return {80, 82};
    case QuantScheme::kQ3K:
      return {108};
    case QuantScheme::kQ4K:
    case QuantScheme::kQ5K:
      return {0, 2};
    case QuantScheme::kQ6K:
      return {208};
    default:
      return {0};
  }
}

void SetHalves(QuantScheme scheme, uint8_t* block, std::mt19937& rng) {
  if (scheme == QuantScheme::kQ8K) {
    const float d = 0.01F;
    std::memcpy(block, &d, sizeof d);
    return;
  }
  for (int at : HalvesOf(scheme)) {
    const float value = 0.001F + static_cast<float>(rng() % 100) * 1e-4F;
    const uint16_t half = F32ToF16(rng() % 2 == 0 ? value : -value);
    std::memcpy(block + at, &half, sizeof half);
  }
}

Weights RandomBlocks(QuantScheme scheme, int64_t k, int64_t n, std::mt19937& rng) {
  const QuantSchemeInfo& info = Info(scheme);
  const int64_t row = k / info.block_elements;
  Weights out;
  out.bytes.resize(n * row * info.block_bytes);
  for (uint8_t& byte : out.bytes) byte = static_cast<uint8_t>(rng());
  out.w.resize(k * n);
  std::vector<float> values(info.block_elements);
  for (int64_t b = 0; b < n * row; ++b) {
    uint8_t* block = out.bytes.data() + b * info.block_bytes;
    SetHalves(scheme, block, rng);
    DecodeBlock(scheme, block, values.data());
    for (int i = 0; i < info.block_elements; ++i) {
      out.w[(b % row * info.block_elements + i) * n + b / row] = values[i];
    }
  }
  out.packed = {.scheme = scheme, .bytes = out.bytes.data()};
  return out;
}

Weights RandomCodes(QuantScheme scheme, int64_t k, int64_t n, int64_t block, std::mt19937& rng) {
  const bool nibbles = scheme == QuantScheme::kInt4;
  Weights out;
  out.bytes.resize(nibbles ? k * n / 2 : k * n);
  for (uint8_t& byte : out.bytes) byte = static_cast<uint8_t>(rng());
  out.scale.resize(k / block * n);
  Fill(out.scale, rng, 0.01F, 0.02F);
  if (scheme != QuantScheme::kInt8) {
    out.zero.resize(k / block * n);
    for (float& z : out.zero) z = static_cast<float>(rng() % 16);
  }
  out.w.resize(k * n);
  for (int64_t at = 0; at < k * n; ++at) {
    const int64_t group = at / n / block * n + at % n;
    const int code =
        nibbles ? out.bytes[at / 2] >> (at % 2 * 4) & 15 : static_cast<int8_t>(out.bytes[at]);
    const float zero = out.zero.empty() ? 0 : out.zero[group];
    out.w[at] = (static_cast<float>(code) - zero) * out.scale[group];
  }
  out.packed = {.scheme = scheme,
                .bytes = out.bytes.data(),
                .block = block,
                .scale = out.scale.data(),
                .zero = out.zero.empty() ? nullptr : out.zero.data(),
                .read_scale = CopyFloats,
                .read_zero = CopyFloats};
  return out;
}

struct Problem {
  int64_t m, n, k;
};

Matrix Product(const MathKernels& kernels, const Problem& p, const Matrix& a, const QuantWeights& w,
               Team& team) {
  Matrix c(p.m, p.n, 3);
  Aligned scratch(DequantScratchBytes(kernels, 3));
  Gemm(kernels,
       DequantGemm{.m = p.m,
                   .n = p.n,
                   .k = p.k,
                   .a = a.data.data(),
                   .lda = a.ld,
                   .w = w,
                   .c = c.data.data(),
                   .ldc = c.ld},
       team, scratch.get());
  return c;
}

void ExpectRight(const MathKernels& kernels, const Problem& p, const Weights& weights,
                 std::mt19937& rng) {
  SCOPED_TRACE(std::string(Info(weights.packed.scheme).name) + " " + std::to_string(p.m) + "x" +
               std::to_string(p.k) + "x" + std::to_string(p.n));
  const Matrix a = RandomMatrix(p.m, p.k, 5, rng);
  Team alone;
  const Matrix c = Product(kernels, p, a, weights.packed, alone);
  EXPECT_TRUE(c.PaddingUntouched());
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      double sum = 0, magnitude = 0;
      for (int64_t q = 0; q < p.k; ++q) {
        const double term = static_cast<double>(a.At(i, q)) * weights.w[q * p.n + j];
        sum += term;
        magnitude += std::abs(term);
      }
      ASSERT_NEAR(c.At(i, j), sum, 1e-6 + magnitude * static_cast<double>(p.k + 4) * 6e-8)
          << i << ", " << j;
    }
  }
  ThreadPool pool(2);
  Team team = pool.Lease(3);
  EXPECT_TRUE(SameBits(Product(kernels, p, a, weights.packed, team).data, c.data));
}

class DequantGemmTest : public ::testing::TestWithParam<Isa> {
 protected:
  const MathKernels& kernels_ = MathFor(GetParam());
  std::mt19937 rng_{17};
};

TEST_P(DequantGemmTest, BlocksOfEveryScheme) {
  for (const QuantSchemeInfo& info : kQuantSchemes) {
    if (!info.is_block()) continue;
    ASSERT_TRUE(TakesScheme(info.scheme));
    const int64_t k = info.block_elements == 32 ? 32 * 11 : 512;
    for (int64_t m : {1, 2, 3, 7, 13, 24, 27}) {
      for (int64_t n : {1, 7, 50}) {
        ExpectRight(kernels_, {m, n, k}, RandomBlocks(info.scheme, k, n, rng_), rng_);
      }
    }
  }
}

TEST_P(DequantGemmTest, CodesWithScalesOfTheirOwn) {
  for (QuantScheme scheme : kCodes) {
    for (auto [k, block] : {std::pair{96, 32}, {300, 100}, {512, 512}, {520, 8}}) {
      for (int64_t m : {1, 2, 7, 8, 9, 19}) {
        for (int64_t n : {2, 30, 98, 400}) {
          ExpectRight(kernels_, {m, n, k}, RandomCodes(scheme, k, n, block, rng_), rng_);
        }
      }
    }
  }
}

TEST_P(DequantGemmTest, ManyRowsAndColumns) {
  ExpectRight(kernels_, {520, 100, 256}, RandomBlocks(QuantScheme::kQ4K, 256, 100, rng_), rng_);
  ExpectRight(kernels_, {3, 1500, 256}, RandomBlocks(QuantScheme::kQ6K, 256, 1500, rng_), rng_);
}

INSTANTIATE_TEST_SUITE_P(AllIsas, DequantGemmTest, ::testing::ValuesIn(IsasHere()),
                         [](const auto& info) { return std::string(IsaName(info.param)); });

}  // namespace
}  // namespace rlx::cpu
