// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/text.h"

#include <gmock/gmock.h>

#include <limits>

#include "runtime/base/status.h"
#include "runtime/kernel/builder.h"
#include "tests/support/standard_kernels.h"

namespace rlx::kernel {
namespace {

void ExpectRoundTrip(const Kernel& kernel) {
  const std::string text = Print(kernel);
  const auto parsed = Parse(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(*parsed, kernel) << text;
  EXPECT_EQ(Print(*parsed), text);
}

TEST(Text, StandardKernelsRoundTrip) {
  using namespace test;
  ExpectRoundTrip(AddKernel(8, 100));
  ExpectRoundTrip(SoftmaxKernel(16, 37));
  ExpectRoundTrip(LayerNormKernel(32, 384, 1e-5F));
  ExpectRoundTrip(GatherKernel(4, 10, 6));
  ExpectRoundTrip(ArgMaxKernel(8, 20));
  ExpectRoundTrip(ReverseKernel(8));
  ExpectRoundTrip(CastKernel(8, Type::kF16, Type::kI8, 10));
}

TEST(Text, ConstantsOfEveryTypeRoundTrip) {
  Builder b("constants", 1);
  for (int t = 1; t < kTypeCount; ++t) {
    for (double v : {0.0, 1.0, 0.3, 1e-40, 77.0}) b.Float(static_cast<Type>(t), v);
  }
  for (Type t : {Type::kFp8E4M3, Type::kFp8E5M2, Type::kF16, Type::kBF16, Type::kF32, Type::kF64}) {
    const double infinity = std::numeric_limits<double>::infinity();
    for (double v : {-0.0, infinity, -infinity, std::numeric_limits<double>::quiet_NaN()})
      b.Float(t, v);
  }
  b.I64(std::numeric_limits<int64_t>::min());
  b.Emit(
      {.op = Op::kConst, .type = Type::kF32, .imm = 0x7fa12345});  // a signalling NaN's bits stay
  auto kernel = std::move(b).Finish();
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  ExpectRoundTrip(*kernel);
}

TEST(Text, PrintsAsDocumented) {
  EXPECT_EQ(Print(test::ReverseKernel(4)), R"(kernel reverse local 4
buffers f32, f32 mut
%0 = buffer f32 0
%1 = buffer f32 1
%2 = shared f32 4
%3 = local_id i32
%4 = const i64 4
%5 = group_id i64
%6 = mul i64 %5 %4
%7 = local_id i64
%8 = add i64 %6 %7
%9 = load f32 %0 %8
store %2 %3 %9
barrier
%12 = const i32 3
%13 = sub i32 %12 %3
%14 = load f32 %2 %13
store %1 %8 %14
)");
}

TEST(Text, SkipsCommentsAndBlankLines) {
  const auto kernel =
      Parse("# a kernel\n\nkernel k local 2  # two lanes\n  %0 = const i32 -7 # seven\n");
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  ASSERT_EQ(kernel->body.size(), 1u);
  EXPECT_EQ(kernel->body[0].imm, -7);
}

TEST(Text, NamesTheLineThatIsWrong) {
  const auto message = [](std::string_view text) {
    const auto kernel = Parse(text);
    EXPECT_EQ(kernel.status().code(), absl::StatusCode::kInvalidArgument) << text;
    return std::string(Message(kernel.status()));
  };
  EXPECT_EQ(message(""), "kernel text has no kernel line");
  EXPECT_EQ(message("kernel k"), "kernel text, line 1: want `kernel <name> local <lanes>`");
  EXPECT_EQ(message("kernel k local 4096"),
            "kernel text, line 1: want `kernel <name> local <lanes>`");
  EXPECT_EQ(message("kernel k local 8\nbuffers f31"), "kernel text, line 2: \"f31\" is no type");
  EXPECT_EQ(message("kernel k local 8\nfoo"), "kernel text, line 2: \"foo\" is no op");
  EXPECT_EQ(message("kernel k local 8\n%1 = const i32 1"), "kernel text, line 2: want %0");
  EXPECT_EQ(message("kernel k local 8\n%0 = const i32"),
            "kernel text, line 2: const lacks its immediate");
  EXPECT_EQ(message("kernel k local 8\n%0 = const f32 1x"),
            "kernel text, line 2: \"1x\" is no number");
  EXPECT_EQ(message("kernel k local 8\n%0 = const i32 1.5"),
            "kernel text, line 2: \"1.5\" is no integer");
  EXPECT_EQ(message("kernel k local 8\n%0 = add i32 %1"),
            "kernel text, line 2: add has 2 operands");
  EXPECT_EQ(message("kernel k local 8\n%0 = neg i32 7"),
            "kernel text, line 2: \"7\" is no operand");
  EXPECT_EQ(message("kernel k local 8\n%0 = neg i32 %99999999999"),
            "kernel text, line 2: \"%99999999999\" is no operand");
  EXPECT_EQ(message("kernel k local 8\nbarrier now"),
            "kernel text, line 2: does not expect \"now\"");
}

}  // namespace
}  // namespace rlx::kernel
