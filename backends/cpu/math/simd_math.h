// SPDX-License-Identifier: Apache-2.0
// Elementary functions over SIMD wrappers. The polynomials are minimax fits (iteratively reweighted
// least squares); errors are stated for fp32 arithmetic. A NaN goes in, a NaN comes out.
#pragma once

#include "backends/cpu/math/activation.h"
#include "backends/cpu/math/simd_common.h"

namespace rlx::cpu {

// c[0] + c[1] x + ... + c[n-1] x^(n-1)
template <class V, int n>
[[gnu::always_inline]] inline typename V::F Polynomial(typename V::F x, const float (&c)[n]) {
  typename V::F sum = V::Set(c[n - 1]);
#pragma GCC unroll 16
  for (int i = n - 2; i >= 0; --i) sum = V::Fma(sum, x, V::Set(c[i]));
  return sum;
}

// e^x = 2^n e^r with |r| <= ln(2)/2; ln 2 in two parts, so that r is exact enough. x in
// [-87.3, 88.3].
template <class V>
[[gnu::always_inline]] inline typename V::F ExpInRange(typename V::F x) {
  using F = typename V::F;
  const F n = V::Round(V::Mul(x, V::Set(1.44269504f)));
  F r = V::Fma(n, V::Set(-0.693359375f), x);
  r = V::Fma(n, V::Set(2.12194440e-4f), r);
  constexpr float kP[] = {1,
                          1,
                          4.999999325e-01f,
                          1.666651776e-01f,
                          4.166842182e-02f,
                          8.369063458e-03f,
                          1.381388055e-03f};
  return V::TimesPowerOfTwo(Polynomial<V>(r, kP), n);
}

// e^x to 2.3e-7 of its value; beyond [-87.3, 88.3] the value at the end of that range.
template <class V>
[[gnu::always_inline]] inline typename V::F Exp(typename V::F x) {
  return ExpInRange<V>(V::Min(V::Set(88.37f), V::Max(V::Set(-87.33f), x)));
}

// The same for x <= 0, and exactly 0 from -87.3 down: a score of minus infinity has no weight at
// all.
template <class V>
[[gnu::always_inline]] inline typename V::F ExpOrZero(typename V::F x) {
  return V::Select(V::Less(x, V::Set(-87.3f)), V::Zero(), ExpInRange<V>(x));
}

template <class V>
[[gnu::always_inline]] inline typename V::F Sigmoid(typename V::F x) {
  return V::Div(V::Set(1), V::Add(V::Set(1), Exp<V>(V::Sub(V::Zero(), x))));
}

// tanh to about 3e-7 of its value: a polynomial near zero, where the other form cancels.
template <class V>
[[gnu::always_inline]] inline typename V::F Tanh(typename V::F x) {
  using F = typename V::F;
  constexpr float kNear[] = {-3.333328393e-01f, 1.333149129e-01f, -5.374349812e-02f,
                             2.065058737e-02f, -5.717045113e-03f};
  const F square = V::Mul(x, x);
  const F near = V::Fma(V::Mul(x, square), Polynomial<V>(square, kNear), x);
  const F far = V::Sub(V::Set(1), V::Div(V::Set(2), V::Add(V::Set(1), Exp<V>(V::Add(x, x)))));
  return V::Select(V::Less(V::Abs(x), V::Set(0.625f)), near, far);
}

// erf(z) = z P(u), u = 2 (z/L)^2 - 1, with z clamped to [-L, L]: no division.
template <class V>
[[gnu::always_inline]] inline typename V::F GeluErf(typename V::F x) {
  using F = typename V::F;
  constexpr float kL = 3.92f;
  constexpr float kP[] = {3.607368136e-01f, -1.801086420e-01f, 1.340842759e-01f, -1.091784990e-01f,
                          9.060231149e-02f, -7.403016906e-02f, 5.835849568e-02f, -4.337468539e-02f,
                          2.982083530e-02f, -2.018043342e-02f, 1.400489133e-02f, -7.371950997e-03f,
                          2.087123573e-03f, -1.618692169e-03f, 2.045765608e-03f, -7.754122116e-04f};
  F z = V::Mul(x, V::Set(0.70710678f));
  z = V::Min(V::Set(kL), V::Max(V::Set(-kL), z));
  const F u = V::Fma(V::Mul(z, z), V::Set(2 / (kL * kL)), V::Set(-1));
  const F half = V::Mul(x, V::Set(0.5f));
  return V::Fma(half, V::Mul(z, Polynomial<V>(u, kP)), half);
}

// x sigmoid(2 w), w = sqrt(2/pi) (x + 0.044715 x^3): the same as the form with tanh.
template <class V>
[[gnu::always_inline]] inline typename V::F GeluTanh(typename V::F x) {
  const typename V::F cubic = V::Fma(V::Mul(x, x), V::Set(0.0713548163f), V::Set(1.5957691216f));
  return V::Mul(x, Sigmoid<V>(V::Mul(x, cubic)));
}

template <class V>
[[gnu::always_inline]] inline typename V::F Clip(typename V::F x, float low, float high) {
  return V::Min(V::Set(high), V::Max(V::Set(low), x));
}

template <class V>
[[gnu::always_inline]] inline typename V::F HardSwish(typename V::F x) {
  return V::Mul(x, Clip<V>(V::Fma(x, V::Set(1.0f / 6), V::Set(0.5f)), 0, 1));
}

// One function of class Act as a value, so that a loop over data can be written once.
template <class V, Act kind>
struct Activate {
  typename V::F p, q;
  [[gnu::always_inline]] explicit Activate(const Activation& a) : p(V::Set(a.p)), q(V::Set(a.q)) {}

  [[gnu::always_inline]] typename V::F operator()(typename V::F x) const {
    if constexpr (kind == Act::kNone) return x;
    if constexpr (kind == Act::kRelu) return V::Max(V::Zero(), x);
    if constexpr (kind == Act::kClip) return V::Min(q, V::Max(p, x));
    if constexpr (kind == Act::kLeakyRelu) {
      return V::Select(V::Less(x, V::Zero()), V::Mul(x, p), x);
    }
    if constexpr (kind == Act::kSigmoid) return Sigmoid<V>(x);
    if constexpr (kind == Act::kSilu) return V::Mul(x, Sigmoid<V>(x));
    if constexpr (kind == Act::kTanh) return Tanh<V>(x);
    if constexpr (kind == Act::kGeluErf) return GeluErf<V>(x);
    if constexpr (kind == Act::kGeluTanh) return GeluTanh<V>(x);
    if constexpr (kind == Act::kHardSigmoid) return Clip<V>(V::Fma(p, x, q), 0, 1);
    if constexpr (kind == Act::kHardSwish) return HardSwish<V>(x);
  }
};

}  // namespace rlx::cpu
