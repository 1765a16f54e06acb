// SPDX-License-Identifier: Apache-2.0
// Attention and rope against loops written from their definition.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/verify.h"
#include "tests/unit/ir/op_testing.h"

namespace rlx {
namespace {

using Ints = std::vector<int64_t>;
using Doubles = std::vector<double>;
using testing::Each;
using testing::HasSubstr;

constexpr double kMasked = -INFINITY;

// [B,H,S,D] at its indices.
double At(const HostTensor& t, int64_t b, int64_t h, int64_t s, int64_t d) {
  const Ints& n = t.dims();
  return t.ToDoubles()[((b * n[1] + h) * n[2] + s) * n[3] + d];
}

// One head: softmax over j of score(i, j), times v. `score` gives kMasked for keys that do not
// count.
template <class Score>
Doubles Expect(const HostTensor& q, const HostTensor& v, Score&& score) {
  const int64_t batch = q.dims()[0], heads = q.dims()[1], rows = q.dims()[2];
  const int64_t keys = v.dims()[2], width = v.dims()[3], group = heads / v.dims()[1];
  Doubles out;
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t i = 0; i < rows; ++i) {
        double total = 0;
        Doubles row(width, 0.0);
        for (int64_t j = 0; j < keys; ++j) {
          const double weight = std::exp(score(b, h, i, j));  // small scores: no shift needed
          total += weight;
          for (int64_t d = 0; d < width; ++d) row[d] += weight * At(v, b, h / group, j, d);
        }
        for (double& x : row) out.push_back(total > 0 ? x / total : 0);
      }
    }
  }
  return out;
}

void ExpectNear(const absl::StatusOr<std::vector<EvalTensor>>& got, const Doubles& want) {
  ASSERT_TRUE(got.ok()) << Message(got.status());
  ASSERT_EQ((*got)[0].f.size(), want.size());
  for (size_t k = 0; k < want.size(); ++k) ASSERT_NEAR((*got)[0].f[k], want[k], 1e-10) << k;
}

// Two batches, four query heads on two key heads, 3 queries, 5 keys.
struct Fixture {
  Rng rng{11};
  HostTensor q = RandomF64(rng, {2, 4, 3, 6}), k = RandomF64(rng, {2, 2, 5, 6});
  HostTensor v = RandomF64(rng, {2, 2, 5, 7});
  std::vector<Attr> attrs = {
      {"num_heads", int64_t{4}}, {"num_kv_heads", int64_t{2}}, {"head_dim", int64_t{6}}};

  double Dot(int64_t b, int64_t h, int64_t i, int64_t j) const {
    double sum = 0;
    for (int64_t d = 0; d < 6; ++d) sum += At(q, b, h, i, d) * At(k, b, h / 2, j, d);
    return sum;
  }
  absl::StatusOr<std::vector<EvalTensor>> Run(std::vector<Attr> more,
                                              std::vector<HostTensor> mask = {}) const {
    OpCase op_case{OpKind::kAttention, {q, k, v}, attrs};
    for (Attr& attr : more) op_case.attrs.push_back(std::move(attr));
    for (HostTensor& tensor : mask) op_case.operands.push_back(std::move(tensor));
    return EvalOp(op_case);
  }
};
const double kScale = 1 / std::sqrt(6.0);

TEST(Attention, SharesKeyHeadsAmongQueryHeads) {
  const Fixture f;
  ExpectNear(f.Run({}), Expect(f.q, f.v, [&](int64_t b, int64_t h, int64_t i, int64_t j) {
               return f.Dot(b, h, i, j) * kScale;
             }));
}

TEST(Attention, AlignsCausalityWithTheLastKey) {
  const Fixture f;
  ExpectNear(f.Run({{"mask", std::string("causal")}}),
             Expect(f.q, f.v, [&](int64_t b, int64_t h, int64_t i, int64_t j) {
               return j <= i + 2 ? f.Dot(b, h, i, j) * kScale : kMasked;
             }));
}

TEST(Attention, SlidingWindowSeesTheWindowAndItself) {
  const Fixture f;
  ExpectNear(f.Run({{"mask", std::string("sliding_window")}, {"window", int64_t{1}}}),
             Expect(f.q, f.v, [&](int64_t b, int64_t h, int64_t i, int64_t j) {
               const bool sees = i + 2 - 1 <= j && j <= i + 2;
               return sees ? f.Dot(b, h, i, j) * kScale : kMasked;
             }));
}

TEST(Attention, ScalesThenCapsThenMasks) {
  const Fixture f;
  ExpectNear(f.Run({{"mask", std::string("causal")}, {"scale", 0.7}, {"softcap", 1.5}}),
             Expect(f.q, f.v, [&](int64_t b, int64_t h, int64_t i, int64_t j) {
               return j <= i + 2 ? 1.5 * std::tanh(f.Dot(b, h, i, j) * 0.7 / 1.5) : kMasked;
             }));
}

TEST(Attention, KeepMaskOfRankTwoIsPerBatchAndKey) {
  const Fixture f;
  const Ints keep = {1, 0, 1, 1, 0, 0, 0, 1, 0, 0};
  ExpectNear(
      f.Run({{"mask", std::string("keep")}}, {HostTensor::FromInts(DType::kBool, {2, 5}, keep)}),
      Expect(f.q, f.v, [&](int64_t b, int64_t h, int64_t i, int64_t j) {
        return keep[b * 5 + j] ? f.Dot(b, h, i, j) * kScale : kMasked;
      }));
}

TEST(Attention, AddsABias) {
  Fixture f;
  const HostTensor bias = RandomF64(f.rng, {1, 4, 3, 5});
  ExpectNear(f.Run({{"mask", std::string("bias")}}, {bias}),
             Expect(f.q, f.v, [&](int64_t b, int64_t h, int64_t i, int64_t j) {
               return f.Dot(b, h, i, j) * kScale + At(bias, 0, h, i, j);
             }));
}

TEST(Attention, FullyMaskedRowsAreZero) {
  const Fixture f;
  const auto keep = f.Run({{"mask", std::string("keep")}},
                          {HostTensor::FromInts(DType::kBool, {2, 5}, Ints(10, 0))});
  const auto bias = f.Run({{"mask", std::string("bias")}},
                          {HostTensor::FromDoubles(DType::kF64, {1, 5}, Doubles(5, kMasked))});
  ASSERT_TRUE(keep.ok() && bias.ok());
  EXPECT_THAT((*keep)[0].f, Each(0.0));
  EXPECT_THAT((*bias)[0].f, Each(0.0));
  OpCase masked{OpKind::kAttention, {f.q, f.k, f.v}, f.attrs};
  masked.attrs.push_back({"mask", std::string("bias")});
  masked.operands.push_back(HostTensor::FromDoubles(DType::kF64, {1, 5}, Doubles(5, kMasked)));
  const auto parts = EvalParts(masked);
  ASSERT_TRUE(parts.ok()) << Message(parts.status());
  EXPECT_THAT((*parts)[0].f, Each(0.0));
}

// More queries than keys: the first queries see nothing.
TEST(Attention, CausalRowsBeforeTheFirstKeyAreZero) {
  const HostTensor one = HostTensor::FromDoubles(DType::kF64, {1, 1, 3, 1}, {1, 1, 1});
  const HostTensor v = HostTensor::FromDoubles(DType::kF64, {1, 1, 2, 1}, {4, 6});
  const HostTensor k = HostTensor::FromDoubles(DType::kF64, {1, 1, 2, 1}, {0, 0});
  const OpCase op_case{
      OpKind::kAttention,
      {one, k, v},
      {{"num_heads", int64_t{1}}, {"head_dim", int64_t{1}}, {"mask", std::string("causal")}}};
  ExpectNear(EvalOp(op_case), {0, 4, 5});
  ExpectNear(EvalParts(op_case), {0, 4, 5});
}

// [B,S,H·D] holds the same numbers as [B,H,S,D], in another order.
TEST(Attention, RankDecidesTheLayout) {
  const Fixture f;
  auto interleave = [](const HostTensor& t) {
    const Ints& n = t.dims();
    Doubles out;
    for (int64_t b = 0; b < n[0]; ++b) {
      for (int64_t s = 0; s < n[2]; ++s) {
        for (int64_t h = 0; h < n[1]; ++h) {
          for (int64_t d = 0; d < n[3]; ++d) out.push_back(At(t, b, h, s, d));
        }
      }
    }
    return HostTensor::FromDoubles(DType::kF64, {n[0], n[2], n[1] * n[3]}, out);
  };
  const auto rank4 = f.Run({});
  const auto rank3 =
      EvalOp({OpKind::kAttention, {interleave(f.q), interleave(f.k), interleave(f.v)}, f.attrs});
  ASSERT_TRUE(rank3.ok() && rank4.ok());
  EXPECT_EQ((*rank3)[0].dims, (Ints{2, 3, 28}));
  EXPECT_EQ(interleave((*rank4)[0].ToHost()).ToDoubles(), (*rank3)[0].f);
}

TEST(Attention, InfersSymbolicLengths) {
  const Dim b = Dim::Symbol("batch"), s = Dim::Symbol("seq"), p = Dim::Symbol("past_seq");
  const auto types =
      InferOp(OpKind::kAttention, {F32({b, s, 32}), F32({b, p + s, 16}), F32({b, p + s, 8})},
              {{"num_heads", int64_t{4}}, {"num_kv_heads", int64_t{2}}, {"head_dim", int64_t{8}}});
  ASSERT_TRUE(types.ok()) << Message(types.status());
  EXPECT_EQ((*types)[0], F32({b, s, 16}));
}

// A decode step over a cache of symbolic length, taken apart while the lengths are unknown.
TEST(Attention, SymbolicPartsBindLater) {
  const Dim n = Dim::Symbol(kBatch), s = Dim::Symbol(kSeq), past = Dim::Symbol(kPastSeq);
  const DimBinding binding = {
      {std::string(kBatch), 2}, {std::string(kSeq), 3}, {std::string(kPastSeq), 2}};
  auto f64 = [](Shape shape) { return TensorType{DType::kF64, std::move(shape)}; };
  for (const char* mask : {"none", "causal", "sliding_window", "keep", "bias"}) {
    SCOPED_TRACE(mask);
    Fixture f;
    Graph graph;
    GraphBuilder b(graph);
    std::vector<Value> operands = {b.Input("q", f64({n, 4, s, 6})),
                                   b.Input("k", f64({n, 2, past + s, 6})),
                                   b.Input("v", f64({n, 2, past + s, 7}))};
    TensorMap inputs = {{"q", f.q}, {"k", f.k}, {"v", f.v}};
    std::vector<Attr> more = {{"mask", std::string(mask)}};
    std::vector<HostTensor> masks;
    if (mask == std::string("sliding_window")) more.push_back({"window", int64_t{2}});
    if (mask == std::string("keep")) {
      operands.push_back(b.Input("mask", {DType::kBool, {n, past + s}}));
      masks = {HostTensor::FromInts(DType::kBool, {2, 5}, {1, 0, 1, 1, 0, 1, 1, 1, 0, 0})};
    }
    if (mask == std::string("bias")) {
      operands.push_back(b.Input("mask", f64({1, 4, s, past + s})));
      masks = {RandomF64(f.rng, {1, 4, 3, 5})};
    }
    if (!masks.empty()) inputs["mask"] = masks[0];
    std::vector<Attr> attrs = f.attrs;
    attrs.insert(attrs.end(), more.begin(), more.end());
    const Value whole = b.Emit(OpKind::kAttention, operands, attrs);
    ASSERT_TRUE(b.status().ok()) << Message(b.status());
    const Node node = graph.node(whole.node);
    const auto parts = Info(OpKind::kAttention).decompose(b, node);
    ASSERT_TRUE(parts.ok()) << Message(parts.status());
    b.Output("out", (*parts)[0]);
    const auto bound = BindSymbols(graph, binding);
    ASSERT_TRUE(bound.ok()) << Message(bound.status());
    const auto got = Evaluate(*bound, inputs), want = f.Run(more, masks);
    ASSERT_TRUE(got.ok() && want.ok());
    EXPECT_LT(MaxDifference((*got)[0], (*want)[0]), 1e-12);
  }
}

TEST(Attention, SaysWhatIsWrong) {
  auto why = [](std::vector<TensorType> operands, std::vector<Attr> more) {
    std::vector<Attr> attrs = {{"num_heads", int64_t{4}}, {"head_dim", int64_t{8}}};
    for (Attr& attr : more) attrs.push_back(std::move(attr));
    return WhyNot(OpKind::kAttention, std::move(operands), std::move(attrs));
  };
  const TensorType x = F32({2, 5, 32});
  const auto mask = [](std::string name) { return Attr{"mask", std::move(name)}; };
  EXPECT_EQ(why({x, x, x}, {}), "");
  EXPECT_THAT(why({F32({2, 5, 24}), x, x}, {}),
              HasSubstr("q is f32[2,5,24] where 4 heads of 8 are needed"));
  EXPECT_THAT(why({x, x, x}, {{"num_kv_heads", int64_t{3}}}),
              HasSubstr("num_heads 4 is not a multiple of num_kv_heads 3"));
  EXPECT_THAT(why({x, x, x}, {mask("keep")}), HasSubstr("3 operands where 4 are needed"));
  EXPECT_THAT(why({x, x, x}, {mask("sliding_window")}), HasSubstr("needs a window"));
  EXPECT_THAT(why({x, x, x}, {{"window", int64_t{3}}}), HasSubstr("window is given"));
  EXPECT_THAT(why({x, x, x}, {{"softcap", -1.0}}), HasSubstr("softcap is -1"));
  EXPECT_THAT(why({x, x, x, F32({2, 5})}, {mask("keep")}),
              HasSubstr("the keep mask is f32 where bool is needed"));
  EXPECT_THAT(why({x, x, x, {DType::kBool, {3, 5}}}, {mask("keep")}),
              HasSubstr("mask is bool[3,5], which does not broadcast to [2,4,5,5]"));
  EXPECT_THAT(why({x, F32({2, 4, 5, 8}), x}, {}), HasSubstr("k has rank 4 where q has 3"));
  EXPECT_THAT(why({x, F32({2, 6, 32}), x}, {}), HasSubstr("length of v and k differs (5 vs 6)"));
}

TEST(Rope, RotatesHalvesAndCopiesTheRest) {
  // One head of 5 of which 4 rotate, three positions; row 2 turns by 90 degrees.
  const HostTensor x = HostTensor::FromDoubles(DType::kF64, {1, 1, 1, 5}, {1, 2, 3, 4, 5});
  const HostTensor cos = HostTensor::FromDoubles(DType::kF64, {3, 2}, {1, 1, 1, 1, 0, 1});
  const HostTensor sin = HostTensor::FromDoubles(DType::kF64, {3, 2}, {0, 0, 0, 0, 1, 0});
  const HostTensor position = HostTensor::FromInts(DType::kI64, {1}, {2});
  const std::vector<Attr> attrs = {{"head_dim", int64_t{5}}, {"n_rot", int64_t{4}}};
  ExpectNear(EvalOp({OpKind::kRope, {x, cos, sin}, attrs}), {1, 2, 3, 4, 5});
  ExpectNear(EvalOp({OpKind::kRope, {x, cos, sin, position}, attrs}), {-3, 2, 1, 4, 5});
}

// Rotation by position p, then the dot product of two rows, depends on the distance alone.
TEST(Rope, DotProductsDependOnDistance) {
  Rng rng(23);
  const int64_t rows = 12, half = 3;
  Doubles cos, sin;
  for (int64_t p = 0; p < rows; ++p) {
    for (int64_t i = 0; i < half; ++i) {
      cos.push_back(std::cos(p * std::pow(10, -i / 3.0)));
      sin.push_back(std::sin(p * std::pow(10, -i / 3.0)));
    }
  }
  const HostTensor c = HostTensor::FromDoubles(DType::kF64, {rows, half}, cos);
  const HostTensor s = HostTensor::FromDoubles(DType::kF64, {rows, half}, sin);
  const HostTensor x = RandomF64(rng, {1, 2, 6});
  auto dot = [&](int64_t p0, int64_t p1) {
    const HostTensor at = HostTensor::FromInts(DType::kI32, {2}, {p0, p1});
    const auto out = EvalOp({OpKind::kRope, {x, c, s, at}, {{"head_dim", int64_t{6}}}});
    EXPECT_TRUE(out.ok()) << Message(out.status());
    double sum = 0;
    for (int d = 0; d < 6; ++d) sum += (*out)[0].f[d] * (*out)[0].f[6 + d];
    return sum;
  };
  EXPECT_NEAR(dot(0, 3), dot(8, 11), 1e-12);
  EXPECT_GT(std::abs(dot(0, 3) - dot(0, 5)), 1e-3);
}

TEST(Rope, RefusesPositionsOutsideTheTable) {
  const HostTensor x = HostTensor::FromDoubles(DType::kF64, {1, 1, 2}, {1, 2});
  const HostTensor table = HostTensor::FromDoubles(DType::kF64, {4, 1}, {1, 1, 1, 1});
  const HostTensor position = HostTensor::FromInts(DType::kI32, {1}, {4});
  const auto out = EvalOp({OpKind::kRope, {x, table, table, position}, {{"head_dim", int64_t{2}}}});
  EXPECT_EQ(out.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(Message(out.status())),
              HasSubstr("position 4 is outside the table of 4 rows"));
}

TEST(Rope, SaysWhatIsWrong) {
  const TensorType x = F32({2, 5, 24}), table = F32({5, 4});
  auto why = [&](std::vector<TensorType> operands, int64_t head_dim, int64_t n_rot) {
    return WhyNot(OpKind::kRope, std::move(operands), {{"head_dim", head_dim}, {"n_rot", n_rot}});
  };
  EXPECT_EQ(why({x, table, table}, 8, 8), "");
  EXPECT_THAT(why({x, table, table}, 8, 7), HasSubstr("n_rot 7 is odd"));
  EXPECT_THAT(why({x, table, table}, 6, 8), HasSubstr("n_rot 8 is more than head_dim 6"));
  EXPECT_THAT(why({x, table, table}, 16, 8), HasSubstr("does not hold heads of 16"));
  EXPECT_THAT(why({x, F32({4, 4}), F32({4, 4})}, 8, 8),
              HasSubstr("cos has 4 rows for a sequence of 5"));
  EXPECT_THAT(why({x, table, F32({5, 3})}, 8, 8),
              HasSubstr("sin is f32[5,3] where f32[5,4] is needed"));
  EXPECT_THAT(why({x, table, table, F32({5})}, 8, 8), HasSubstr("positions are f32"));
}

}  // namespace
}  // namespace rlx
