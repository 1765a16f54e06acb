// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/render/render.h"

// CUDA C++ as NVRTC takes it, without a header of the toolkit. f16 and bf16 are held as their bits.
namespace rlx::kernel {
namespace {

using enum Op;
using enum Type;

// What C++ leaves undefined or says otherwise than the IR: division by zero, NaN in min and max,
// floats out of an integer's range.
constexpr std::string_view kPrelude = R"(template <class T, class F>
__device__ __forceinline__ T rlx_bits(F from) {
  static_assert(sizeof(T) == sizeof(F), "bits stay");
  T to;
  memcpy(&to, &from, sizeof(T));
  return to;
}
template <class T>
__device__ __forceinline__ T rlx_min(T a, T b) { return a < b || a != a ? a : b; }
template <class T>
__device__ __forceinline__ T rlx_max(T a, T b) { return a > b || a != a ? a : b; }
template <class T, class U>
__device__ __forceinline__ T rlx_div(T a, T b) {
  if (b == 0) return 0;
  return b == (T)-1 ? (T)((U)0 - (U)a) : a / b;
}
template <class T>
__device__ __forceinline__ T rlx_rem(T a, T b) { return b == 0 || b == (T)-1 ? 0 : a % b; }
template <class F>
__device__ __forceinline__ int rlx_clip(F v, F low, F high) {
  return v != v ? 0 : (int)(v < low ? low : v > high ? high : v);
}
__device__ __forceinline__ int rlx_i32(float v) { return v != v ? 0 : __float2int_rz(v); }
__device__ __forceinline__ int rlx_i32(double v) { return v != v ? 0 : __double2int_rz(v); }
__device__ __forceinline__ unsigned rlx_u32(float v) { return v > 0 ? __float2uint_rz(v) : 0; }
__device__ __forceinline__ unsigned rlx_u32(double v) { return v > 0 ? __double2uint_rz(v) : 0; }
__device__ __forceinline__ long long rlx_i64(float v) { return v != v ? 0 : __float2ll_rz(v); }
__device__ __forceinline__ long long rlx_i64(double v) { return v != v ? 0 : __double2ll_rz(v); }
__device__ __forceinline__ float rlx_odd(double v) {
  const float cut = __double2float_rz(v);
  return (double)cut == v ? cut : __uint_as_float(__float_as_uint(cut) | 1u);
}
__device__ __forceinline__ float rlx_from_f16(unsigned short v) {
  float out;
  asm("cvt.f32.f16 %0, %1;" : "=f"(out) : "h"(v));
  return out;
}
__device__ __forceinline__ unsigned short rlx_to_f16(float v) {
  unsigned short out;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out) : "f"(v));
  return out;
}
__device__ __forceinline__ float rlx_from_bf16(unsigned short v) {
  return __uint_as_float((unsigned)v << 16);
}
__device__ __forceinline__ unsigned short rlx_to_bf16(float v) {
  unsigned short out;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(out) : "f"(v));
  return out;
}
)";

constexpr TypeSet kF16Set = Bit(kF16), kBF16Set = Bit(kBF16);
constexpr TypeSet kU32Set = Bit(kU32), kBoolSet = Bit(kBool), kF32Set = Bit(kF32);
constexpr TypeSet kAllIntegers = kIntegers | Bit(kI8) | Bit(kU8) | Bit(kI16);
constexpr bool kPlain = true;

constexpr Spelling kOps[] = {
    {kGroupId, kIndices, "($t)blockIdx.x"},
    {kLocalId, kIndices, "($t)threadIdx.x"},
    {kBarrier, kAnyType, "__syncthreads();"},
    {kShuffleXor, kNumbers, "__shfl_xor_sync($m, $a, $n)"},

    {kAdd, kIndices, "$a + $b", kAnyType, kPlain},
    {kAdd, kFloats | kU32Set, "$a + $b"},
    {kAdd, kIndices, "($t)(($u)$a + ($u)$b)"},
    {kSub, kIndices, "$a - $b", kAnyType, kPlain},
    {kSub, kFloats | kU32Set, "$a - $b"},
    {kSub, kIndices, "($t)(($u)$a - ($u)$b)"},
    {kMul, kIndices, "$a * $b", kAnyType, kPlain},
    {kMul, kFloats | kU32Set, "$a * $b"},
    {kMul, kIndices, "($t)(($u)$a * ($u)$b)"},
    {kDiv, kIndices, "$a / $b", kAnyType, kPlain},
    {kDiv, kFloats, "$a / $b"},
    {kDiv, kU32Set, "$b == 0 ? 0u : $a / $b"},
    {kDiv, kIndices, "rlx_div<$t, $u>($a, $b)"},
    {kRem, kIndices, "$a % $b", kAnyType, kPlain},
    {kRem, kU32Set, "$b == 0 ? 0u : $a % $b"},
    {kRem, kIndices, "rlx_rem<$t>($a, $b)"},
    {kMin, kNumbers, "rlx_min<$t>($a, $b)"},
    {kMax, kNumbers, "rlx_max<$t>($a, $b)"},
    {kNeg, kIndices, "-$a", kAnyType, kPlain},
    {kNeg, kFloats, "-$a"},
    {kNeg, kIntegers, "($t)(($u)0 - ($u)$a)"},
    {kAbs, kFloats, "fabs$f($a)"},
    {kAbs, kU32Set, "$a"},
    {kAbs, kIndices, "$a < 0 ? ($t)(($u)0 - ($u)$a) : $a"},
    {kFma, kFloats, "fma$f($a, $b, $c)"},

    {kAnd, kBits, "$a & $b"},
    {kOr, kBits, "$a | $b"},
    {kXor, kBits, "$a ^ $b"},
    {kNot, kBoolSet, "!$a"},
    {kNot, kIntegers, "~$a"},
    {kShl, kIntegers, "($t)(($u)$a << ($b & (8 * sizeof($t) - 1)))"},
    {kShr, kIntegers, "$a >> ($b & (8 * sizeof($t) - 1))"},

    {kEq, kAnyType, "$a == $b"},
    {kNe, kAnyType, "$a != $b"},
    {kLt, kAnyType, "$a < $b"},
    {kLe, kAnyType, "$a <= $b"},
    {kSelect, kAnyType, "$a ? $b : $c"},
    {kBitcast, kAnyType, "rlx_bits<$t>($a)"},

    // Narrow floats: from and to f32; from f64 by an f32 that rounds as the f64 would.
    {kCast, kF32Set, "rlx_from_f16($a)", kF16Set},
    {kCast, kF32Set, "rlx_from_bf16($a)", kBF16Set},
    {kCast, kF16Set, "rlx_to_f16($a)", kF32Set},
    {kCast, kBF16Set, "rlx_to_bf16($a)", kF32Set},
    {kCast, kF16Set, "rlx_to_f16(rlx_odd($a))", Bit(kF64)},
    {kCast, kBF16Set, "rlx_to_bf16(rlx_odd($a))", Bit(kF64)},
    {kCast, kBoolSet, "$a != 0"},
    {kCast, Bit(kI8), "($t)rlx_clip($a, -128.0$f, 127.0$f)", kFloats},
    {kCast, Bit(kU8), "($t)rlx_clip($a, 0.0$f, 255.0$f)", kFloats},
    {kCast, Bit(kI16), "($t)rlx_clip($a, -32768.0$f, 32767.0$f)", kFloats},
    {kCast, Bit(kI32), "rlx_i32($a)", kFloats},
    {kCast, kU32Set, "rlx_u32($a)", kFloats},
    {kCast, Bit(kI64), "rlx_i64($a)", kFloats},
    {kCast, kAllIntegers | kFloats, "($t)$a"},

    {kSqrt, kFloats, "sqrt$f($a)"},
    {kRsqrt, kFloats, "rsqrt$f($a)"},
    {kExp, kFloats, "exp$f($a)"},
    {kExp2, kFloats, "exp2$f($a)"},
    {kLog, kFloats, "log$f($a)"},
    {kSin, kFloats, "sin$f($a)"},
    {kCos, kFloats, "cos$f($a)"},
    {kTan, kFloats, "tan$f($a)"},
    {kAtan, kFloats, "atan$f($a)"},
    {kTanh, kFloats, "tanh$f($a)"},
    {kErf, kFloats, "erf$f($a)"},
    {kPow, kFloats, "pow$f($a, $b)"},
    {kFloor, kFloats, "floor$f($a)"},
    {kCeil, kFloats, "ceil$f($a)"},
    {kRound, kFloats, "rint$f($a)"},
};

constexpr absl::StatusOr<Kernel> (*kLegalize[])(const Kernel&) = {ExpandFp8, ExpandReductions};
constexpr Property kNeeds[] = {Property::kNoFp8Casts, Property::kNoReductions};

constexpr Dialect kCuda = {
    .name = "cuda",
    .prelude = kPrelude,
    .head = "extern \"C\" __global__ void __launch_bounds__($n) $k($p) {",
    .input = "const $t* __restrict__ $k",
    .output = "$t* __restrict__ $k",
    .scalar = "$t $k",
    .separator = ", ",
    .shared = "__shared__ $t $k[$n];",
    .load = "$a[$b]",
    .load_bool = "$a[$b] != 0",
    .store = "$a[$b] = $c;",
    .types = {{
        {},
        {"bool", "unsigned char", ""},
        {"signed char", "signed char", ""},
        {"unsigned char", "unsigned char", ""},
        {"short", "short", ""},
        {"int", "int", "unsigned"},
        {"unsigned", "unsigned", "unsigned"},
        {"long long", "long long", "unsigned long long"},
        {"unsigned char", "unsigned char", ""},
        {"unsigned char", "unsigned char", ""},
        {"unsigned short", "unsigned short", ""},
        {"unsigned short", "unsigned short", ""},
        {"float", "float", ""},
        {"double", "double", ""},
    }},
    .ops = kOps,
    .legalize = kLegalize,
    .needs = kNeeds,
};

}  // namespace

const Dialect& CudaDialect() { return kCuda; }

}  // namespace rlx::kernel
