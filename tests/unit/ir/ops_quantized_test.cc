// SPDX-License-Identifier: Apache-2.0
// Products over packed weights and 8-bit integers, against values worked out here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "tests/unit/ir/op_testing.h"

namespace rlx {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

HostTensor F64(std::vector<int64_t> dims, const std::vector<double>& values) {
  return HostTensor::FromDoubles(DType::kF64, std::move(dims), values);
}
HostTensor Ints(DType dtype, std::vector<int64_t> dims, const std::vector<int64_t>& values) {
  return HostTensor::FromInts(dtype, std::move(dims), values);
}

// Blocks of column j hold d = 2^-4 and q = (i + 7·j) mod 256 - 128: with more than one column, a
// layout taken the wrong way round shows.
TEST(DequantMatMul, Q8KRunsEachColumnsBlocksAlongK) {
  constexpr int64_t kColumns = 3;
  std::vector<int64_t> bytes;
  for (int64_t j = 0; j < kColumns; ++j) {
    const float d = 0.0625F;
    uint8_t raw[4];
    std::memcpy(raw, &d, 4);
    bytes.insert(bytes.end(), raw, raw + 4);
    for (int64_t i = 0; i < 256; ++i) bytes.push_back(((i + 7 * j) % 256 - 128) & 255);
    bytes.insert(bytes.end(), 32, 0);
  }
  Rng rng(8);
  const HostTensor x = RandomF64(rng, {2, 256});
  const auto got = EvalOp({OpKind::kDequantMatMul,
                           {x, Ints(DType::kU8, {kColumns, 292}, bytes)},
                           {{"scheme", std::string("gguf_q8_k")}}});
  ASSERT_TRUE(got.ok()) << Message(got.status());
  for (int64_t m = 0; m < 2; ++m) {
    for (int64_t j = 0; j < kColumns; ++j) {
      double want = 0;
      for (int64_t i = 0; i < 256; ++i)
        want += x.ToDoubles()[m * 256 + i] * 0.0625 * static_cast<double>((i + 7 * j) % 256 - 128);
      EXPECT_NEAR((*got)[0].f[m * kColumns + j], want, 1e-9);
    }
  }
}

TEST(DequantMatMul, Int8SharesScalesAlongK) {
  const auto got = EvalOp({OpKind::kDequantMatMul,
                           {F64({1, 4}, {1, 1, 1, 1}), Ints(DType::kI8, {4, 1}, {1, 2, 3, -4}),
                            F64({2, 1}, {0.5, 2}), F64({2, 1}, {1, -1})},
                           {{"scheme", std::string("int8a")}, {"block", int64_t{2}}}});
  ASSERT_TRUE(got.ok()) << Message(got.status());
  EXPECT_THAT((*got)[0].f, ElementsAre(0.5 * (0 + 1) + 2 * (4 - 3)));
}

TEST(DequantMatMul, Int4KeepsEvenColumnsInLowNibbles) {
  // Rows of two columns: (1, 2), (15, 0).
  const auto got =
      EvalOp({OpKind::kDequantMatMul,
              {F64({1, 2}, {1, 10}), Ints(DType::kU8, {2, 1}, {0x21, 0x0f}), F64({1, 2}, {1, 0.5})},
              {{"scheme", std::string("int4")}, {"block", int64_t{2}}}});
  ASSERT_TRUE(got.ok()) << Message(got.status());
  EXPECT_THAT((*got)[0].f, ElementsAre(151, 1));
}

TEST(DequantMatMul, Fp8IsFiniteWhereAnIeeeFormatWouldOverflow) {
  const auto got =
      EvalOp({OpKind::kDequantMatMul,
              {F64({1, 1}, {1}), Ints(DType::kU8, {1, 2}, {0x7e, 0x78}), F64({2}, {1, 0.5})},
              {{"scheme", std::string("fp8e4m3")}}});
  ASSERT_TRUE(got.ok()) << Message(got.status());
  EXPECT_THAT((*got)[0].f, ElementsAre(448, 128));
}

TEST(DequantMatMul, Nvfp4MultipliesBothScales) {
  // One row, codes 3 (1.5) and 15 (-6); E4M3 scales 1 and 0.5 (0x30); global 0.25.
  const auto got = EvalOp({OpKind::kDequantMatMul,
                           {F64({1, 1}, {2}), Ints(DType::kU8, {1, 1}, {0xf3}),
                            Ints(DType::kU8, {1, 2}, {0x38, 0x30}), F64({1}, {0.25})},
                           {{"scheme", std::string("nvfp4")}}});
  ASSERT_TRUE(got.ok()) << Message(got.status());
  EXPECT_THAT((*got)[0].f, ElementsAre(2 * 1.5 * 0.25, 2 * -6 * 0.5 * 0.25));
}

TEST(DequantMatMul, TakesSymbolicRowsAndNamesWhatDoesNotFit) {
  const TensorType x = F32({Dim::Symbol(kBatch), Dim::Symbol(kSeq), 512});
  const auto types = InferOp(OpKind::kDequantMatMul, {x, {DType::kU8, {7, 288}}},
                             {{"scheme", std::string("gguf_q4_k")}});
  ASSERT_TRUE(types.ok()) << Message(types.status());
  EXPECT_EQ((*types)[0], F32({Dim::Symbol(kBatch), Dim::Symbol(kSeq), 7}));
  const std::vector<Attr> q4{{"scheme", std::string("gguf_q4_k")}};
  EXPECT_THAT(WhyNot(OpKind::kDequantMatMul, {F32({1, 256}), {DType::kU8, {7, 288}}}, q4),
              HasSubstr("k differs (256 vs 512)"));
  EXPECT_THAT(WhyNot(OpKind::kDequantMatMul, {F32({1, 256}), {DType::kU8, {7, 143}}}, q4),
              HasSubstr("blocks of 144 bytes"));
  EXPECT_THAT(WhyNot(OpKind::kDequantMatMul, {F32({1, 256}), F32({256, 7})}, q4),
              HasSubstr("u8 is needed"));
  EXPECT_THAT(WhyNot(OpKind::kDequantMatMul, {F32({1, 256}), {DType::kI8, {256, 7}}},
                     {{"scheme", std::string("int8")}}),
              HasSubstr("2 to 2 weight operands"));
}

TEST(DequantGroupedMatMul, IsTheExpertsOwnProduct) {
  Rng rng(9);
  OpCase grouped = DrawCase(OpKind::kDequantGroupedMatMul, rng);
  const auto got = EvalOp(grouped);
  ASSERT_TRUE(got.ok()) << Message(got.status());
  const std::vector<int64_t> experts = grouped.operands[2].ToInts();
  const std::vector<int64_t>& dims = grouped.operands[1].dims();
  const std::vector<int64_t> bytes = grouped.operands[1].ToInts();
  const std::vector<double> x = grouped.operands[0].ToDoubles();
  const int64_t k = grouped.operands[0].dims()[1], slab = dims[1] * dims[2];
  for (size_t row = 0; row < experts.size(); ++row) {
    const auto first = bytes.begin() + experts[row] * slab;
    const auto one = EvalOp({OpKind::kDequantMatMul,
                             {F64({1, k}, {x.begin() + static_cast<int64_t>(row) * k,
                                           x.begin() + static_cast<int64_t>(row + 1) * k}),
                              Ints(DType::kU8, {dims[1], dims[2]}, {first, first + slab})},
                             grouped.attrs});
    ASSERT_TRUE(one.ok()) << Message(one.status());
    for (int64_t j = 0; j < dims[1]; ++j)
      EXPECT_NEAR((*got)[0].f[row * dims[1] + j], (*one)[0].f[j],
                  1e-9 * (1 + std::abs((*one)[0].f[j])));
  }
}

TEST(GroupedMatMul, RefusesAnExpertThatIsNotThere) {
  Rng rng(1);
  const OpCase op_case{
      OpKind::kGroupedMatMul,
      {RandomF64(rng, {1, 2}), RandomF64(rng, {3, 2, 2}), Ints(DType::kI64, {1}, {3})},
      {}};
  EXPECT_THAT(Message(EvalOp(op_case).status()), HasSubstr("expert 3 is outside 3"));
}

TEST(LoraMatMul, IsTheMergedWeight) {
  Rng rng(2);
  const HostTensor x = RandomF64(rng, {3, 5}), w = RandomF64(rng, {5, 4});
  const HostTensor a = RandomF64(rng, {5, 2}), b = RandomF64(rng, {2, 4});
  const auto got = EvalOp({OpKind::kLoraMatMul, {x, w, a, b}, {{"scale", 0.5}}});
  ASSERT_TRUE(got.ok()) << Message(got.status());
  std::vector<double> merged = w.ToDoubles();
  for (int i = 0; i < 5; ++i)
    for (int j = 0; j < 4; ++j)
      for (int r = 0; r < 2; ++r)
        merged[i * 4 + j] += 0.5 * a.ToDoubles()[i * 2 + r] * b.ToDoubles()[r * 4 + j];
  const auto want = EvalOp({OpKind::kMatMul, {x, F64({5, 4}, merged)}, {}});
  EXPECT_LT(MaxDifference((*got)[0], (*want)[0]), 1e-12);
}

TEST(ScatterAdd, AddsEqualIndicesUp) {
  const auto got =
      EvalOp({OpKind::kScatterAdd,
              {F64({3, 2}, {1, 2, 10, 20, 100, 200}), Ints(DType::kI32, {3}, {2, 0, 2})},
              {{"rows", Shape{4}}}});
  ASSERT_TRUE(got.ok()) << Message(got.status());
  EXPECT_THAT((*got)[0].f, ElementsAre(10, 20, 0, 0, 101, 202, 0, 0));
}

TEST(Quantize, RoundsHalvesToEvenAndSaturates) {
  const std::vector<Attr> attrs{{"scales", std::vector<double>{0.5}},
                                {"zero_points", std::vector<int64_t>{3}},
                                {"to", DType::kI8}};
  const auto got =
      EvalOp({OpKind::kQuantize, {F64({6}, {0.25, 0.75, -0.25, 1000, -1000, NAN})}, attrs});
  ASSERT_TRUE(got.ok()) << Message(got.status());
  EXPECT_THAT((*got)[0].i, ElementsAre(3, 5, 3, 127, -128, 0));
}

TEST(Quantize, RoundTripsWithinHalfAStepOfEachChannel) {
  Rng rng(3);
  const HostTensor x = RandomF64(rng, {4, 3, 5}, -1, 1);
  const std::vector<double> scales = {0.01, 0.02, 0.03};
  const std::vector<Attr> shared{
      {"axis", int64_t{1}}, {"scales", scales}, {"zero_points", std::vector<int64_t>{0, 5, -7}}};
  auto with = [&](DType to) {
    std::vector<Attr> attrs = shared;
    attrs.push_back({"to", to});
    return attrs;
  };
  const auto q = EvalOp({OpKind::kQuantize, {x}, with(DType::kI8)});
  ASSERT_TRUE(q.ok()) << Message(q.status());
  const auto back = EvalOp({OpKind::kDequantize, {(*q)[0].ToHost()}, with(DType::kF64)});
  ASSERT_TRUE(back.ok()) << Message(back.status());
  for (int64_t k = 0; k < 60; ++k)
    EXPECT_LE(std::abs((*back)[0].f[k] - x.ToDoubles()[k]), scales[k / 5 % 3] / 2 + 1e-12);
}

// Quantized, convolved and requantized by hand: sums of what the integers mean, one rounding.
TEST(QConv2d, IsTheRoundedConvolutionOfWhatTheIntegersMean) {
  const std::vector<int64_t> x = {10, -20, 30, 40, 50, -60, 70, 80, 90}, w = {1, -2, 3, 4};
  const auto got = EvalOp({OpKind::kQConv2d,
                           {Ints(DType::kI8, {1, 1, 3, 3}, x), Ints(DType::kI8, {1, 1, 2, 2}, w),
                            Ints(DType::kI32, {1}, {7})},
                           {{"strides", std::vector<int64_t>{1, 1}},
                            {"pads", std::vector<int64_t>{1, 1, 0, 0}},
                            {"dilations", std::vector<int64_t>{1, 1}},
                            {"groups", int64_t{1}},
                            {"x_zp", int64_t{5}},
                            {"w_zp", int64_t{-1}},
                            {"out_zp", int64_t{3}},
                            {"multipliers", std::vector<double>{0.125}}}});
  ASSERT_TRUE(got.ok()) << Message(got.status());
  ASSERT_EQ((*got)[0].dims, (std::vector<int64_t>{1, 1, 3, 3}));
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t j = 0; j < 3; ++j) {
      double sum = 7;
      for (int64_t a = 0; a < 2; ++a) {
        for (int64_t b = 0; b < 2; ++b) {
          const int64_t row = i + a - 1, column = j + b - 1;
          const bool inside = row >= 0 && column >= 0;  // what is outside means zero
          const int64_t centred = inside ? x[row * 3 + column] - 5 : 0;
          sum += static_cast<double>(centred * (w[a * 2 + b] + 1));
        }
      }
      EXPECT_EQ((*got)[0].i[i * 3 + j],
                std::clamp<int64_t>(std::llrint(std::nearbyint(sum * 0.125)) + 3, -128, 127));
    }
  }
}

TEST(QMatMul, IsTheRoundedProductOfWhatTheIntegersMean) {
  Rng rng(5);
  const OpCase op_case = DrawCase(OpKind::kQMatMul, rng);
  const auto got = EvalOp(op_case);
  ASSERT_TRUE(got.ok()) << Message(got.status());
  const auto attr = [&](std::string_view name) {
    for (const Attr& a : op_case.attrs)
      if (a.name == name) return a.value;
    return AttrValue(int64_t{0});
  };
  const auto multipliers = std::get<std::vector<double>>(attr("multipliers"));
  const int64_t n = op_case.operands[1].dims()[1], k = op_case.operands[1].dims()[0];
  const auto x = op_case.operands[0].ToInts(), w = op_case.operands[1].ToInts();
  for (int64_t at = 0; at < (*got)[0].size(); ++at) {
    double real = static_cast<double>(op_case.operands[2].ToInts()[at % n]);
    for (int64_t p = 0; p < k; ++p)
      real += static_cast<double>((x[at / n * k + p] - std::get<int64_t>(attr("x_zp"))) *
                                  (w[p * n + at % n] - std::get<int64_t>(attr("w_zp"))));
    real *= multipliers[multipliers.size() > 1 ? at % n : 0];
    const double shifted = real + static_cast<double>(std::get<int64_t>(attr("out_zp")));
    EXPECT_LE(std::abs(static_cast<double>((*got)[0].i[at]) - std::clamp(shifted, -128.0, 127.0)),
              0.5 + 1e-9);
  }
}

}  // namespace
}  // namespace rlx
