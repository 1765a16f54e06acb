// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include "backends/cpu/math/int_kernels.h"

namespace rlx::cpu {
namespace {

// Eight lanes on AVX2. Two products of halves a lane and step: products of bytes in pairs would
// saturate.
struct Narrow {
  using I = __m256i;
  struct Codes {
    I even, odd;
  };
  using Quad = Codes;
  static constexpr int kLanes = 8, kPanelVectors = 2, kTileRows = 4;
  static constexpr int64_t kAhead = 512;

  [[gnu::always_inline]] static I Set(int32_t x) { return _mm256_set1_epi32(x); }
  [[gnu::always_inline]] static I Load(const int32_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  [[gnu::always_inline]] static void Store(int32_t* p, I x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x);
  }
  [[gnu::always_inline]] static void StoreCodes(uint8_t* p, I x) {
    const I bytes = _mm256_shuffle_epi8(x, _mm256_set1_epi32(0x0C080400));
    const I eight = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(eight));
  }
  [[gnu::always_inline]] static I Add(I a, I b) { return _mm256_add_epi32(a, b); }
  [[gnu::always_inline]] static I Sub(I a, I b) { return _mm256_sub_epi32(a, b); }
  [[gnu::always_inline]] static I Mul(I a, I b) { return _mm256_mullo_epi32(a, b); }
  [[gnu::always_inline]] static I Min(I a, I b) { return _mm256_min_epi32(a, b); }
  [[gnu::always_inline]] static I Max(I a, I b) { return _mm256_max_epi32(a, b); }
  [[gnu::always_inline]] static I Signed(I quad, int up) {
    return _mm256_srai_epi32(_mm256_sll_epi32(quad, _mm_cvtsi32_si128(up)), 24);
  }
  [[gnu::always_inline]] static Codes Read(const int32_t* p) {
    const I x = Load(p);
    return {_mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), _mm256_srai_epi16(x, 8)};
  }
  [[gnu::always_inline]] static Quad Spread(const uint8_t* p) {
    int32_t quad;
    __builtin_memcpy(&quad, p, sizeof quad);
    const I x = Set(quad);
    return {_mm256_and_si256(x, _mm256_set1_epi16(255)), _mm256_srli_epi16(x, 8)};
  }
  [[gnu::always_inline]] static void Dot(I& sum, const Quad& a, const Codes& b) {
    sum = Add(sum, _mm256_madd_epi16(a.even, b.even));
    sum = Add(sum, _mm256_madd_epi16(a.odd, b.odd));
  }
};

}  // namespace

IntRow CodeRowAvx2(const IntRowTask& t) { return CodeRow<Narrow>(t); }
void IntPanelAvx2(const IntPanelTask& t) { IntPanel<Narrow>(t); }

}  // namespace rlx::cpu
