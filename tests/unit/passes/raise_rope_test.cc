// SPDX-License-Identifier: Apache-2.0
// Rotary embeddings as exporters write them out, and what only looks like one.
#include "tests/unit/passes/written.h"

namespace rlx::passes {
namespace {

using ::testing::HasSubstr;

// Two batches, three heads of 8, five places.
struct RopeWriter : Written {
  Value x = Input("x", {2, 3, 5, 8});

  Value Low() { return b.Narrow(x, 3, 0, 4); }
  Value High() { return b.Narrow(x, 3, 4, 4); }
  // The halves apart, as RotaryEmbedding is imported.
  Value Halves(Value cos, Value sin) {
    const Value low = Low(), high = High();
    return b.Concat(
        {b.Sub(b.Mul(low, cos), b.Mul(high, sin)), b.Add(b.Mul(low, sin), b.Mul(high, cos))}, 3);
  }
  // x·cos + rotate_half(x)·sin, as torch writes it.
  Value Whole(Value cos, Value sin) {
    const Value rotated = b.Concat({b.Unary(OpKind::kNeg, High()), Low()}, 3);
    return b.Add(b.Mul(x, cos), b.Mul(rotated, sin));
  }
  // cos and sin of angles for both halves, lifted to what x is like.
  std::pair<Value, Value> Angles(Value angles, Shape lifted) {
    const Value both = b.Concat({angles, angles}, b.type(angles).rank() - 1);
    return {b.Reshape(b.Unary(OpKind::kCos, both), lifted),
            b.Reshape(b.Unary(OpKind::kSin, both), lifted)};
  }
};

void ExpectRaised(const std::function<Value(RopeWriter&)>& write, size_t operands) {
  RopeWriter w;
  const Outcome outcome = w.Run(RaiseRope, write(w));
  ASSERT_EQ(Count(outcome.graph, OpKind::kRope), 1) << outcome.text;
  EXPECT_EQ(Count(outcome.graph, OpKind::kSub) + Count(outcome.graph, OpKind::kAdd), 0);
  const auto rope = std::ranges::find(outcome.graph.nodes(), OpKind::kRope, &Node::op);
  EXPECT_EQ(rope->operands.size(), operands);
  EXPECT_TRUE(outcome.Missed().empty());
}

TEST(RaiseRope, FindsHalves) {
  ExpectRaised([](auto& w) { return w.Halves(w.Param("c", {5, 4}), w.Param("s", {1, 1, 5, 4})); },
               3);
  // rows chosen by positions, for all batches and for each
  ExpectRaised(
      [](auto& w) {
        const Value at = w.b.Input("at", {DType::kI64, {5}});
        return w.Halves(w.b.Gather(w.Param("c", {9, 4}), at), w.b.Gather(w.Param("s", {9, 4}), at));
      },
      4);
  ExpectRaised(
      [](auto& w) {
        const Value at = w.b.Input("at", {DType::kI32, {2, 5}});
        const auto rows = [&](std::string_view name) {
          return w.b.Reshape(w.b.Gather(w.Param(name, {9, 4}), at), {2, 1, 5, 4});
        };
        return w.Halves(rows("c"), rows("s"));
      },
      4);
}

TEST(RaiseRope, FindsTheWhole) {
  ExpectRaised(
      [](auto& w) {
        const auto [cos, sin] = w.Angles(w.Input("f", {1, 5, 4}), {1, 1, 5, 8});
        return w.Whole(cos, sin);
      },
      3);
  // angles for each batch
  ExpectRaised(
      [](auto& w) {
        const auto [cos, sin] = w.Angles(w.Input("f", {2, 5, 4}), {2, 1, 5, 8});
        return w.Whole(w.b.Mul(cos, w.C(1.5)), w.b.Mul(sin, w.C(1.5)));
      },
      4);
}

TEST(RaiseRope, LeavesWhatIsAlmostOne) {
  const auto expect_left = [](const std::function<Value(RopeWriter&)>& write) {
    RopeWriter w;
    const Outcome outcome = w.Run(RaiseRope, write(w));
    EXPECT_FALSE(outcome.changed) << outcome.text;
    return outcome;
  };
  // tables whose halves may differ
  const Outcome unknown =
      expect_left([](auto& w) { return w.Whole(w.Param("c", {5, 8}), w.Param("s", {5, 8})); });
  ASSERT_EQ(unknown.Missed().size(), 1u);
  EXPECT_EQ(unknown.Missed()[0].reason, "rope_not_raised");
  EXPECT_THAT(unknown.Missed()[0].message, HasSubstr("halves may differ"));
  // a table for each head
  expect_left([](auto& w) { return w.Halves(w.Param("c", {3, 5, 4}), w.Param("s", {3, 5, 4})); });
  // the other way round
  expect_left([](auto& w) {
    const Value cos = w.Param("c", {5, 4}), sin = w.Param("s", {5, 4});
    const Value low = w.Low(), high = w.High();
    return w.b.Concat({w.b.Sub(w.b.Mul(high, sin), w.b.Mul(low, cos)),
                       w.b.Add(w.b.Mul(low, sin), w.b.Mul(high, cos))},
                      3);
  });
  // sin and cos exchanged on one side
  expect_left([](auto& w) {
    const Value cos = w.Param("c", {5, 4}), sin = w.Param("s", {5, 4});
    const Value low = w.Low(), high = w.High();
    return w.b.Concat({w.b.Sub(w.b.Mul(low, cos), w.b.Mul(high, sin)),
                       w.b.Add(w.b.Mul(low, cos), w.b.Mul(high, sin))},
                      3);
  });
  // a turn the other way
  expect_left([](auto& w) {
    const auto [cos, sin] = w.Angles(w.Input("f", {1, 5, 4}), {1, 1, 5, 8});
    const Value rotated = w.b.Concat({w.High(), w.b.Unary(OpKind::kNeg, w.Low())}, 3);
    return w.b.Add(w.b.Mul(w.x, cos), w.b.Mul(rotated, sin));
  });
  // not halves
  expect_left([](auto& w) {
    const auto [cos, sin] = w.Angles(w.Input("f", {1, 5, 4}), {1, 1, 5, 8});
    const Value rotated = w.b.Concat(
        {w.b.Unary(OpKind::kNeg, w.b.Narrow(w.x, 3, 2, 6)), w.b.Narrow(w.x, 3, 0, 2)}, 3);
    return w.b.Add(w.b.Mul(w.x, cos), w.b.Mul(rotated, sin));
  });
}

}  // namespace
}  // namespace rlx::passes
