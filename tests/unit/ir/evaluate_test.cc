// SPDX-License-Identifier: Apache-2.0
// Values that the definitions give, worked out by hand.
#include "runtime/ir/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/op_info.h"
#include "tests/support/graphs.h"

namespace rlx {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pointwise;

HostTensor F32(std::vector<int64_t> dims, std::vector<double> values) {
  return HostTensor::FromDoubles(DType::kF32, std::move(dims), values);
}
HostTensor I64(std::vector<int64_t> dims, std::vector<int64_t> values) {
  return HostTensor::FromInts(DType::kI64, std::move(dims), values);
}

// The results of one op over constants, or what is wrong with it.
absl::StatusOr<std::vector<EvalTensor>> Apply(
    OpKind op, const std::vector<HostTensor>& operands, std::vector<Attr> attrs = {},
    std::vector<std::shared_ptr<const Graph>> subgraphs = {}) {
  Graph graph;
  GraphBuilder b(graph);
  std::vector<Value> values;
  for (const HostTensor& operand : operands) values.push_back(b.Constant(operand));
  for (Value result : b.EmitAll(op, values, std::move(attrs), std::move(subgraphs)))
    b.Output(Cat("y", graph.outputs().size()), result);
  RLX_TRY(b.status());
  return Evaluate(graph, {});
}

EvalTensor One(OpKind op, const std::vector<HostTensor>& operands, std::vector<Attr> attrs = {}) {
  auto results = Apply(op, operands, std::move(attrs));
  EXPECT_TRUE(results.ok()) << Message(results.status());
  return results.ok() ? results->front() : EvalTensor{};
}

std::string Refusal(OpKind op, const std::vector<HostTensor>& operands,
                    std::vector<Attr> attrs = {}) {
  return std::string(Message(Apply(op, operands, std::move(attrs)).status()));
}

TEST(Evaluate, Activations) {
  const HostTensor x = F32({3}, {-1, 0, 2});
  EXPECT_THAT(One(OpKind::kGelu, {x}).f,
              Pointwise(DoubleNear(1e-12), {-0.15865525393145707, 0.0, 1.9544997361036416}));
  EXPECT_THAT(One(OpKind::kGeluTanh, {x}).f,
              Pointwise(DoubleNear(1e-12), {-0.15880800939172324, 0.0, 1.954597694087775}));
  EXPECT_THAT(One(OpKind::kSilu, {x}).f,
              Pointwise(DoubleNear(1e-12), {-0.2689414213699951, 0.0, 1.7615941559557649}));
  EXPECT_THAT(One(OpKind::kRelu, {x}).f, ElementsAre(0, 0, 2));
  EXPECT_THAT(One(OpKind::kErf, {x}).f,
              Pointwise(DoubleNear(1e-12), {-0.8427007929497149, 0.0, 0.9953222650189527}));
  EXPECT_THAT(One(OpKind::kRound, {F32({4}, {0.5, 1.5, -0.5, 2.4})}).f, ElementsAre(0, 2, 0, 2));
  // Far out the exact form keeps its digits: no 1 + erf that cancels.
  EXPECT_NEAR(One(OpKind::kGelu, {F32({1}, {-10})}).f[0] / -7.619853024160487e-23, 1, 1e-9);
}

TEST(Evaluate, CastsRoundTruncateSaturateAndWrap) {
  const HostTensor x = F32({5}, {2.9, -2.9, 300, -300, NAN});
  EXPECT_THAT(One(OpKind::kCast, {x}, {{"to", DType::kI8}}).i, ElementsAre(2, -2, 127, -128, 0));
  EXPECT_THAT(One(OpKind::kCast, {x}, {{"to", DType::kU8}}).i, ElementsAre(2, 0, 255, 0, 0));
  EXPECT_THAT(One(OpKind::kCast, {I64({2}, {300, -1})}, {{"to", DType::kU8}}).i,
              ElementsAre(44, 255));
  EXPECT_THAT(One(OpKind::kCast, {F32({2}, {0.25, 0})}, {{"to", DType::kBool}}).i,
              ElementsAre(1, 0));
  EXPECT_THAT(One(OpKind::kCast, {F32({1}, {1.001})}, {{"to", DType::kBF16}}).f, ElementsAre(1));
  EXPECT_THAT(One(OpKind::kCast, {F32({1}, {3})}, {{"to", DType::kC64}}).f, ElementsAre(3, 0));
  EXPECT_THAT(Refusal(OpKind::kCast, {HostTensor::FromDoubles(DType::kC64, {1}, {1, 2})},
                      {{"to", DType::kF32}}),
              HasSubstr("c64 does not convert to f32"));
}

TEST(Evaluate, BinaryOpsBroadcastBothWays) {
  const EvalTensor sum = One(OpKind::kAdd, {F32({2, 1}, {10, 20}), F32({3}, {1, 2, 3})});
  EXPECT_THAT(sum.dims, ElementsAre(2, 3));
  EXPECT_THAT(sum.f, ElementsAre(11, 12, 13, 21, 22, 23));
  EXPECT_THAT(One(OpKind::kSub, {F32({}, {1}), F32({2}, {3, 4})}).f, ElementsAre(-2, -3));
  // One of five dims in the middle is 1 on either side.
  const EvalTensor five =
      One(OpKind::kMul, {F32({1, 2, 1, 2, 1}, {1, 2, 3, 4}), F32({2, 1, 1, 1, 2}, {1, 10, 2, 20})});
  EXPECT_THAT(five.dims, ElementsAre(2, 2, 1, 2, 2));
  EXPECT_THAT(five.f, ElementsAre(1, 10, 2, 20, 3, 30, 4, 40, 2, 20, 4, 40, 6, 60, 8, 80));
}

TEST(Evaluate, IntegersWrapAndTruncate) {
  const auto i8 = [](std::vector<int64_t> v) { return HostTensor::FromInts(DType::kI8, {1}, v); };
  EXPECT_THAT(One(OpKind::kAdd, {i8({127}), i8({1})}).i, ElementsAre(-128));
  EXPECT_THAT(One(OpKind::kNeg, {i8({-128})}).i, ElementsAre(-128));
  EXPECT_THAT(One(OpKind::kMul, {I64({1}, {INT64_MAX}), I64({1}, {2})}).i, ElementsAre(-2));
  EXPECT_THAT(One(OpKind::kDiv, {I64({4}, {7, -7, 5, INT64_MIN}), I64({4}, {2, 2, 0, -1})}).i,
              ElementsAre(3, -3, 0, INT64_MIN));
  EXPECT_THAT(One(OpKind::kPow, {I64({4}, {3, -2, 2, -1}), I64({4}, {4, 3, -1, -3})}).i,
              ElementsAre(81, -8, 0, -1));
}

TEST(Evaluate, ComparisonsLogicAndChoice) {
  const HostTensor a = F32({4}, {1, 2, 3, NAN}), b = F32({4}, {2, 2, 2, NAN});
  EXPECT_THAT(One(OpKind::kLt, {a, b}).i, ElementsAre(1, 0, 0, 0));
  EXPECT_THAT(One(OpKind::kGe, {a, b}).i, ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(One(OpKind::kNe, {a, b}).i, ElementsAre(1, 0, 1, 1));
  const HostTensor bits = HostTensor::FromInts(DType::kBool, {2}, {1, 0});
  EXPECT_THAT(One(OpKind::kLogicalNot, {bits}).i, ElementsAre(0, 1));
  EXPECT_THAT(One(OpKind::kLogicalOr, {bits, bits}).i, ElementsAre(1, 0));
  const EvalTensor chosen = One(OpKind::kWhere, {HostTensor::FromInts(DType::kBool, {2, 1}, {1, 0}),
                                                 F32({}, {9}), F32({2}, {1, 2})});
  EXPECT_THAT(chosen.dims, ElementsAre(2, 2));
  EXPECT_THAT(chosen.f, ElementsAre(9, 9, 1, 2));
  EXPECT_TRUE(std::isnan(One(OpKind::kMax, {F32({1}, {1}), F32({1}, {NAN})}).f[0]));
}

TEST(Evaluate, ComplexWhereItIsCheapAndNowhereElse) {
  const HostTensor z = HostTensor::FromDoubles(DType::kC64, {2}, {1, 2, 3, -1});
  EXPECT_THAT(One(OpKind::kMul, {z, z}).f, ElementsAre(-3, 4, 8, -6));
  EXPECT_THAT(One(OpKind::kNeg, {z}).f, ElementsAre(-1, -2, -3, 1));
  EXPECT_THAT(One(OpKind::kEq, {z, z}).i, ElementsAre(1, 1));
  EXPECT_THAT(One(OpKind::kConcat, {z, z}, {{"axis", 0}}).f, ElementsAre(1, 2, 3, -1, 1, 2, 3, -1));
  EXPECT_THAT(One(OpKind::kGather, {z, I64({1}, {1})}, {{"axis", 0}}).f, ElementsAre(3, -1));
  EXPECT_THAT(Refusal(OpKind::kMax, {z, z}), HasSubstr("operand 0 is c64"));
  EXPECT_THAT(Refusal(OpKind::kLt, {z, z}), HasSubstr("operand 0 is c64"));
  EXPECT_THAT(Refusal(OpKind::kTanh, {z}), HasSubstr("operand 0 is c64"));
  EXPECT_THAT(Refusal(OpKind::kReduceSum, {z}, {{"axes", std::vector<int64_t>{}}}),
              HasSubstr("operand 0 is c64"));
}

TEST(Evaluate, Movement) {
  const HostTensor x = F32({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(One(OpKind::kTranspose, {x}, {{"perm", std::vector<int64_t>{-1, 0}}}).f,
              ElementsAre(1, 4, 2, 5, 3, 6));
  EXPECT_THAT(One(OpKind::kNarrow, {x}, {{"axis", -1}, {"start", 1}, {"length", 2}}).f,
              ElementsAre(2, 3, 5, 6));
  EXPECT_THAT(One(OpKind::kConcat, {x, F32({2, 1}, {7, 8})}, {{"axis", 1}}).f,
              ElementsAre(1, 2, 3, 7, 4, 5, 6, 8));
  EXPECT_THAT(One(OpKind::kReshape, {x}, {{"shape", Shape{3, -1}}}).dims, ElementsAre(3, 2));
  EXPECT_THAT(One(OpKind::kExpand, {F32({2, 1}, {1, 2})}, {{"shape", Shape{2, -1, 2}}}).dims,
              ElementsAre(2, 2, 2));
  // Dims before the axis stay in front.
  const EvalTensor picked = One(OpKind::kGather, {x, I64({2, 1}, {2, 0})}, {{"axis", 1}});
  EXPECT_THAT(picked.dims, ElementsAre(2, 2, 1));
  EXPECT_THAT(picked.f, ElementsAre(3, 1, 6, 4));
}

TEST(Evaluate, MovementChecksItsBounds) {
  const HostTensor x = F32({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(Refusal(OpKind::kNarrow, {x}, {{"axis", 1}, {"start", 2}, {"length", 2}}),
              HasSubstr("elements 2 to 4 exceed extent 3"));
  EXPECT_THAT(Refusal(OpKind::kNarrow, {x}, {{"axis", 1}, {"start", INT64_MAX}, {"length", 2}}),
              HasSubstr("exceed extent 3"));
  EXPECT_THAT(Refusal(OpKind::kReshape, {x}, {{"shape", Shape{4, -1}}}), HasSubstr("6 elements"));
  EXPECT_THAT(Refusal(OpKind::kReshape, {x}, {{"shape", Shape{0, -1}}}), HasSubstr("extent 0"));
  EXPECT_THAT(Refusal(OpKind::kReshape, {x}, {{"shape", Shape{-1, -1}}}),
              HasSubstr("more than one -1"));
  EXPECT_THAT(Refusal(OpKind::kReshape, {x}, {{"shape", Shape{7}}}), HasSubstr("holds 7"));
  EXPECT_THAT(Refusal(OpKind::kTranspose, {x}, {{"perm", std::vector<int64_t>{0, 0}}}),
              HasSubstr("axis 0 twice"));
  EXPECT_THAT(Refusal(OpKind::kConcat, {x, F32({3, 3}, std::vector<double>(9))}, {{"axis", 1}}),
              HasSubstr("differs from f32[2,3] beside axis 1"));
  EXPECT_THAT(Refusal(OpKind::kExpand, {x}, {{"shape", Shape{3, 3}}}),
              HasSubstr("does not broadcast"));
  EXPECT_THAT(Refusal(OpKind::kGather, {x, F32({1}, {0})}), HasSubstr("integer is needed"));
  EXPECT_THAT(Refusal(OpKind::kGather, {x, I64({1}, {2})}),
              HasSubstr("%2 gather: index 2 is outside extent 2"));
  EXPECT_THAT(Refusal(OpKind::kGather, {x, I64({1}, {-1})}), HasSubstr("index -1"));
}

TEST(Evaluate, ReductionsOverAnyAxes) {
  const HostTensor x = F32({2, 3}, {1, 2, 3, 4, 5, 7});
  const auto reduce = [&](OpKind op, std::vector<int64_t> axes, bool keep) {
    return One(op, {x}, {{"axes", std::move(axes)}, {"keep_dims", keep}});
  };
  EXPECT_THAT(reduce(OpKind::kReduceSum, {0}, false).f, ElementsAre(5, 7, 10));
  EXPECT_THAT(reduce(OpKind::kReduceMean, {-1}, true).dims, ElementsAre(2, 1));
  EXPECT_THAT(reduce(OpKind::kReduceMax, {0, 1}, false).f, ElementsAre(7));
  EXPECT_THAT(reduce(OpKind::kReduceMin, {}, false).f, ElementsAre(1));
  EXPECT_THAT(reduce(OpKind::kReduceProd, {1}, false).f, ElementsAre(6, 140));
  EXPECT_THAT(Refusal(OpKind::kReduceSum, {x}, {{"axes", std::vector<int64_t>{1, -1}}}),
              HasSubstr("axis 1 twice"));
  EXPECT_THAT(One(OpKind::kReduceMax, {I64({2}, {-5, -3})}, {{"axes", std::vector<int64_t>{0}}}).i,
              ElementsAre(-3));
}

TEST(Evaluate, CumsumAndTopK) {
  const HostTensor x = F32({2, 3}, {1, 2, 3, 4, 4, 9});
  EXPECT_THAT(One(OpKind::kCumsum, {x}, {{"axis", 1}}).f, ElementsAre(1, 3, 6, 4, 8, 17));
  EXPECT_THAT(One(OpKind::kCumsum, {x}, {{"axis", 0}, {"exclusive", true}}).f,
              ElementsAre(0, 0, 0, 1, 2, 3));
  const auto top = Apply(OpKind::kTopK, {F32({2, 3}, {1, 5, 5, NAN, 2, 8})}, {{"k", 2}});
  ASSERT_TRUE(top.ok());
  EXPECT_THAT((*top)[1].i, ElementsAre(1, 2, 0, 2));
  const auto first = Apply(OpKind::kTopK, {x}, {{"k", 1}, {"axis", 0}});
  EXPECT_THAT((*first)[0].f, ElementsAre(4, 4, 9));
  EXPECT_THAT((*first)[1].i, ElementsAre(1, 1, 1));
  EXPECT_THAT(Refusal(OpKind::kTopK, {x}, {{"k", 4}}), HasSubstr("k is 4 of extent 3"));
}

TEST(Evaluate, IfRunsOneBranch) {
  // The branch not taken would gather out of range.
  const Graph graph = test::ParseGraph(R"(mir "m" {
    %0 = input "p" : bool[]
    %1 = input "x" : f32[2]
    %2 = input "at" : i64[1]
    %3 = if(%0, %1, %2) graph "" {
      %0 = input "" : f32[2]
      %1 = input "" : i64[1]
      %2 = gather(%0, %1)
      output "" = %2
    } graph "" {
      %0 = input "" : f32[2]
      %1 = input "" : i64[1]
      %2 = narrow(%0) {axis = 0, start = 0, length = 1}
      output "" = %2
    }
    output "y" = %3
  })");
  const auto run = [&](int64_t p, int64_t at) {
    return Evaluate(graph, {{"p", HostTensor::FromInts(DType::kBool, {}, {p})},
                            {"x", F32({2}, {3, 4})},
                            {"at", I64({1}, {at})}});
  };
  EXPECT_THAT(run(1, 1)->front().f, ElementsAre(4));
  EXPECT_THAT(run(0, 7)->front().f, ElementsAre(3));
  EXPECT_THAT(Message(run(1, 7).status()), HasSubstr("%3 if: %2 gather: index 7"));
}

TEST(Evaluate, RefusesInputsThatAreMissingOrOfAnotherType) {
  const Graph graph = test::ParseGraph(R"(mir "m" { %0 = input "x" : f32[2] output "y" = %0 })");
  EXPECT_THAT(Message(Evaluate(graph, {}).status()), HasSubstr("%0 input \"x\" has no value"));
  EXPECT_THAT(Message(Evaluate(graph, {{"x", F32({3}, {1, 2, 3})}}).status()),
              HasSubstr("is f32[2], got f32[3]"));
}

TEST(EvalTensor, ToHostRounds) {
  EvalTensor tensor = EvalTensor::Zeros(DType::kBF16, {1});
  tensor.f[0] = 1.001;
  EXPECT_THAT(tensor.ToHost().ToDoubles(), ElementsAre(1));
  EXPECT_EQ(EvalTensor::Zeros(DType::kC64, {3}).f.size(), 6u);
}

}  // namespace
}  // namespace rlx
