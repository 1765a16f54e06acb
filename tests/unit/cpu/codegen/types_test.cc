// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "runtime/kernel/builder.h"
#include "tests/support/standard_kernels.h"
#include "tests/unit/cpu/codegen/harness.h"

// Buffers of every type, and casts between any two.
namespace rlx::cpu::test {
namespace {

using kernel::Bits;
using kernel::Builder;
using kernel::Op;
using kernel::Type;
using kernel::Value;
using enum kernel::Type;

constexpr Type kTypes[] = {kBool, kI8,      kU8,      kI16,  kI32, kU32, kI64,
                           kF16,  kFp8E4M3, kFp8E5M2, kBF16, kF32, kF64};

// Values in and out of range of the other types, with infinities and NaN where there are any.
Elements Interesting(Type t) {
  Elements out;
  for (double v : {0.0,
                   -0.0,
                   1.0,
                   -1.0,
                   0.5,
                   1.5,
                   2.5,
                   -2.5,
                   127.0,
                   128.0,
                   -128.0,
                   -129.0,
                   255.0,
                   256.0,
                   32767.0,
                   65504.0,
                   65519.0,
                   65520.0,
                   448.0,
                   464.0,
                   57344.0,
                   61440.0,
                   2147483647.0,
                   2147483648.0,
                   -2147483649.0,
                   4294967296.0,
                   1e19,
                   -1e19,
                   1e38,
                   6e-8,
                   0x1p-10,
                   0x1.8p-16,
                   3e-5,
                   1e-40,
                   1e-300,
                   double{INFINITY},
                   double{-INFINITY},
                   double{NAN}}) {
    out.push_back(kernel::EncodeFloat(t, v));
  }
  const Elements more = Spread(t, 100, -300, 300);
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

TEST(Types, CastsAgreeBetweenAnyTwo) {
  for (Type from : kTypes) {
    const Elements x = Interesting(from);
    const auto n = static_cast<int64_t>(x.size());
    for (Type to : kTypes) {
      SCOPED_TRACE(std::string(Name(from)) + " to " + std::string(Name(to)));
      ExpectAgrees(
          {kernel::test::CastKernel(8, from, to, n), {x, Filled(to, n, 1)}, {}, (n + 7) / 8});
    }
  }
}

// All 65536 values of a sixteen-bit float, widened; and f32s around every one of them, narrowed.
TEST(Types, SixteenBitFloatsAgreeEverywhere) {
  for (Type t : {kF16, kBF16}) {
    Elements all, around;
    for (Bits bits = 0; bits < 65536; ++bits) all.push_back(bits);
    for (Bits bits : all) {
      const double v = kernel::ToDouble(t, bits);
      const Bits single = kernel::EncodeFloat(kF32, v);
      for (Bits delta : {-1, 0, 1, 4096, 4097, 32768}) {
        around.push_back(static_cast<Bits>(static_cast<uint32_t>(single + delta)));
      }
    }
    const auto n = static_cast<int64_t>(all.size()), m = static_cast<int64_t>(around.size());
    ExpectAgrees({kernel::test::CastKernel(16, t, kF32, n), {all, Filled(kF32, n, 1)}, {}, n / 16});
    ExpectAgrees({kernel::test::CastKernel(16, kF32, t, m), {around, Filled(t, m, 1)}, {}, m / 16});
  }
}

// All 256 codes widened; narrowed, f32s and f64s at and around every code and every middle between
// two codes. The f64s next to a middle would round as the middle itself by way of f32.
TEST(Types, EightBitFloatsAgreeEverywhere) {
  for (Type t : {kFp8E4M3, kFp8E5M2}) {
    Elements all, singles, doubles;
    for (Bits bits = 0; bits < 256; ++bits) {
      all.push_back(bits);
      const double v = kernel::ToDouble(t, bits), next = kernel::ToDouble(t, bits ^ 1);
      for (double at :
           {v, (v + next) / 2, (v + kernel::ToDouble(t, (bits + 1) & 255)) / 2, 2 * v}) {
        const Bits single = kernel::EncodeFloat(kF32, at), wide = kernel::EncodeFloat(kF64, at);
        for (Bits delta : {-1, 0, 1}) {
          singles.push_back(static_cast<Bits>(static_cast<uint32_t>(single + delta)));
          doubles.push_back(
              static_cast<Bits>(static_cast<uint64_t>(wide) + static_cast<uint64_t>(delta)));
        }
      }
    }
    SCOPED_TRACE(std::string(Name(t)));
    const auto widened = [&](Type to) {
      ExpectAgrees({kernel::test::CastKernel(16, t, to, 256), {all, Filled(to, 256, 1)}, {}, 16});
    };
    const auto narrowed = [&](Type from, const Elements& x) {
      const auto n = static_cast<int64_t>(x.size());
      ExpectAgrees({kernel::test::CastKernel(16, from, t, n), {x, Filled(t, n, 1)}, {}, n / 16});
    };
    for (Type to : {kF32, kF64, kF16, kBF16}) widened(to);
    narrowed(kF32, singles);
    narrowed(kF64, doubles);
  }
}

// A narrow type is computed in its wide one.
TEST(Types, NarrowArithmeticWidens) {
  for (Type t : kTypes) {
    if (t == kBool) continue;
    const int64_t n = 45;
    Builder b("affine", 8);
    const Value x = b.Input(t), out = b.Output(t);
    const Value i = b.GlobalId(kI64);
    b.If(b.Lt(i, b.I64(n)), [&] {
      const Value v = b.LoadWide(x, i);
      const Value one = b.Int(b.TypeOf(v), 1), two = b.Int(b.TypeOf(v), 2);
      b.StoreCast(out, i, b.Add(b.Mul(v, two), one));
    });
    auto kernel = std::move(b).Finish();
    ASSERT_TRUE(kernel.ok()) << kernel.status();
    ExpectAgrees({*kernel, {Spread(t, n, 0, 50), Filled(t, n, 0)}, {}, 6});
  }
}

TEST(Types, BoolsAreBytes) {
  const int64_t n = 37;
  Builder b("logic", 8);
  const Value x = b.Input(kBool), y = b.Input(kF32), out = b.Output(kBool), picked = b.Output(kF32);
  const Value i = b.GlobalId(kI32);
  b.If(b.Lt(i, b.I32(n)), [&] {
    const Value p = b.Load(x, i), v = b.Load(y, i);
    b.Store(out, i, b.Binary(Op::kXor, b.Or(p, b.Lt(v, b.F32(0))), b.Not(b.Le(v, b.F32(1)))));
    b.Store(picked, i, b.Select(p, v, b.Neg(v)));
  });
  auto kernel = std::move(b).Finish();
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  Elements flags;
  for (int64_t k = 0; k < n; ++k) flags.push_back(k % 3 == 0);
  ExpectAgrees(
      {*kernel, {flags, Spread(kF32, n, -2, 2), Filled(kBool, n, 0), Filled(kF32, n, 0)}, {}, 5});
}

// Integer operations on values that include every corner of the type.
TEST(Types, IntegerOperationsAgree) {
  for (Type t : {kI32, kU32, kI64}) {
    Elements x, y;
    const Bits top = Bits{1} << (8 * ByteWidth(t) - 1);
    const Bits below = static_cast<Bits>(static_cast<uint64_t>(top) - 1);  // top may be the least
    const Bits corners[] = {0, 1, -1, 2, -2, 7, -7, 31, 33, 100, top, below, top + 1, 123456789};
    for (Bits a : corners) {
      for (Bits c : corners) {
        x.push_back(kernel::EncodeInt(t, a));
        y.push_back(kernel::EncodeInt(t, c));
      }
    }
    const auto n = static_cast<int64_t>(x.size());
    for (Op op : {Op::kAdd, Op::kSub, Op::kMul, Op::kDiv, Op::kRem, Op::kMin, Op::kMax, Op::kAnd,
                  Op::kOr, Op::kXor, Op::kShl, Op::kShr}) {
      SCOPED_TRACE(std::string(Name(op)) + " " + std::string(Name(t)));
      ExpectAgrees(
          {kernel::test::MathKernel(8, op, t, n), {x, y, Filled(t, n, 0)}, {}, (n + 7) / 8});
    }
    for (Op op : {Op::kNeg, Op::kAbs, Op::kNot}) {
      ExpectAgrees({kernel::test::MathKernel(8, op, t, n), {x, Filled(t, n, 0)}, {}, (n + 7) / 8});
    }
  }
}

// Division by constants, of data and of indices.
TEST(Types, ConstantDivisorsAgree) {
  for (Type t : {kI32, kI64}) {
    for (int64_t divisor : {1, 2, 3, 7, 16, 64, 100, -1, -5, 0}) {
      const int64_t n = 200;
      Builder b("divide", 8);
      const Value x = b.Input(t), quotient = b.Output(t), rest = b.Output(t);
      const Value i = b.GlobalId(t), d = b.Int(t, divisor);
      b.If(b.Lt(i, b.Int(t, n)), [&] {
        const Value v = b.Load(x, i);
        b.Store(quotient, i, b.Add(b.Div(v, d), b.Div(i, d)));
        b.Store(rest, i, b.Sub(b.Rem(v, d), b.Rem(i, d)));
      });
      auto kernel = std::move(b).Finish();
      ASSERT_TRUE(kernel.ok()) << kernel.status();
      ExpectAgrees({*kernel, {Spread(t, n, -1e6, 1e6), Filled(t, n, 0), Filled(t, n, 0)}, {}, 25});
    }
  }
}

}  // namespace
}  // namespace rlx::cpu::test
