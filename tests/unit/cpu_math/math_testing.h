// SPDX-License-Identifier: Apache-2.0
// What the tests of the CPU kernels share: the variants this machine runs, random matrices, bounds.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "backends/cpu/math/activation.h"
#include "backends/cpu/math/kernels.h"

namespace rlx::cpu {

inline std::vector<Isa> IsasHere() {
  std::vector<Isa> all;
  for (Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) {
    if (isa <= DetectIsa()) all.push_back(isa);
  }
  return all;
}

inline constexpr float kUntouched = -12345.5f;

// Rows with padding between them; the padding is checked not to be written.
struct Matrix {
  Matrix(int64_t rows_in, int64_t cols_in, int64_t padding)
      : rows(rows_in), cols(cols_in), ld(cols_in + padding), data(rows * ld, kUntouched) {}
  float& At(int64_t i, int64_t j) { return data[i * ld + j]; }
  float At(int64_t i, int64_t j) const { return data[i * ld + j]; }
  bool PaddingUntouched() const {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = cols; j < ld; ++j) {
        if (data[i * ld + j] != kUntouched) return false;
      }
    }
    return true;
  }
  int64_t rows, cols, ld;
  std::vector<float> data;
};

inline void Fill(std::vector<float>& v, std::mt19937& rng, float low = -1, float high = 1) {
  std::uniform_real_distribution<float> value(low, high);
  for (float& x : v) x = value(rng);
}

inline Matrix RandomMatrix(int64_t rows, int64_t cols, int64_t padding, std::mt19937& rng) {
  Matrix m(rows, cols, padding);
  std::uniform_real_distribution<float> value(-1, 1);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) m.At(i, j) = value(rng);
  }
  return m;
}

inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Memory for scratch and packed matrices, aligned to 64 bytes.
class Aligned {
 public:
  explicit Aligned(size_t bytes) : bytes_(bytes + 64, std::byte{0x7f}) {}
  void* get() {
    const auto at = reinterpret_cast<uintptr_t>(bytes_.data());
    return bytes_.data() + (64 - at % 64) % 64;
  }
  float* floats() { return static_cast<float*>(get()); }

 private:
  std::vector<std::byte> bytes_;
};

inline double Reference(const Activation& a, double x) {
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  const auto clip = [](double v, double low, double high) {
    return std::fmin(std::fmax(v, low), high);
  };
  switch (a.kind) {
    case Act::kNone:
      return x;
    case Act::kRelu:
      return std::fmax(x, 0);
    case Act::kClip:
      return clip(x, a.p, a.q);
    case Act::kLeakyRelu:
      return x < 0 ? a.p * x : x;
    case Act::kSigmoid:
      return sigmoid(x);
    case Act::kSilu:
      return x * sigmoid(x);
    case Act::kTanh:
      return std::tanh(x);
    case Act::kGeluErf:
      return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
    case Act::kGeluTanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case Act::kHardSigmoid:
      return clip(a.p * x + a.q, 0, 1);
    case Act::kHardSwish:
      return x * clip(x / 6 + 0.5, 0, 1);
  }
  return NAN;
}

inline const std::vector<Activation>& AllActivations() {
  static const std::vector<Activation> all = {{Act::kNone},
                                              {Act::kRelu},
                                              {Act::kClip, -0.25f, 0.75f},
                                              {Act::kLeakyRelu, 0.1f},
                                              {Act::kSigmoid},
                                              {Act::kSilu},
                                              {Act::kTanh},
                                              {Act::kGeluErf},
                                              {Act::kGeluTanh},
                                              {Act::kHardSigmoid, 0.2f, 0.5f},
                                              {Act::kHardSwish}};
  return all;
}

}  // namespace rlx::cpu
