// SPDX-License-Identifier: Apache-2.0
// Results of which a run decides how much counts, tensors without elements, and integers that
// travel as others.
#include <cmath>

#include "runtime/base/status.h"
#include "tests/unit/import/import_fixture.h"

namespace rlx::onnx {
namespace {

using test::Floats;
using test::IntAttr;
using test::Ints;
using test::kFloat;
using test::kInt64;
using test::ModelOf;
using test::NodeOf;
using test::TextAttr;
using test::ValueOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kUint64 = 13;

TEST(Selection, NonZeroHasRoomForAllAndSaysHowManyCount) {
  const std::string bytes = ModelOf({.nodes = {NodeOf("NonZero", "x", "y")},
                                     .inputs = {ValueOf("x", kFloat, {2, 3})},
                                     .outputs = {ValueOf("y", kInt64, {2, "n"})}});
  const auto imported = ImportBytes(bytes);
  ASSERT_TRUE(imported.ok()) << imported.status();
  ASSERT_EQ(imported->module.graph.outputs().size(), 2u);
  EXPECT_EQ(imported->module.graph.outputs()[1].name, "y.shape");
  const auto some = RunModel(bytes, {{"x", F32({2, 3}, {0, 5, 0, -1, 0, 2})}});
  EXPECT_THAT(some.at(0).i, ElementsAre(0, 1, 1, 0, 0, 0, /**/ 1, 0, 2, 0, 0, 0));
  EXPECT_THAT(some.at(1).i, ElementsAre(2, 3));
  const auto none = RunModel(bytes, {{"x", F32({2, 3}, {0, 0, 0, 0, 0, 0})}});
  EXPECT_THAT(none.at(1).i, ElementsAre(2, 0));
}

// What picks by coordinates picks from a line of all elements, in which an index outside its own
// axis would be another row's.
TEST(Selection, CoordinatesAreCheckedAgainstTheirOwnAxis) {
  const auto why = [](std::string_view op, std::vector<int64_t> dims,
                      const std::vector<int64_t>& index, const std::vector<test::Message>& attrs,
                      const std::vector<test::DimText>& out) {
    const std::vector<test::DimText> shape(dims.begin(), dims.end());
    const auto imported =
        ImportText({.nodes = {NodeOf(op, "x at", "y", attrs)},
                    .inputs = {ValueOf("x", kFloat, {2, 3}), ValueOf("at", kInt64, shape)},
                    .outputs = {ValueOf("y", kFloat, out)}});
    EXPECT_TRUE(imported.ok()) << imported.status();
    if (!imported.ok()) return std::string();
    const TensorMap inputs = {{"x", F32({2, 3}, {1, 2, 3, 4, 5, 6})}, {"at", I64(dims, index)}};
    const auto got = Evaluate(imported->module.graph, inputs);
    EXPECT_TRUE(absl::IsInvalidArgument(got.status())) << got.status();
    return std::string(rlx::Message(got.status()));
  };
  const std::vector<test::Message> columns = {IntAttr("axis", 1)};
  EXPECT_THAT(why("GatherElements", {2, 1}, {3, 0}, columns, {2, 1}),
              HasSubstr("GatherElements index 3 is outside extent 3"));
  EXPECT_THAT(why("GatherElements", {2, 1}, {0, -4}, columns, {2, 1}),
              HasSubstr("GatherElements index -1 is outside extent 3"));
  EXPECT_THAT(why("GatherND", {1, 2}, {0, 4}, {}, {1}),
              HasSubstr("GatherND index 4 is outside extent 3"));
  EXPECT_THAT(why("GatherND", {2, 1}, {3, 0}, {IntAttr("batch_dims", 1)}, {2}),
              HasSubstr("GatherND index 3 is outside extent 3"));
}

TEST(Selection, WhoReadsAShapeOfARunIsNamed) {
  const auto imported = ImportText({.nodes = {NodeOf("NonZero", "x", "p"), NodeOf("Neg", "p", "y")},
                                    .inputs = {ValueOf("x", kFloat, {3})},
                                    .outputs = {ValueOf("y", kInt64, {1, "n"})}});
  EXPECT_THAT(std::string(rlx::Message(imported.status())),
              HasSubstr("node 1 Neg \"y\": operand 0 has a shape that only a run knows"));
}

TEST(Selection, UniqueKeepsFirstsAndCounts) {
  const auto run = [&](int64_t sorted) {
    const std::string bytes =
        ModelOf({.nodes = {NodeOf("Unique", "x", "y at back many", {IntAttr("sorted", sorted)})},
                 .inputs = {ValueOf("x", kFloat, {6})},
                 .outputs = {ValueOf("y", kFloat, {"n"}), ValueOf("at", kInt64, {"n"}),
                             ValueOf("back", kInt64, {6}), ValueOf("many", kInt64, {"n"})}});
    return RunModel(bytes, {{"x", F32({6}, {2, 1, 1, 3, 4, 3})}});
  };
  const auto rising = run(1);
  EXPECT_THAT(rising.at(0).f, ElementsAre(1, 2, 3, 4, 0, 0));
  EXPECT_THAT(rising.at(1).i, ElementsAre(1, 0, 3, 4, 0, 0));
  EXPECT_THAT(rising.at(2).i, ElementsAre(1, 0, 0, 2, 3, 2));
  EXPECT_THAT(rising.at(3).i, ElementsAre(2, 1, 2, 1, 0, 0));
  EXPECT_THAT(rising.at(4).i, ElementsAre(4));
  const auto first = run(0);
  EXPECT_THAT(first.at(0).f, ElementsAre(2, 1, 3, 4, 0, 0));
  EXPECT_THAT(first.at(2).i, ElementsAre(0, 1, 1, 2, 3, 2));
}

TEST(Selection, NonMaxSuppressionPicksTheBestOfWhatOverlaps) {
  const std::string bytes =
      ModelOf({.nodes = {NodeOf("NonMaxSuppression", "b s most iou", "y")},
               .initializers = {Ints("most", {1}, {3}), Floats("iou", {1}, {0.5f})},
               .inputs = {ValueOf("b", kFloat, {1, 3, 4}), ValueOf("s", kFloat, {1, 1, 3})},
               .outputs = {ValueOf("y", kInt64, {"n", 3})}});
  const auto y = RunModel(bytes, {{"b", F32({1, 3, 4}, {0, 0, 1, 1, 0, 0.1, 1, 1.1, 0, 10, 1, 11})},
                                  {"s", F32({1, 1, 3}, {0.8, 0.9, 0.7})}});
  EXPECT_THAT(y.at(0).i, ElementsAre(0, 0, 1, /**/ 0, 0, 2, /**/ 0, 0, 0));
  EXPECT_THAT(y.at(1).i, ElementsAre(2, 3));
}

TEST(NoElements, AreFoldedWhileImporting) {
  const auto run = [&](std::string_view op) {
    const std::string bytes =
        ModelOf({.nodes = {NodeOf("Exp", "none", "e"), NodeOf(op, "e axes", "r"),
                           NodeOf("Add", "r x", "y")},
                 .initializers = {Floats("none", {2, 0}, {}), Ints("axes", {1}, {1})},
                 .inputs = {ValueOf("x", kFloat, {2, 1})},
                 .outputs = {ValueOf("y", kFloat, {2, 1})}},
                18);
    return RunModel(bytes, {{"x", F32({2, 1}, {1, 2})}}).at(0).f;
  };
  EXPECT_THAT(run("ReduceSumSquare"), ElementsAre(1, 2));
  EXPECT_THAT(run("ReduceProd"), ElementsAre(2, 3));
  EXPECT_THAT(run("ReduceMax"), ElementsAre(-INFINITY, -INFINITY));
}

std::vector<int64_t> OfUint64(const test::Message& node, const std::vector<uint64_t>& x,
                              const std::vector<uint64_t>& y) {
  const auto count = static_cast<int64_t>(x.size());
  const std::string bytes =
      ModelOf({.nodes = {node},
               .inputs = {ValueOf("x", kUint64, {count}), ValueOf("y", kUint64, {count})},
               .outputs = {ValueOf("z", kUint64, {count})}},
              18);
  const auto as_signed = [&](const std::vector<uint64_t>& v) {
    return I64({count}, std::vector<int64_t>(v.begin(), v.end()));
  };
  return RunModel(bytes, {{"x", as_signed(x)}, {"y", as_signed(y)}}).at(0).i;
}

TEST(Uint64, IsComputedAsUnsigned) {
  const std::vector<uint64_t> x = {UINT64_MAX,     UINT64_MAX, uint64_t{1} << 63, 7,
                                   UINT64_MAX - 1, 5,          UINT64_MAX};
  const std::vector<uint64_t> y = {1, 10, uint64_t{1} << 63, 2, UINT64_MAX, UINT64_MAX, 3};
  std::vector<int64_t> quotient, rest, least, both, either, one;
  for (size_t i = 0; i < x.size(); ++i) {
    quotient.push_back(static_cast<int64_t>(x[i] / y[i]));
    rest.push_back(static_cast<int64_t>(x[i] % y[i]));
    least.push_back(static_cast<int64_t>(std::min(x[i], y[i])));
    both.push_back(static_cast<int64_t>(x[i] & y[i]));
    either.push_back(static_cast<int64_t>(x[i] | y[i]));
    one.push_back(static_cast<int64_t>(x[i] ^ y[i]));
  }
  EXPECT_EQ(OfUint64(NodeOf("Div", "x y", "z"), x, y), quotient);
  EXPECT_EQ(OfUint64(NodeOf("Mod", "x y", "z"), x, y), rest);
  EXPECT_EQ(OfUint64(NodeOf("Min", "x y", "z"), x, y), least);
  EXPECT_EQ(OfUint64(NodeOf("BitwiseAnd", "x y", "z"), x, y), both);
  EXPECT_EQ(OfUint64(NodeOf("BitwiseOr", "x y", "z"), x, y), either);
  EXPECT_EQ(OfUint64(NodeOf("BitwiseXor", "x y", "z"), x, y), one);
}

TEST(Uint64, ShiftsFillWithZeros) {
  const std::vector<uint64_t> x = {UINT64_MAX, UINT64_MAX, uint64_t{1} << 63, 6, 9, UINT64_MAX};
  const std::vector<uint64_t> by = {0, 1, 63, 1, 64, UINT64_MAX};
  std::vector<int64_t> right, left;
  for (size_t i = 0; i < x.size(); ++i) {
    right.push_back(by[i] > 63 ? 0 : static_cast<int64_t>(x[i] >> by[i]));
    left.push_back(by[i] > 63 ? 0 : static_cast<int64_t>(x[i] << by[i]));
  }
  EXPECT_EQ(OfUint64(NodeOf("BitShift", "x y", "z", {TextAttr("direction", "RIGHT")}), x, by),
            right);
  EXPECT_EQ(OfUint64(NodeOf("BitShift", "x y", "z", {TextAttr("direction", "LEFT")}), x, by), left);
}

}  // namespace
}  // namespace rlx::onnx
