// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include "backends/cpu/math/int_kernels.h"

namespace rlx::cpu {
namespace {

// Sixteen lanes on AVX-512 F and BW.
struct Wide {
  using I = __m512i;
  static constexpr int kLanes = 16, kPanelVectors = 3;
  static constexpr int64_t kAhead = 512;  // i32 of B to fetch ahead

  [[gnu::always_inline]] static I Set(int32_t x) { return _mm512_set1_epi32(x); }
  [[gnu::always_inline]] static I Load(const int32_t* p) { return _mm512_loadu_si512(p); }
  [[gnu::always_inline]] static void Store(int32_t* p, I x) { _mm512_storeu_si512(p, x); }
  [[gnu::always_inline]] static void StoreCodes(uint8_t* p, I x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(x));
  }
  [[gnu::always_inline]] static I Add(I a, I b) { return _mm512_add_epi32(a, b); }
  [[gnu::always_inline]] static I Sub(I a, I b) { return _mm512_sub_epi32(a, b); }
  [[gnu::always_inline]] static I Mul(I a, I b) { return _mm512_mullo_epi32(a, b); }
  [[gnu::always_inline]] static I Min(I a, I b) { return _mm512_min_epi32(a, b); }
  [[gnu::always_inline]] static I Max(I a, I b) { return _mm512_max_epi32(a, b); }
  [[gnu::always_inline]] static I Signed(I quad, int up) {
    return _mm512_srai_epi32(_mm512_sll_epi32(quad, _mm_cvtsi32_si128(up)), 24);
  }
  [[gnu::always_inline]] static I SpreadBytes(const uint8_t* p) {
    int32_t quad;
    __builtin_memcpy(&quad, p, sizeof quad);
    return Set(quad);
  }
};

// Four products of bytes a lane and step (VNNI).
struct ByQuads : Wide {
  using Codes = I;
  using Quad = I;
  static constexpr int kTileRows = 8;

  [[gnu::always_inline]] static Codes Read(const int32_t* p) { return Load(p); }
  [[gnu::always_inline]] static Quad Spread(const uint8_t* p) { return SpreadBytes(p); }
  [[gnu::always_inline]] static void Dot(I& sum, Quad a, Codes b) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  }
};

// Two products of halves a lane and step: products of bytes in pairs would saturate.
struct ByPairs : Wide {
  struct Codes {
    I even, odd;
  };
  using Quad = Codes;
  static constexpr int kTileRows = 4;

  [[gnu::always_inline]] static Codes Read(const int32_t* p) {
    const I x = Load(p);
    return {_mm512_srai_epi16(_mm512_slli_epi16(x, 8), 8), _mm512_srai_epi16(x, 8)};
  }
  [[gnu::always_inline]] static Quad Spread(const uint8_t* p) {
    const I x = SpreadBytes(p);
    return {_mm512_and_si512(x, _mm512_set1_epi16(255)), _mm512_srli_epi16(x, 8)};
  }
  [[gnu::always_inline]] static void Dot(I& sum, const Quad& a, const Codes& b) {
    sum = Add(sum, _mm512_madd_epi16(a.even, b.even));
    sum = Add(sum, _mm512_madd_epi16(a.odd, b.odd));
  }
};

}  // namespace

IntRow CodeRowAvx512(const IntRowTask& t) { return CodeRow<Wide>(t); }
void IntPanelAvx512(const IntPanelTask& t) { IntPanel<ByPairs>(t); }
void IntPanelVnni(const IntPanelTask& t) { IntPanel<ByQuads>(t); }

}  // namespace rlx::cpu
