// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/passes/written.h"

namespace rlx::passes {
namespace {

struct HeadsWriter : Written {
  Value q = Input("q", {2, 3, 8}), k = Input("k", {2, 5, 4}), v = Input("v", {2, 5, 6});

  Value Split(Value rows, int64_t heads) {
    const Shape s = b.type(rows).shape;
    return b.Transpose(b.Reshape(rows, {s[0], s[1], heads, s[2].value() / heads}), {0, 2, 1, 3});
  }
  // Four heads of 2 over two of keys and values.
  Value Attend(Value q4, Value k4, Value v4) {
    return b.Emit(OpKind::kAttention, {q4, k4, v4, Input("bias", {2, 1, 3, 5})},
                  {{"num_heads", int64_t{4}},
                   {"num_kv_heads", int64_t{2}},
                   {"head_dim", int64_t{2}},
                   {"mask", std::string("bias")}});
  }
  Value Join(Value y) { return b.Reshape(b.Transpose(y, {0, 2, 1, 3}), {2, 3, 12}); }
};

TEST(JoinHeads, LeavesNoMovement) {
  HeadsWriter w;
  const Outcome outcome =
      w.Run(JoinHeads, w.Join(w.Attend(w.Split(w.q, 4), w.Split(w.k, 2), w.Split(w.v, 2))));
  EXPECT_EQ(outcome.graph.size(), 5) << outcome.text;
  EXPECT_EQ(outcome.remarks.size(), 1u);
}

// Keys that are an output as they are, for a cache.
TEST(JoinHeads, LeavesHeadsToOthers) {
  HeadsWriter w;
  const Value keys = w.Split(w.k, 2);
  w.b.Output("keys", keys);
  const Outcome outcome =
      w.Run(JoinHeads, w.Join(w.Attend(w.Split(w.q, 4), keys, w.Split(w.v, 2))));
  EXPECT_TRUE(outcome.changed);
  EXPECT_EQ(Count(outcome.graph, OpKind::kTranspose), 1) << outcome.text;
}

// Queries, keys and values split together, as vision transformers are exported.
TEST(JoinHeads, TakesPartsOfOneProduct) {
  for (const bool gathers : {true, false}) {
    HeadsWriter w;
    const Value joint = w.b.MatMul(w.Input("x", {2, 3, 7}), w.Param("w", {7, 24}));
    const Value parts = w.b.Transpose(w.b.Reshape(joint, {2, 3, 3, 4, 2}), {2, 0, 3, 1, 4});
    const auto part = [&](int64_t i) {
      if (!gathers) return w.b.Reshape(w.b.Narrow(parts, 0, i, 1), {2, 4, 3, 2});
      return w.b.Gather(parts, w.b.Constant(HostTensor::FromInts(DType::kI64, {}, {i})));
    };
    const Value y = w.b.Emit(OpKind::kAttention, {part(0), part(1), part(2)},
                             {{"num_heads", int64_t{4}}, {"head_dim", int64_t{2}}});
    const Outcome outcome =
        w.Run(JoinHeads, w.b.Reshape(w.b.Transpose(y, {0, 2, 1, 3}), {2, 3, 8}));
    EXPECT_EQ(Count(outcome.graph, OpKind::kNarrow), 3) << outcome.text;
    EXPECT_EQ(Count(outcome.graph, OpKind::kTranspose), 0);
    EXPECT_EQ(Count(outcome.graph, OpKind::kReshape), 0);
  }
}

// The run tells of it, in words about the gather.
TEST(JoinHeads, LeavesPartsThatAreNotThere) {
  for (const int64_t wrong : {-1, 3, 7}) {
    HeadsWriter w;
    const Value x = w.Input("x", {2, 3, 24});
    const Value parts = w.b.Transpose(w.b.Reshape(x, {2, 3, 3, 4, 2}), {2, 0, 3, 1, 4});
    const auto part = [&](int64_t i) {
      return w.b.Gather(parts, w.b.Constant(HostTensor::FromInts(DType::kI64, {}, {i})));
    };
    const Value y = w.b.Emit(OpKind::kAttention, {part(0), part(1), part(wrong)},
                             {{"num_heads", int64_t{4}}, {"head_dim", int64_t{2}}});
    w.b.Output("y", w.b.Reshape(w.b.Transpose(y, {0, 2, 1, 3}), {2, 3, 8}));
    ASSERT_TRUE(w.b.status().ok()) << w.b.status();
    const std::string before = Text(w.graph);
    PassContext context;
    const absl::Status status = JoinHeads(w.graph, context);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_FALSE(context.changed);
    EXPECT_EQ(Text(w.graph), before);
  }
}

TEST(JoinHeads, LeavesOtherMovement) {
  const auto expect_left = [](const std::function<Value(HeadsWriter&)>& write) {
    HeadsWriter w;
    EXPECT_FALSE(w.Run(JoinHeads, write(w)).changed);
  };
  expect_left([](auto& w) {  // not joined
    return w.Attend(w.Split(w.q, 4), w.Split(w.k, 2), w.Split(w.v, 2));
  });
  expect_left([](auto& w) {  // joined otherwise
    const Value y = w.Attend(w.Split(w.q, 4), w.Split(w.k, 2), w.Split(w.v, 2));
    return w.b.Reshape(w.b.Transpose(y, {0, 2, 1, 3}), {6, 12});
  });
  expect_left([](auto& w) {  // values that come in heads
    return w.Join(w.Attend(w.Split(w.q, 4), w.Split(w.k, 2), w.Input("v4", {2, 2, 5, 3})));
  });
  expect_left([](auto& w) {  // rows that were others
    const Value q = w.b.Reshape(w.Input("flat", {6, 8}), {2, 3, 4, 2});
    return w.Join(w.Attend(w.b.Transpose(q, {0, 2, 1, 3}), w.Split(w.k, 2), w.Split(w.v, 2)));
  });
}

}  // namespace
}  // namespace rlx::passes
