// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {
namespace {

TEST(SimplifyMovement, TransposesOnce) {
  ExpectRewrite(SimplifyMovement, R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = transpose(%0) {perm = [1, 2, 0]}
    %2 = transpose(%1) {perm = [0, 2, 1]}
    %3 = transpose(%2) {perm = [2, 1, 0]}
    output "y" = %3
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = transpose(%0) {perm = [2, 0, 1]}
    output "y" = %1
  })");
}

// The way there has another reader, and stays.
TEST(SimplifyMovement, GivesBackWhatWasMovedThereAndBack) {
  ExpectRewrite(SimplifyMovement, R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = transpose(%0) {perm = [1, 2, 0]}
    %2 = transpose(%1) {perm = [2, 0, 1]}
    %3 = exp(%2)
    %4 = reshape(%3) {shape = [6,4]}
    %5 = reshape(%4) {shape = [2,3,4]}
    output "y" = %5
    output "moved" = %1
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = transpose(%0) {perm = [1, 2, 0]}
    %2 = exp(%0)
    output "y" = %2
    output "moved" = %1
  })");
}

TEST(SimplifyMovement, ReshapesOnce) {
  ExpectRewrite(SimplifyMovement, R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = reshape(%0) {shape = [6,4]}
    %2 = reshape(%1) {shape = [3,8]}
    output "y" = %2
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = reshape(%0) {shape = [3,8]}
    output "y" = %1
  })");
}

TEST(SimplifyMovement, DropsWhatMovesNothing) {
  ExpectRewrite(SimplifyMovement, R"(mir "m" {
    symbol batch in [1, 8]
    %0 = input "x" : f32[batch,3]
    %1 = cast(%0) {to = f32}
    %2 = narrow(%1) {axis = 1, start = 0, length = 3}
    %3 = concat(%2) {axis = 0}
    %4 = expand(%3) {shape = [batch,3]}
    %5 = transpose(%4) {perm = [0, 1]}
    %6 = reshape(%5) {shape = [batch,3]}
    %7 = relu(%6)
    output "y" = %7
  })",
                R"(mir "m" {
    symbol batch in [1, 8]
    %0 = input "x" : f32[batch,3]
    %1 = relu(%0)
    output "y" = %1
  })");
}

// Its buffer may be the new state's by the time that others read.
TEST(SimplifyMovement, GivesBackNoDonatedInput) {
  ExpectUntouched(SimplifyMovement, R"(mir "m" {
    %0 = input "state" : f32[2,3]
    %1 = cast(%0) {to = f32}
    %2 = exp(%1)
    %3 = relu(%1)
    alias 0 -> 0
    output "new" = %2
    output "old" = %1
    output "other" = %3
  })");
}

TEST(SimplifyMovement, LeavesWhatOthersReadAndWhatMoves) {
  ExpectUntouched(SimplifyMovement, R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = transpose(%0) {perm = [1, 2, 0]}
    %2 = transpose(%1) {perm = [1, 0, 2]}
    %3 = reshape(%2) {shape = [4,6]}
    %4 = reshape(%3) {shape = [8,3]}
    %5 = narrow(%4) {axis = 0, start = 1, length = 7}
    %6 = concat(%0, %0) {axis = 1}
    %7 = cast(%5) {to = f16}
    output "a" = %1
    output "b" = %3
    output "c" = %6
    output "d" = %7
  })");
}

}  // namespace
}  // namespace rlx::passes
