// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/int_kernels.h"

namespace rlx::cpu {
namespace {

// Four lanes in plain C++; unsigned, since sums wrap.
struct Plain {
  typedef uint32_t I __attribute__((vector_size(16)));
  typedef int32_t S __attribute__((vector_size(16)));
  using Codes = I;
  struct Quad {
    uint32_t codes[kQuad];
  };
  static constexpr int kLanes = 4, kPanelVectors = 2, kTileRows = 4;
  static constexpr int64_t kAhead = 256;

  [[gnu::always_inline]] static I Set(int32_t x) {
    const auto bits = static_cast<uint32_t>(x);
    return I{bits, bits, bits, bits};
  }
  [[gnu::always_inline]] static I Load(const int32_t* p) {
    I x;
    __builtin_memcpy(&x, p, sizeof x);
    return x;
  }
  [[gnu::always_inline]] static void Store(int32_t* p, I x) { __builtin_memcpy(p, &x, sizeof x); }
  [[gnu::always_inline]] static void StoreCodes(uint8_t* p, I x) {
    for (int i = 0; i < kLanes; ++i) p[i] = static_cast<uint8_t>(x[i]);
  }
  [[gnu::always_inline]] static I Add(I a, I b) { return a + b; }
  [[gnu::always_inline]] static I Sub(I a, I b) { return a - b; }
  [[gnu::always_inline]] static I Mul(I a, I b) { return a * b; }
  [[gnu::always_inline]] static I Min(I a, I b) { return (S)a < (S)b ? a : b; }
  [[gnu::always_inline]] static I Max(I a, I b) { return (S)a > (S)b ? a : b; }
  [[gnu::always_inline]] static I Signed(I quad, int up) { return (I)((S)(quad << up) >> 24); }
  [[gnu::always_inline]] static Codes Read(const int32_t* p) { return Load(p); }
  [[gnu::always_inline]] static Quad Spread(const uint8_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
  [[gnu::always_inline]] static void Dot(I& sum, const Quad& a, Codes b) {
    for (int k = 0; k < kQuad; ++k) sum += a.codes[k] * Signed(b, 24 - 8 * k);
  }
};

}  // namespace

IntRow CodeRowGeneric(const IntRowTask& t) { return CodeRow<Plain>(t); }
void IntPanelGeneric(const IntPanelTask& t) { IntPanel<Plain>(t); }

}  // namespace rlx::cpu
