// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <list>

#include <absl/status/status.h>
#include <absl/strings/string_view.h>

namespace other {

struct Point {
  int x, y;
};
void AppendTo(std::string& out, const Point& p) { out += rlx::Cat('(', p.x, ',', p.y, ')'); }

}  // namespace other

namespace rlx {
namespace {

TEST(Text, CatWritesEveryKindOfPart) {
  const char* pointer = "ptr";
  EXPECT_EQ(Cat("a", std::string("b"), std::string_view("c"), pointer, 'd', true, false),
            "abcptrdtruefalse");
  EXPECT_EQ(Cat(int8_t{-5}, ' ', uint8_t{200}, ' ', -7, ' ', 8u), "-5 200 -7 8");
  EXPECT_EQ(Cat(std::numeric_limits<int64_t>::min(), ' ', std::numeric_limits<uint64_t>::max()),
            "-9223372036854775808 18446744073709551615");
  EXPECT_EQ(Cat(), "");
}

TEST(Text, FloatsAreShortestAndReadBackEqual) {
  EXPECT_EQ(Cat(0.1f, ' ', 0.1, ' ', 1.0, ' ', -0.0), "0.1 0.1 1 -0");
  EXPECT_EQ(Cat(std::numeric_limits<double>::infinity(), ' ', std::nan("")), "inf nan");
  for (double value : {1.0 / 3.0, 1e300, -2.2250738585072014e-308, 123456789.125}) {
    EXPECT_EQ(std::stod(Cat(value)), value);
  }
}

TEST(Text, CatFindsForeignTypes) {
  EXPECT_EQ(Cat("at ", other::Point{1, -2}), "at (1,-2)");
  EXPECT_EQ(Cat(absl::NotFoundError("no such graph")), "NOT_FOUND: no such graph");
  EXPECT_EQ(Cat(absl::string_view("view")), "view");
}

TEST(Text, Join) {
  EXPECT_EQ(Join(std::vector<int>{1, 2, 3}, ", "), "1, 2, 3");
  EXPECT_EQ(Join(std::list<std::string>{}, ", "), "");
  EXPECT_EQ(
      Join(std::vector<int>{1, 2}, "x", [](std::string& out, int i) { out += Cat('<', i, '>'); }),
      "<1>x<2>");
}

TEST(Text, SplitKeepsEmptyPieces) {
  using Pieces = std::vector<std::string_view>;
  EXPECT_EQ(Split("a,,b,", ','), (Pieces{"a", "", "b", ""}));
  EXPECT_EQ(Split("", ','), Pieces{""});
}

TEST(Text, Trim) {
  EXPECT_EQ(Trim(" \t a b \r\n"), "a b");
  EXPECT_EQ(Trim(" \n"), "");
}

TEST(Text, ParseIntTakesTheWholeTextOrNothing) {
  EXPECT_EQ(ParseInt("-42"), -42);
  EXPECT_EQ(ParseInt("9223372036854775807"), std::numeric_limits<int64_t>::max());
  for (std::string_view bad : {"", "x", "1x", " 1", "+1", "9223372036854775808", "0x10"}) {
    EXPECT_EQ(ParseInt(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace rlx
