// SPDX-License-Identifier: Apache-2.0
#include "runtime/tensor/dim.h"

#include <gtest/gtest.h>

#include <random>

namespace rlx {
namespace {

const Dim s = Dim::Symbol("s"), t = Dim::Symbol("t");

TEST(Dim, EqualExpressionsCompareEqual) {
  EXPECT_EQ(2 * s + s, 3 * s);
  EXPECT_EQ(s * t, t * s);
  EXPECT_EQ((s + 1) * (s - 1), s * s - 1);
  EXPECT_EQ(s - s, 0);
  EXPECT_EQ(Min(s, t), Min(t, s));
  EXPECT_NE(s, t);
  EXPECT_NE(s, 1);
}

TEST(Dim, FloorDivTakesOutWhatDividesExactly) {
  EXPECT_EQ(FloorDiv(4 * s, 2), 2 * s);
  EXPECT_EQ(FloorDiv(4 * s + 3, 4), s);
  EXPECT_EQ(FloorDiv(s * t * 384, s * t), 384);
  EXPECT_EQ(FloorDiv(768 * s + 768 * t, 12 * s + 12 * t), 64);
  EXPECT_EQ(FloorDiv(s * s - 1, s + 1), s - 1);
  EXPECT_EQ(FloorDiv(6 * s * t, 4 * t), FloorDiv(3 * s, 2));
  EXPECT_EQ(FloorDiv(FloorDiv(s, 2), 3), FloorDiv(s, 6));
  EXPECT_EQ(FloorDiv(2 * s + 1, 4), FloorDiv(s, 2));
  EXPECT_EQ(FloorDiv(5 * s, 2), 2 * s + FloorDiv(s, 2));
  EXPECT_EQ(FloorDiv(-7, 2), -4);
  EXPECT_EQ(FloorDiv(7, -2), -4);
}

TEST(Dim, MinAndMaxDecideWhenTheDifferenceIsConstant) {
  EXPECT_EQ(Min(s, s + 1), s);
  EXPECT_EQ(Max(s, s + 1), s + 1);
  EXPECT_EQ(Max(3, 5), 5);
}

TEST(Dim, OverflowAbsorbsAndNeverWraps) {
  const Dim big = int64_t{1} << 62;
  EXPECT_TRUE((big + big).is_overflow());
  EXPECT_TRUE((big * 2).is_overflow());
  EXPECT_TRUE((big * s * 4).is_overflow());
  EXPECT_TRUE((Dim::Overflow() + 1).is_overflow());
  EXPECT_TRUE((Dim::Overflow() * 0).is_overflow());
  EXPECT_TRUE(FloorDiv(s, 0).is_overflow());
  EXPECT_TRUE(Min(Dim::Overflow(), 1).is_overflow());
  EXPECT_TRUE((s * Dim(INT64_MAX) * -1 - s).is_overflow());
}

TEST(Dim, ExpressionsDoNotGrowWithoutBound) {
  Dim sum = 0;
  for (int i = 0; i < 200; ++i) sum = sum + Dim::Symbol("x" + std::to_string(i));
  EXPECT_TRUE(sum.is_overflow());
  Dim nested = s;
  for (int i = 0; i < 200; ++i) nested = Min(FloorDiv(nested + t, 2), t * nested);
  EXPECT_TRUE(nested.is_overflow());
}

TEST(Dim, BindReplacesKnownSymbols) {
  const Dim dim = 2 * s * t + FloorDiv(s, 2);
  EXPECT_EQ(dim.Bind({{"s", 5}}), 10 * t + 2);
  EXPECT_EQ(dim.Bind({{"s", 5}, {"t", 3}}), 32);
  EXPECT_EQ(dim.Bind({}), dim);
  EXPECT_TRUE((s * s).Bind({{"s", INT64_MAX}}).is_overflow());
}

TEST(Dim, BoundsFollowTheRanges) {
  const SymbolTable symbols = {{"s", {2, 10}}, {"t", {1, 4}}};
  EXPECT_EQ((s * t + 1).UpperBound(symbols), 41);
  EXPECT_EQ((s * t + 1).LowerBound(symbols), 3);
  EXPECT_EQ((s - t).LowerBound(symbols), -2);
  EXPECT_EQ(FloorDiv(s, t).UpperBound(symbols), 10);
  EXPECT_EQ(FloorDiv(s, t - 2).UpperBound(symbols), INT64_MAX);
  EXPECT_EQ(Min(s, 2 * t).UpperBound(symbols), 8);
  EXPECT_EQ((s * t * (int64_t{1} << 60)).UpperBound(symbols), INT64_MAX);
  EXPECT_EQ(Dim::Symbol("unknown").UpperBound(symbols), SymbolRange{}.max);
}

TEST(Dim, SymbolsAreCollectedOnce) {
  std::vector<std::string> names;
  (t * s + Max(FloorDiv(s, 2), t)).CollectSymbols(names);
  EXPECT_EQ(names, (std::vector<std::string>{"s", "t"}));
}

TEST(Dim, TextIsAsDocumented) {
  EXPECT_EQ(Dim(16).ToString(), "16");
  EXPECT_EQ(s.ToString(), "s");
  EXPECT_EQ((s * t).ToString(), "(s * t)");
  EXPECT_EQ((2 * s + 1).ToString(), "(2 * s + 1)");
  EXPECT_EQ((1 - s).ToString(), "(-s + 1)");
  EXPECT_EQ(FloorDiv(s, 2).ToString(), "floordiv(s, 2)");
}

TEST(Dim, ParseRefusesWhatIsNoExpression) {
  for (std::string_view text :
       {"", "(", "s +", "s t", "floordiv(s)", "floordiv(1, 0)", "2s", "pow(s, 2)",
        "9223372036854775808", "4611686018427387904 * 4", "min(s", "s)"})
    EXPECT_FALSE(ParseDim(text)) << text;
  EXPECT_FALSE(ParseDim(std::string(100'000, '(')));
  EXPECT_FALSE(ParseDim(std::string(100'000, '-')));
}

// A random expression, its value computed beside it.
struct Sample {
  Dim dim;
  int64_t value;
};

Sample Draw(std::mt19937_64& rng, const DimBinding& binding, int depth) {
  const auto pick = [&](int64_t n) { return static_cast<int64_t>(rng() % n); };
  if (depth == 0 || pick(4) == 0) {
    if (pick(2) == 0) {
      const int64_t value = pick(7) - 2;
      return {value, value};
    }
    const auto at = std::next(binding.begin(), pick(static_cast<int64_t>(binding.size())));
    return {Dim::Symbol(at->first), at->second};
  }
  const Sample a = Draw(rng, binding, depth - 1), b = Draw(rng, binding, depth - 1);
  switch (pick(6)) {
    case 0:
      return {a.dim + b.dim, a.value + b.value};
    case 1:
      return {a.dim - b.dim, a.value - b.value};
    case 2:
      return {a.dim * b.dim, a.value * b.value};
    case 3:
      return {Min(a.dim, b.dim), std::min(a.value, b.value)};
    case 4:
      return {Max(a.dim, b.dim), std::max(a.value, b.value)};
    default: {
      if (b.value == 0) return a;
      const int64_t quotient = a.value / b.value;
      const bool floors = a.value % b.value != 0 && (a.value < 0) != (b.value < 0);
      return {FloorDiv(a.dim, b.dim), quotient - (floors ? 1 : 0)};
    }
  }
}

TEST(Dim, RandomExpressionsKeepTheirValueBoundsAndText) {
  int judged = 0;
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 rng(seed);
    DimBinding binding;
    SymbolTable symbols;
    for (const char* name : {"a", "b", "c"}) {
      const int64_t value = 1 + static_cast<int64_t>(rng() % 9);
      binding[name] = value;
      symbols[name] = {1, 9};
    }
    const Sample sample = Draw(rng, binding, 4);
    if (sample.dim.is_overflow()) continue;  // too large, or divided by an expression that is 0
    ++judged;
    EXPECT_EQ(sample.dim.Bind(binding), sample.value) << sample.dim.ToString();
    EXPECT_LE(sample.dim.LowerBound(symbols), sample.value) << sample.dim.ToString();
    EXPECT_GE(sample.dim.UpperBound(symbols), sample.value) << sample.dim.ToString();
    const auto parsed = ParseDim(sample.dim.ToString());
    ASSERT_TRUE(parsed) << sample.dim.ToString();
    EXPECT_EQ(*parsed, sample.dim) << sample.dim.ToString();
  }
  EXPECT_GT(judged, 3000);
}

}  // namespace
}  // namespace rlx
