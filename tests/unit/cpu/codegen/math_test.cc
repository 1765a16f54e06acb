// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "runtime/kernel/interpret.h"
#include "runtime/kernel/legalize/legalize.h"
#include "runtime/kernel/op.h"
#include "tests/support/standard_kernels.h"
#include "tests/unit/cpu/codegen/harness.h"

// Every function of f32 against libm in double, over the whole range of f32 and where it matters.
namespace rlx::cpu::test {
namespace {

using kernel::Bits;
using kernel::Op;
using kernel::Type;

double Ideal(Op op, double x, double y) {
  const std::array<Bits, 3> bits = {kernel::EncodeFloat(Type::kF64, x),
                                    kernel::EncodeFloat(Type::kF64, y), 0};
  return kernel::ToDouble(Type::kF64, kernel::Evaluate(op, Type::kF64, Type::kF64, bits));
}

// |got - want| in units of the last place of an f32 near `want`.
double Ulps(double got, double want) {
  if (std::isnan(got) || std::isnan(want))
    return std::isnan(got) == std::isnan(want) ? 0 : INFINITY;
  const auto rounded = static_cast<float>(want);
  if (static_cast<double>(rounded) == got) return 0;
  if (std::isinf(got) || std::isinf(rounded)) {
    // One may overflow where the other just does not.
    const double largest = static_cast<double>(std::numeric_limits<float>::max());
    return std::abs(want) > largest * (1 - 1e-6) && std::abs(got) > largest * (1 - 1e-6) ? 1
                                                                                         : INFINITY;
  }
  const int exponent = std::max(std::ilogb(want == 0 ? 1e-300 : want), -126);
  return std::abs(got - want) / std::ldexp(1.0, exponent - 23);
}

struct Case {
  Op op;
  double low, high;  // a range looked at closely, beside all of f32
  double ulps;
};

// Bit patterns over all of f32 in steps, the special values, and a dense range.
Elements Arguments(const Case& c) {
  Elements out;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 65521)
    out.push_back(static_cast<Bits>(bits));
  const Elements dense = Spread(Type::kF32, 1 << 17, c.low, c.high);
  out.insert(out.end(), dense.begin(), dense.end());
  for (uint32_t bits :
       {0x0u, 0x80000000u, 0x1u, 0x80000001u, 0x7fffffu, 0x800000u, 0x3f800000u, 0xbf800000u,
        0x7f7fffffu, 0xff7fffffu, 0x7f800000u, 0xff800000u, 0x7fc00000u}) {
    out.push_back(bits);
  }
  return out;
}

class Math32 : public ::testing::TestWithParam<Case> {};

TEST_P(Math32, IsWithinItsError) {
  const Case& c = GetParam();
  const Elements x = Arguments(c);
  const auto count = static_cast<int64_t>(x.size());
  for (const CpuTarget& target : Targets()) {
    const int local = target.lanes;
    Launch launch{kernel::test::MathKernel(local, c.op, Type::kF32, count),
                  {x, Filled(Type::kF32, count, 9)},
                  {},
                  (count + local - 1) / local};
    const Elements got = RunCompiled(launch, target)[1];
    double worst = 0, at = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double argument = kernel::ToDouble(Type::kF32, x[i]);
      const double error = Ulps(kernel::ToDouble(Type::kF32, got[i]), Ideal(c.op, argument, 0));
      if (error > worst) worst = error, at = argument;
    }
    EXPECT_LE(worst, c.ulps) << Name(c.op) << " at " << at << " on " << target.name;
    RecordProperty(std::string(target.name), std::to_string(worst));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Functions, Math32,
    ::testing::Values(Case{Op::kExp, -105, 90, 1.5}, Case{Op::kExp2, -151, 129, 1.5},
                      Case{Op::kLog, 0.5, 2, 1.5}, Case{Op::kSin, -20, 20, 1.75},
                      Case{Op::kCos, -20, 20, 1.75}, Case{Op::kTan, -20, 20, 3.5},
                      Case{Op::kAtan, -3, 3, 2}, Case{Op::kTanh, -9.5, 9.5, 2},
                      Case{Op::kErf, -4.2, 4.2, 2}, Case{Op::kRsqrt, 0, 9, 1.5},
                      Case{Op::kSqrt, 0, 9, 0.5}, Case{Op::kFloor, -9, 9, 0},
                      Case{Op::kCeil, -9, 9, 0}, Case{Op::kRound, -9, 9, 0}),
    [](const auto& info) { return std::string(Name(info.param.op)); });

// Signs of zero count.
TEST(Math32Signs, OddFunctionsAndRoundingKeepTheSignOfZero) {
  for (Op op :
       {Op::kSin, Op::kTan, Op::kAtan, Op::kTanh, Op::kErf, Op::kFloor, Op::kCeil, Op::kRound}) {
    Launch launch{kernel::test::MathKernel(8, op, Type::kF32, 8),
                  {Filled(Type::kF32, 8, -0.0), Filled(Type::kF32, 8, 9)}};
    for (const CpuTarget& target : Targets()) {
      EXPECT_EQ(RunCompiled(launch, target)[1][0], 0x80000000LL)
          << Name(op) << " on " << target.name;
    }
  }
}

TEST(Pow32, IsWithinOneUnitAndRightAtSpecialValues) {
  Elements x, y;
  const double infinity = INFINITY, nan = std::nan("");
  const double special[] = {0.0, -0.0, 1,  -1,  infinity, -infinity, nan,      0.5,  2,
                            3,   -2,   -3, 0.1, 1e-40,    -1e-40,    16777217, 1e30, -7.5};
  for (double a : special) {
    for (double e : special) {
      x.push_back(kernel::EncodeFloat(Type::kF32, a));
      y.push_back(kernel::EncodeFloat(Type::kF32, e));
    }
  }
  for (const auto& [bases, exponents] :
       {std::pair{Spread(Type::kF32, 1 << 16, 0, 5), Spread(Type::kF32, 1 << 16, -30, 31)},
        std::pair{Spread(Type::kF32, 1 << 16, 0, 1e30), Spread(Type::kF32, 1 << 16, -1.3, 1.25)},
        std::pair{Spread(Type::kF32, 1 << 16, 0.99, 1.01),
                  Spread(Type::kF32, 1 << 16, -8000, 8011)}}) {
    x.insert(x.end(), bases.begin(), bases.end());
    y.insert(y.end(), exponents.begin(), exponents.end());
  }
  const auto count = static_cast<int64_t>(x.size());
  for (const CpuTarget& target : Targets()) {
    Launch launch{kernel::test::MathKernel(8, Op::kPow, Type::kF32, count),
                  {x, y, Filled(Type::kF32, count, 9)},
                  {},
                  (count + 7) / 8};
    const Elements got = RunCompiled(launch, target)[2];
    for (size_t i = 0; i < x.size(); ++i) {
      const double a = kernel::ToDouble(Type::kF32, x[i]), e = kernel::ToDouble(Type::kF32, y[i]);
      const double result = kernel::ToDouble(Type::kF32, got[i]), want = std::pow(a, e);
      ASSERT_LE(Ulps(result, want), 1) << a << " ^ " << e << " is " << result << ", not " << want;
      const bool sign_counts = want == 0;
      ASSERT_EQ(sign_counts && std::signbit(result), sign_counts && std::signbit(want))
          << a << " ^ " << e;
    }
  }
}

// f64 goes to libm lane by lane, and so agrees exactly.
TEST(Math64, IsLibm) {
  for (Op op : {Op::kExp, Op::kExp2, Op::kLog, Op::kSin, Op::kCos, Op::kTan, Op::kAtan, Op::kTanh,
                Op::kErf, Op::kPow, Op::kSqrt, Op::kRsqrt, Op::kFloor, Op::kCeil, Op::kRound}) {
    const int64_t n = 21;
    Launch launch{
        kernel::test::MathKernel(8, op, Type::kF64, n), {Spread(Type::kF64, n, -3, 9)}, {}, 3};
    if (Info(op).operands == 2) launch.buffers.push_back(Spread(Type::kF64, n, -2, 2));
    launch.buffers.push_back(Filled(Type::kF64, n, 9));
    ExpectAgrees(launch);
  }
}

// What a walker relies on is said and checked.
TEST(Legalize, RequireNamesWhatIsLeft) {
  using kernel::Property;
  const kernel::Kernel gelu = kernel::test::GeluKernel(8, 8);
  const absl::Status status = Require(gelu, std::array{Property::kNoMath32});
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_NE(status.ToString().find("erf f32: should have been legalized away"), std::string::npos)
      << status;
  const auto legal = ExpandMath32(gelu);
  ASSERT_TRUE(legal.ok());
  EXPECT_TRUE(Require(*legal, std::array{Property::kNoMath32, Property::kNoBF16Casts}).ok());
}

}  // namespace
}  // namespace rlx::cpu::test
