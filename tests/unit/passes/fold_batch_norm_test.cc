// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/passes/written.h"

namespace rlx::passes {
namespace {

using Ints = std::vector<int64_t>;

struct ConvWriter : Written {
  Value x = Input("x", {2, 4, 5, 5});

  Value Conv(bool bias, int64_t groups = 1) {
    std::vector<Value> operands = {x, Param("w", {6, 4 / groups, 3, 3})};
    if (bias) operands.push_back(Param("bias", {6}));
    return b.Emit(OpKind::kConv, operands,
                  {{"strides", Ints{1, 1}},
                   {"pads", Ints{1, 1, 1, 1}},
                   {"dilations", Ints{1, 1}},
                   {"groups", groups}});
  }
  // The variance is what a param is, squared: random ones may be negative.
  Value BatchNorm(Value y) {
    const Dim channels = b.type(y).shape[1];
    const Value root = Param("root", {channels});
    return b.Emit(OpKind::kBatchNorm,
                  {y, Param("scale", {channels}), Param("shift", {channels}),
                   Param("mean", {channels}), b.Mul(root, root)},
                  {{"eps", 0.125}});
  }
};

// Whether what is left runs the product alone: nothing that reads it but `after`.
void ExpectFolded(const Outcome& outcome, OpKind product, OpKind last) {
  EXPECT_EQ(Count(outcome.graph, OpKind::kBatchNorm), 0) << outcome.text;
  EXPECT_EQ(Count(outcome.graph, product), 1);
  EXPECT_EQ(outcome.graph.node(outcome.graph.outputs()[0].value.node).op, last) << outcome.text;
  EXPECT_TRUE(outcome.Missed().empty());
}

TEST(FoldBatchNorm, GoesIntoAConvolution) {
  for (const bool bias : {false, true}) {
    for (const int64_t groups : {1, 2}) {
      ConvWriter w;
      const Outcome outcome = w.Run(FoldBatchNorm, w.BatchNorm(w.Conv(bias, groups)));
      ExpectFolded(outcome, OpKind::kConv, OpKind::kConv);
    }
  }
}

// As it is taken apart for targets without it, and as exporters write a scale by channel.
TEST(FoldBatchNorm, GoesIntoAConvolutionWrittenOut) {
  for (const bool bias : {false, true}) {
    ConvWriter w;
    Value y = w.b.Mul(w.Param("s", {1, 6, 1, 1}), w.Conv(bias));
    y = w.b.Add(y, w.Param("t", {6, 1, 1}));
    y = w.b.Sub(y, w.Param("u", {6, 1, 1}));
    y = w.b.Div(y, w.b.Add(w.b.Unary(OpKind::kAbs, w.Param("d", {6, 1, 1})), w.C(1)));
    ExpectFolded(w.Run(FoldBatchNorm, y), OpKind::kConv, OpKind::kConv);
  }
}

TEST(FoldBatchNorm, GoesIntoAProduct) {
  Written w;
  const Value product = w.b.MatMul(w.Input("x", {2, 3, 4}), w.Param("w", {4, 5}));
  const Value y = w.b.Mul(w.b.Add(product, w.Param("b", {5})), w.Param("s", {1, 1, 5}));
  ExpectFolded(w.Run(FoldBatchNorm, w.b.Add(y, w.Param("t", {5}))), OpKind::kMatMul, OpKind::kAdd);

  ConvWriter rows;
  const Value linear = rows.b.MatMul(rows.Input("rows", {3, 4}), rows.Param("m", {4, 5}));
  ExpectFolded(rows.Run(FoldBatchNorm, rows.BatchNorm(linear)), OpKind::kMatMul, OpKind::kAdd);
}

TEST(FoldBatchNorm, StopsAtOtherReaders) {
  ConvWriter w;
  const Value y = w.b.Add(w.b.Mul(w.Conv(false), w.Param("s", {6, 1, 1})), w.Param("t", {6, 1, 1}));
  w.b.Output("t", w.b.Unary(OpKind::kRelu, y));
  const Outcome outcome = w.Run(FoldBatchNorm, w.b.Mul(y, w.Param("u", {6, 1, 1})));
  EXPECT_TRUE(outcome.changed);
  EXPECT_EQ(Count(outcome.graph, OpKind::kConv), 1);
  EXPECT_EQ(outcome.graph.node(outcome.graph.outputs()[1].value.node).op, OpKind::kMul);
}

TEST(FoldBatchNorm, LeavesOthers) {
  const auto expect_left = [](const std::function<Value(ConvWriter&)>& write) {
    ConvWriter w;
    EXPECT_FALSE(w.Run(FoldBatchNorm, write(w)).changed);
  };
  // by what is no weight
  expect_left([](auto& w) { return w.b.Mul(w.Conv(true), w.Input("s", {6, 1, 1})); });
  // by the column instead of the channel, and by a number for each place
  expect_left([](auto& w) { return w.b.Mul(w.Conv(true), w.Param("s", {5})); });
  expect_left([](auto& w) { return w.b.Mul(w.Conv(true), w.Param("s", {6, 5, 5})); });
  // for each image
  expect_left([](auto& w) { return w.b.Mul(w.Conv(true), w.Param("s", {2, 6, 1, 1})); });
  // a sum alone after a product, which is its bias
  expect_left([](auto& w) {
    return w.b.Add(w.b.MatMul(w.Input("r", {3, 4}), w.Param("m", {4, 5})), w.Param("b", {5}));
  });
  // what divides it, and what it is taken from
  expect_left([](auto& w) { return w.b.Div(w.Param("s", {6, 1, 1}), w.Conv(true)); });
  expect_left([](auto& w) { return w.b.Sub(w.Param("s", {6, 1, 1}), w.Conv(true)); });
  // an activation between
  expect_left([](auto& w) { return w.BatchNorm(w.b.Unary(OpKind::kRelu, w.Conv(true))); });
}

TEST(FoldBatchNorm, LeavesAWeightThatOthersRead) {
  Written w;
  const Value x = w.Input("x", {3, 4}), weight = w.Param("w", {4, 5});
  w.b.Output("other", w.b.MatMul(w.Input("z", {3, 4}), weight));
  const Outcome outcome = w.Run(FoldBatchNorm, w.b.Mul(w.b.MatMul(x, weight), w.Param("s", {5})));
  EXPECT_FALSE(outcome.changed);
  ASSERT_EQ(outcome.Missed().size(), 1u);
  EXPECT_EQ(outcome.Missed()[0].reason, "weight_shared");
}

}  // namespace
}  // namespace rlx::passes
