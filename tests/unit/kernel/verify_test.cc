// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/verify.h"

#include <gmock/gmock.h>

#include "runtime/base/status.h"
#include "runtime/kernel/text.h"

namespace rlx::kernel {
namespace {

// A kernel header with two buffers (one writable) and a scalar before `body`.
std::string WithHeader(std::string_view body) {
  return Cat("kernel k local 8\nbuffers f32, f32 mut\nscalars i64\n", body);
}

struct Case {
  std::string_view body;
  std::string_view complaint;
};

class VerifyTest : public ::testing::TestWithParam<Case> {};

TEST_P(VerifyTest, NamesTheBrokenRule) {
  const auto kernel = Parse(WithHeader(GetParam().body));
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  const absl::Status status = Verify(*kernel);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << Print(*kernel);
  EXPECT_EQ(Message(status), Cat("k: ", GetParam().complaint));
}

constexpr std::string_view kDivergent = R"(
%0 = local_id i32
%1 = const i32 3
%2 = lt bool %0 %1
if %2
)";

INSTANTIATE_TEST_SUITE_P(
    Rules, VerifyTest,
    ::testing::Values(
        Case{"%0 = neg f32 %0", "%0 neg: uses %0 before it is defined"},
        Case{"%0 = const i32 4\n%1 = loop i32 %0\n%2 = const i32 1\nend\n%4 = neg i32 %2",
             "%4 neg: uses %2 outside its bracket"},
        Case{"%0 = const i32 4\n%1 = loop i32 %0\nend\n%3 = neg i32 %1",
             "%3 neg: uses %1 outside its bracket"},
        Case{"barrier\n%1 = neg f32 %0", "%1 neg: uses %0, which has no result"},
        Case{"end", "%0 end: closes no bracket"},
        Case{"%0 = const bool 1\nif %0", "%1 if: is never closed"},
        Case{"%0 = const i32 1\n%1 = load f32 %0 %0", "%1 load: operand %0 is no pointer"},
        Case{"%0 = buffer f32 0\n%1 = neg f32 %0", "%1 neg: operand %0 is a pointer"},
        Case{"%0 = buffer f32 0\n%1 = load f32 %0 %0", "%1 load: operand %0 is not a value"},
        Case{"%0 = const f32 1\n%1 = get f32 %0", "%1 get: operand %0 is no cell"},
        Case{"%0 = const f32 1\n%1 = cell f32 %0\n%2 = add f32 %1 %0",
             "%2 add: operand %1 is a cell"},
        Case{"%0 = const f32 1\n%1 = cell f32 %0\n%2 = add f32 %0 %1",
             "%2 add: operand %1 is not a value"},
        Case{"%0 = const f32 1\n%1 = const i64 1\n%2 = add f32 %0 %1",
             "%2 add: operand 2 is i64, not f32"},
        Case{"%0 = const f16 1\n%1 = add f16 %0 %0", "%1 add: is not defined on f16"},
        Case{"%0 = const f32 1\n%1 = and f32 %0 %0", "%1 and: is not defined on f32"},
        Case{"%0 = const f32 1\n%1 = rem f32 %0 %0", "%1 rem: is not defined on f32"},
        Case{"%0 = const i64 1\n%1 = exp i64 %0", "%1 exp: is not defined on i64"},
        Case{"%0 = const i32 1\n%1 = lt i32 %0 %0", "%1 lt: must have type bool"},
        Case{"%0 = const u32 1\n%1 = loop u32 %0\nend", "%1 loop: cannot have type u32"},
        Case{"%0 = const i32 1\nif %0\nend", "%1 if: operand 1 is i32, not bool"},
        Case{"%0 = const i32 1\n%1 = loop i64 %0\nend", "%1 loop: operand 1 is i32, not i64"},
        Case{"%0 = buffer f32 0\n%1 = const f32 1\n%2 = load f32 %0 %1",
             "%2 load: the index is neither i32 nor i64"},
        Case{"%0 = buffer f32 0\n%1 = const i32 1\n%2 = load f64 %0 %1",
             "%2 load: moves f64, not f32"},
        Case{"%0 = buffer f32 1\n%1 = const i32 1\nstore %0 %1 %1", "%2 store: moves i32, not f32"},
        Case{"%0 = buffer f32 0\n%1 = const i32 1\n%2 = const f32 0\nstore %0 %1 %2",
             "%3 store: writes to %0, a read-only buffer"},
        Case{"%0 = buffer f32 2", "%0 buffer: has no slot 2"},
        Case{"%0 = buffer f64 0", "%0 buffer: differs in type from its slot"},
        Case{"%0 = scalar f64 0", "%0 scalar: differs in type from its slot"},
        Case{"%0 = scalar i64 -1", "%0 scalar: has no slot -1"},
        Case{"%0 = const bool 1\nif %0\n%2 = buffer f32 0\nend",
             "%2 buffer: must stand outside all brackets"},
        Case{"%0 = shared f32 0", "%0 shared: cannot have 0 elements"},
        Case{"%0 = const i8 300", "%0 const: is not a value of i8"},
        Case{"%0 = const bool 2", "%0 const: is not a value of bool"},
        Case{"%0 = const i64 2\n%1 = const f32 1\n%2 = bitcast f32 %0",
             "%2 bitcast: cannot read i64 as f32"},
        Case{"%0 = const f32 2\n%1 = cell f32 %0\n%2 = const i32 2\nset %1 %2",
             "%3 set: operand 2 is i32, not f32"},
        Case{"%0 = const bool 1\n%1 = const f32 1\n%2 = const i32 2\n%3 = select f32 %0 %1 %2",
             "%3 select: operand 3 is i32, not f32"},
        Case{"%0 = local_id i32\n%1 = loop i32 %0\nend",
             "%1 loop: has a trip count that lanes differ on"}));

TEST(Verify, WantsBarriersAndReductionsWhereAllLanesMeet) {
  const auto barrier = Parse(WithHeader(Cat(kDivergent, "barrier\nend")));
  EXPECT_EQ(Message(Verify(*barrier)),
            "k: %4 barrier: stands under an if that lanes may disagree on");
  const auto reduce = Parse(WithHeader(Cat(kDivergent, "%4 = reduce_add i32 %0\nend")));
  EXPECT_EQ(Message(Verify(*reduce)),
            "k: %4 reduce_add: stands under an if that lanes may disagree on");
}

TEST(Verify, AllowsBarriersUnderUniformIfs) {
  const auto kernel = Parse(WithHeader(R"(
%0 = scalar i64 0
%1 = const i64 3
%2 = lt bool %0 %1
if %2
  barrier
end)"));
  EXPECT_TRUE(Verify(*kernel).ok());
}

// The cell is uniform at its first use, but the loop brings lane-dependent values around.
TEST(Verify, FollowsCellsAroundLoops) {
  const auto kernel = Parse(WithHeader(R"(
%0 = const i32 0
%1 = local_id i32
%2 = const i32 9
%3 = cell i32 %0
%4 = loop i32 %2
  %5 = get i32 %3
  %6 = loop i32 %5
  end
  set %3 %1
end)"));
  EXPECT_EQ(Message(Verify(*kernel)), "k: %6 loop: has a trip count that lanes differ on");
}

TEST(Verify, WantsASoundSignature) {
  Kernel kernel{.name = "9x"};
  EXPECT_EQ(Message(Verify(kernel)), "kernel \"9x\": not an identifier");
  kernel = {.name = "x", .local = 12};
  EXPECT_EQ(Message(Verify(kernel)), "x: a group cannot have 12 lanes");
  kernel = {.name = "x", .scalars = {Type::kU32}};
  EXPECT_EQ(Message(Verify(kernel)), "x: a scalar of type u32");
  kernel = {.name = "x", .buffers = {{}}};
  EXPECT_EQ(Message(Verify(kernel)), "x: a buffer of void");
}

TEST(Verify, CountsOperands) {
  Kernel kernel{.name = "x"};
  kernel.body = {{.op = Op::kConst, .type = Type::kF32},
                 {.op = Op::kAdd, .type = Type::kF32, .a = {0}}};
  EXPECT_EQ(Message(Verify(kernel)), "x: %1 add: lacks operand 2");
  kernel.body[1] = {.op = Op::kNeg, .type = Type::kF32, .a = {0}, .b = {0}};
  EXPECT_EQ(Message(Verify(kernel)), "x: %1 neg: has no use for operand 2");
}

}  // namespace
}  // namespace rlx::kernel
