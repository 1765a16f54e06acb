// SPDX-License-Identifier: Apache-2.0
#include "runtime/tensor/dim_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "runtime/base/text.h"

namespace rlx {
namespace {

using ::testing::ElementsAre;
using Constraints = std::vector<DimConstraint>;

const Dim s = Dim::Symbol("s"), t = Dim::Symbol("t"), u = Dim::Symbol("u");

DimConstraint AtMost(const Dim& a, const Dim& b) { return {Max(a, b), b}; }

TEST(DimSystem, LetsPassWhatSomeSizesKeep) {
  EXPECT_TRUE(MayHold({}, {}));
  for (const Constraints& system : {
           Constraints{{s, 7}},
           Constraints{{s, 7}, {2 * s, 14}},
           Constraints{{s, t}, {t, u}, {u, s}},
           Constraints{{s, 2 * t}, {t, 2 * u}},
           Constraints{{8 * s, 3 * FloorDiv(8 * s, 3)}},
           Constraints{AtMost(s, t), AtMost(t, s)},
           Constraints{AtMost(23, s)},
           Constraints{{s * t, 12}},
           Constraints{{Dim::Overflow(), s}},
       }) {
    EXPECT_TRUE(MayHold(system, {}));
  }
  const Constraints equal[] = {{{s, 20}}};
  EXPECT_TRUE(MayHold(equal[0], {{"s", {4, 20}}}));
}

TEST(DimSystem, RefusesWhatNoSizesKeep) {
  for (const Constraints& system : {
           Constraints{{s, 7}, {s, 8}}, Constraints{{s, 7}, {2 * s, 15}},  // parity
           Constraints{{6 * s, 4 * t + 1}},                                // alone
           Constraints{{s, t}, {s, 2 * t}},                                // t would be 0
           Constraints{{s, t}, {t, u}, {u, s + 1}},                        // round a circle
           Constraints{{s, t + 3}, AtMost(s, t)},                          //
           Constraints{AtMost(s, 8), AtMost(9, s)},                        //
           Constraints{{s * t, 12}, {s, 13}},                              // products narrow
           Constraints{{FloorDiv(s, 4), 3}, AtMost(s, 11)},                // 12 ≤ s ≤ 15
           Constraints{{Min(s, t), 5}, {s, 4}},                            //
       }) {
    EXPECT_FALSE(MayHold(system, {})) << Cat(system[0].a, " = ", system[0].b);
  }
  const SymbolTable ranges = {{"s", {4, 20}}};
  for (const Constraints& system :
       {Constraints{{s, 21}}, Constraints{{s, 30}}, Constraints{AtMost(23, s)},
        Constraints{{s, 2 * t}, {t, 11}}, Constraints{{s * s, 9}}}) {
    EXPECT_FALSE(MayHold(system, ranges)) << Cat(system[0].a, " = ", system[0].b);
  }
}

TEST(DimSystem, NamesFewConstraintsOfAConflict) {
  Constraints system;
  for (int i = 0; i < 200; ++i) {
    const Dim a = Dim::Symbol(Cat("a", i % 40)), b = Dim::Symbol(Cat("b", i % 40));
    system.push_back({a, 2 * b});
  }
  system[17] = {s, 7};
  system[102] = {s, 8};
  EXPECT_THAT(ConflictIn(system, {}), ElementsAre(17, 102));
  system[102] = {s, t};
  system[3] = {u, t};
  system[199] = {u, 9};
  EXPECT_THAT(ConflictIn(system, {}), ElementsAre(3, 17, 102, 199));
  system[199] = {u, 7};
  EXPECT_TRUE(MayHold(system, {}));
  system[5] = {s, 30};
  EXPECT_THAT(ConflictIn(std::span(system).subspan(5, 1), {{"s", {4, 20}}}), ElementsAre(0));
}

// However many constraints of however many terms there are, it comes to an end soon.
TEST(DimSystem, IsBounded) {
  Constraints system;
  Dim sum = 0;
  for (int i = 0; i < 15; ++i) sum = sum + Dim(i + 2) * Dim::Symbol(Cat("a", i)) * Dim::Symbol("z");
  ASSERT_FALSE(sum.is_overflow());
  for (int i = 0; i < 1000; ++i)
    system.push_back({sum + Dim(i) * s, Dim::Symbol(Cat("b", i % 90))});
  system.push_back({s, 7});
  system.push_back({s, 8});
  MayHold(system, {});
  EXPECT_LE(ConflictIn(system, {}).size(), system.size());
}

// What is refused has no solution: tried with all sizes.
TEST(DimSystem, RefusesNothingThatHasASolution) {
  std::mt19937_64 rng(3);
  const auto draw = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(rng() % static_cast<uint64_t>(high - low + 1));
  };
  const std::function<Dim(int)> expression = [&](int depth) -> Dim {
    const Dim symbols[] = {s, t, u};
    if (depth == 0) return draw(0, 3) == 0 ? Dim(draw(1, 9)) : symbols[draw(0, 2)];
    const Dim a = expression(depth - 1), b = expression(depth - 1);
    switch (draw(0, 6)) {
      case 0:
        return a * b;
      case 1:
        return a - b;
      case 2:
        return Max(a, b);
      case 3:
        return Min(a, b);
      case 4:
        return FloorDiv(a, draw(1, 4));
      default:
        return a + Dim(draw(1, 3)) * b;
    }
  };
  int refused = 0, solvable = 0;
  for (int round = 0; round < 3000; ++round) {
    SymbolTable ranges;
    for (const char* name : {"s", "t", "u"}) {
      const int64_t low = draw(1, 4);
      ranges[name] = {low, low + draw(0, 5)};
    }
    Constraints system;
    for (int64_t n = draw(1, 4); n > 0; --n) {
      const Dim a = expression(static_cast<int>(draw(0, 2)));
      const Dim b = expression(static_cast<int>(draw(0, 1)));
      system.push_back(draw(0, 3) == 0 ? AtMost(a, b) : DimConstraint{a, b});
    }
    bool found = false;
    for (int64_t i = ranges["s"].min; i <= ranges["s"].max && !found; ++i)
      for (int64_t j = ranges["t"].min; j <= ranges["t"].max && !found; ++j)
        for (int64_t k = ranges["u"].min; k <= ranges["u"].max && !found; ++k)
          found = CheckConstraints(system, {{"s", i}, {"t", j}, {"u", k}}).ok();
    const bool may_hold = MayHold(system, ranges);
    std::string text;
    for (const auto& [a, b] : system) text += Cat(a, " = ", b, "\n");
    ASSERT_TRUE(may_hold || !found) << text;
    refused += may_hold ? 0 : 1;
    solvable += found ? 1 : 0;
    if (may_hold) continue;
    Constraints few;
    for (size_t at : ConflictIn(system, ranges)) few.push_back(system[at]);
    ASSERT_FALSE(few.empty());
    ASSERT_FALSE(MayHold(few, ranges)) << text;
  }
  EXPECT_GT(solvable, 300);
  EXPECT_GT(refused, 300);
}

}  // namespace
}  // namespace rlx
