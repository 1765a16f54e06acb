// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "clients/rlxctl/inputs.h"
#include "clients/rlxctl/weights.h"
#include "clients/rlxctl/words.h"
#include "google/protobuf/text_format.h"

namespace rlx::ctl {
namespace {

using testing::HasSubstr;

template <class T>
T FromText(const std::string& text) {
  T message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

TEST(Tensor, CountsBytesAndRefusesWhatOverflows) {
  const auto bytes = [](v1::DType dtype, std::vector<int64_t> shape) {
    return TensorBytes(dtype, shape);
  };
  EXPECT_EQ(bytes(v1::DTYPE_F32, {2, 3}), 24u);
  EXPECT_EQ(bytes(v1::DTYPE_C64, {}), 8u);
  EXPECT_EQ(bytes(v1::DTYPE_F32, {0}), std::nullopt);
  EXPECT_EQ(bytes(v1::DTYPE_F32, {-1, -1}), std::nullopt);
  EXPECT_EQ(bytes(v1::DTYPE_F32, {int64_t{1} << 62}), std::nullopt);
  EXPECT_EQ(bytes(v1::DTYPE_UNSPECIFIED, {1}), std::nullopt);
}

TEST(Tensor, ReadsHalfPrecision) {
  const auto at = [](v1::DType dtype, uint16_t bits) {
    return ElementAt(dtype, {reinterpret_cast<const char*>(&bits), 2}, 0);
  };
  EXPECT_EQ(at(v1::DTYPE_F16, 0x3C00), 1.0);
  EXPECT_EQ(at(v1::DTYPE_F16, 0xC100), -2.5);
  EXPECT_EQ(at(v1::DTYPE_F16, 0x0001), std::ldexp(1.0, -24));
  EXPECT_EQ(at(v1::DTYPE_F16, 0x7BFF), 65504.0);
  EXPECT_EQ(at(v1::DTYPE_F16, 0x7C00), HUGE_VAL);
  EXPECT_TRUE(std::isnan(at(v1::DTYPE_F16, 0x7E00)));
  EXPECT_EQ(at(v1::DTYPE_BF16, 0x3F80), 1.0);
  EXPECT_EQ(at(v1::DTYPE_BF16, 0xC020), -2.5);
}

TEST(Tensor, ReadsEightBitFloats) {
  const auto at = [](v1::DType dtype, uint8_t bits) {
    return ElementAt(dtype, {reinterpret_cast<const char*>(&bits), 1}, 0);
  };
  EXPECT_EQ(at(v1::DTYPE_FP8E4M3, 0x38), 1.0);
  EXPECT_EQ(at(v1::DTYPE_FP8E4M3, 0xFE), -448.0);
  EXPECT_EQ(at(v1::DTYPE_FP8E4M3, 0x01), std::ldexp(1.0, -9));
  EXPECT_EQ(at(v1::DTYPE_FP8E4M3, 0x78), 256.0);
  EXPECT_TRUE(std::isnan(at(v1::DTYPE_FP8E4M3, 0x7F)));
  EXPECT_EQ(at(v1::DTYPE_FP8E5M2, 0x3C), 1.0);
  EXPECT_EQ(at(v1::DTYPE_FP8E5M2, 0x7B), 57344.0);
  EXPECT_EQ(at(v1::DTYPE_FP8E5M2, 0xFC), -HUGE_VAL);
  EXPECT_TRUE(std::isnan(at(v1::DTYPE_FP8E5M2, 0x7D)));
}

TEST(Tensor, FillsEveryDType) {
  for (int number = v1::DTYPE_BOOL; number <= v1::DTYPE_FP8E5M2; ++number) {
    const auto dtype = static_cast<v1::DType>(number);
    std::string ones;
    AppendFilled(ones, dtype, 2, Fill::kOnes, 0, 1);
    ASSERT_EQ(ones.size(), 2 * ElementBytes(dtype));
    EXPECT_EQ(ElementAt(dtype, ones, 1), 1) << Word(dtype);
    std::string random;
    AppendFilled(random, dtype, 1000, Fill::kRandom, 7, 0.5);
    double sum = 0;
    for (int i = 0; i < 1000; ++i) {
      const double value = ElementAt(dtype, random, i);
      EXPECT_TRUE((value >= -0.5 && value <= 0.5) || value == 1) << Word(dtype) << " " << value;
      sum += value;
    }
    EXPECT_TRUE(std::fabs(sum) < 50 || std::fabs(sum - 500) < 100) << Word(dtype) << " " << sum;
    std::string again;
    AppendFilled(again, dtype, 1000, Fill::kRandom, 7, 0.5);
    EXPECT_EQ(random, again);
  }
}

TEST(Tensor, SeedsDifferByName) { EXPECT_NE(SeedOf(0, "a"), SeedOf(0, "b")); }

TEST(Words, PrintsTypesAndDims) {
  const auto type = FromText<v1::TensorType>(R"(
    dtype: DTYPE_F32 dims { symbol: "batch" } dims { value: 3 }
    dims { expr { terms { constant: 2 } terms { symbol: "seq" } terms { op: OP_MUL }
                  terms { constant: 1 } terms { op: OP_ADD } } })");
  EXPECT_EQ(TypeText(type), "f32[batch,3,(2*seq+1)]");
  EXPECT_EQ(Word(static_cast<v1::DType>(99)), "99");
  EXPECT_EQ(ParseTarget("cuda:h200")->profile(), "h200");
  EXPECT_THAT(std::string(Message(ParseTarget("abacus").status())), HasSubstr("cpu, metal, mlx"));
}

TEST(Inputs, EvaluatesDims) {
  const auto dim = FromText<v1::Dim>(R"(expr { terms { symbol: "seq" } terms { constant: 4 }
      terms { op: OP_FLOOR_DIV } terms { constant: 8 } terms { op: OP_MAX } })");
  EXPECT_EQ(EvaluateDim(dim, {{"seq", 100}}), 25);
  EXPECT_EQ(EvaluateDim(dim, {{"seq", 1}}), 8);
  EXPECT_EQ(EvaluateDim(dim, {}), std::nullopt);
  for (const char* bad :
       {"expr { terms { op: OP_ADD } }", "expr { terms { constant: 1 } terms { constant: 2 } }",
        "expr {}", "value: 0", "symbol: 'other'", "",
        "expr { terms { constant: 1 } terms { constant: 0 } terms { op: OP_FLOOR_DIV } }",
        "expr { terms { constant: 9223372036854775807 } terms { constant: 2 } "
        "terms { op: OP_MUL } }"}) {
    EXPECT_EQ(EvaluateDim(FromText<v1::Dim>(bad), {{"seq", 1}}), std::nullopt) << bad;
  }
}

TEST(Weights, MakesUpOneBlobForAllParams) {
  const auto manifest = FromText<v1::Manifest>(R"(
    params { name: "w" type { dtype: DTYPE_F32 dims { value: 3 } dims { value: 5 } } }
    params { name: "b" type { dtype: DTYPE_F16 dims { value: 5 } } })");
  const auto weights = RandomWeights(manifest, 1, 1 << 20);
  ASSERT_TRUE(weights.ok()) << weights.status();
  ASSERT_EQ(weights->blobs.size(), 1u);
  ASSERT_EQ(weights->bindings.size(), 2u);
  EXPECT_EQ(weights->bindings[0].blob().length(), 60u);
  EXPECT_EQ(weights->bindings[1].blob().offset(), 64u);
  EXPECT_EQ(weights->blobs[0].bytes.size(), 74u);
  EXPECT_EQ(RandomWeights(manifest, 1, 1 << 20)->blobs[0].digest, weights->blobs[0].digest);
  EXPECT_NE(RandomWeights(manifest, 2, 1 << 20)->blobs[0].digest, weights->blobs[0].digest);
  EXPECT_TRUE(absl::IsResourceExhausted(RandomWeights(manifest, 1, 73).status()));
  const auto open = FromText<v1::Manifest>(
      R"(params { name: "w" type { dtype: DTYPE_F32 dims { symbol: "n" } } })");
  EXPECT_TRUE(absl::IsFailedPrecondition(RandomWeights(open, 1, 1 << 20).status()));
}

TEST(Weights, NamesTheParamsThatHaveNone) {
  const auto manifest = FromText<v1::Manifest>(R"(params { name: "w" } params { name: "b" })");
  std::vector<WeightFile> files(1);
  files[0].tensors["w"] = {v1::DTYPE_F32, {1}, 8, 4};
  const auto some = BindParams(manifest, files, {});
  EXPECT_TRUE(absl::IsNotFound(some.status()));
  EXPECT_THAT(std::string(Message(some.status())), HasSubstr("params: b"));
  files.push_back(files[0]);
  EXPECT_THAT(std::string(Message(BindParams(manifest, files, {}).status())),
              HasSubstr("tensor \"w\" is in"));
}

}  // namespace
}  // namespace rlx::ctl
