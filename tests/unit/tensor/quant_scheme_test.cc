// SPDX-License-Identifier: Apache-2.0
// Each block format against blocks packed here by its public definition, field by field, and the
// 8- and 4-bit floats against the OCP tables.
#include "runtime/tensor/quant_scheme.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "runtime/tensor/float8.h"
#include "runtime/tensor/host_tensor.h"

namespace rlx {
namespace {

using Bytes = std::vector<uint8_t>;

void PutHalf(Bytes& out, float value) {
  const uint16_t bits = F32ToF16(value);
  out.push_back(static_cast<uint8_t>(bits));
  out.push_back(static_cast<uint8_t>(bits >> 8));
}

std::vector<float> Decode(QuantScheme scheme, const Bytes& block) {
  EXPECT_EQ(block.size(), static_cast<size_t>(Info(scheme).block_bytes));
  std::vector<float> out(Info(scheme).block_elements);
  DecodeBlock(scheme, block.data(), out.data());
  std::vector<double> wide(out.size());
  DecodeBlock(scheme, block.data(), wide.data());
  for (size_t i = 0; i < out.size(); ++i) EXPECT_FLOAT_EQ(out[i], static_cast<float>(wide[i]));
  return out;
}

// Random quants within [low, high] and small sub-block scales.
std::vector<int> Draw(std::mt19937& rng, size_t count, int low, int high) {
  std::vector<int> out(count);
  for (int& value : out) value = low + static_cast<int>(rng() % (high - low + 1));
  return out;
}

TEST(QuantScheme, RowsAreInOrderAndNamesRoundTrip) {
  for (int i = 0; i < kQuantSchemeCount; ++i) {
    const auto scheme = static_cast<QuantScheme>(i);
    EXPECT_EQ(Info(scheme).scheme, scheme);
    EXPECT_EQ(ParseQuantScheme(Info(scheme).name), scheme);
  }
  EXPECT_FALSE(ParseQuantScheme("gguf_q9_k"));
}

TEST(QuantScheme, NominalBitsAreThoseOfTheBlocks) {
  for (const QuantSchemeInfo& info : kQuantSchemes) {
    if (!info.is_block()) continue;
    EXPECT_EQ(info.bits_x10,
              (80 * info.block_bytes + info.block_elements / 2) / info.block_elements)
        << info.name;
  }
}

TEST(QuantScheme, Q8_0) {
  Bytes block;
  PutHalf(block, 0.5F);
  for (int i = 0; i < 32; ++i) block.push_back(static_cast<uint8_t>(i - 16));
  const auto out = Decode(QuantScheme::kQ8_0, block);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(out[i], 0.5F * static_cast<float>(i - 16));
}

TEST(QuantScheme, Q4_0KeepsTheSecondHalfInHighNibbles) {
  Bytes block;
  PutHalf(block, -0.25F);
  for (int i = 0; i < 16; ++i) block.push_back(static_cast<uint8_t>(i | (15 - i) << 4));
  const auto out = Decode(QuantScheme::kQ4_0, block);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(out[i], -0.25F * static_cast<float>(i - 8));
    EXPECT_EQ(out[16 + i], -0.25F * static_cast<float>(7 - i));
  }
}

TEST(QuantScheme, Q8KIgnoresItsSums) {
  Bytes block(4);
  const float d = 0.0625F;
  std::memcpy(block.data(), &d, 4);
  for (int i = 0; i < 256; ++i) block.push_back(static_cast<uint8_t>(i - 128));
  block.resize(292, 0xee);
  const auto out = Decode(QuantScheme::kQ8K, block);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(out[i], d * static_cast<float>(i - 128));
}

// Packs eight 6-bit (scale, min) pairs as Q4_K and Q5_K do.
void PutScaleMins(Bytes& out, const std::vector<int>& scales, const std::vector<int>& mins) {
  for (int j = 0; j < 4; ++j) out.push_back(scales[j] | (scales[j + 4] >> 4) << 6);
  for (int j = 0; j < 4; ++j) out.push_back(mins[j] | (mins[j + 4] >> 4) << 6);
  for (int j = 4; j < 8; ++j) out.push_back((scales[j] & 15) | (mins[j] & 15) << 4);
}

TEST(QuantScheme, Q4KAndQ5K) {
  std::mt19937 rng(5);
  for (const bool fifth : {false, true}) {
    const auto scales = Draw(rng, 8, 0, 63), mins = Draw(rng, 8, 0, 63);
    const auto q = Draw(rng, 256, 0, fifth ? 31 : 15);
    Bytes block;
    PutHalf(block, 0.125F);
    PutHalf(block, 0.5F);
    PutScaleMins(block, scales, mins);
    if (fifth) {
      Bytes high(32);
      for (int i = 0; i < 256; ++i) high[i % 32] |= static_cast<uint8_t>((q[i] >> 4) << (i / 32));
      block.insert(block.end(), high.begin(), high.end());
    }
    for (int t = 0; t < 4; ++t)
      for (int l = 0; l < 32; ++l)
        block.push_back((q[64 * t + l] & 15) | (q[64 * t + 32 + l] & 15) << 4);
    const auto out = Decode(fifth ? QuantScheme::kQ5K : QuantScheme::kQ4K, block);
    for (int i = 0; i < 256; ++i) {
      const int j = i / 32;
      EXPECT_EQ(out[i],
                0.125F * static_cast<float>(scales[j] * q[i]) - 0.5F * static_cast<float>(mins[j]))
          << i;
    }
  }
}

TEST(QuantScheme, Q6K) {
  std::mt19937 rng(6);
  const auto scales = Draw(rng, 16, -128, 127), q = Draw(rng, 256, 0, 63);
  Bytes low(128), high(64), block;
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, group = i % 128 / 32, l = i % 32;
    low[64 * half + 32 * (group & 1) + l] |=
        static_cast<uint8_t>((q[i] & 15) << (group >= 2 ? 4 : 0));
    high[32 * half + l] |= static_cast<uint8_t>((q[i] >> 4) << (2 * group));
  }
  block.insert(block.end(), low.begin(), low.end());
  block.insert(block.end(), high.begin(), high.end());
  for (int scale : scales) block.push_back(static_cast<uint8_t>(scale));
  PutHalf(block, 0.25F);
  const auto out = Decode(QuantScheme::kQ6K, block);
  for (int i = 0; i < 256; ++i)
    EXPECT_EQ(out[i], 0.25F * static_cast<float>(scales[i / 16] * (q[i] - 32))) << i;
}

// scales, quants, d, dmin: the public order, in which d is not first.
TEST(QuantScheme, Q2K) {
  std::mt19937 rng(2);
  const auto scales = Draw(rng, 16, 0, 15), mins = Draw(rng, 16, 0, 15), q = Draw(rng, 256, 0, 3);
  Bytes block, quants(64);
  for (int j = 0; j < 16; ++j) block.push_back(scales[j] | mins[j] << 4);
  for (int i = 0; i < 256; ++i)
    quants[32 * (i / 128) + i % 32] |= static_cast<uint8_t>(q[i] << (2 * (i % 128 / 32)));
  block.insert(block.end(), quants.begin(), quants.end());
  PutHalf(block, 0.5F);
  PutHalf(block, 2);
  const auto out = Decode(QuantScheme::kQ2K, block);
  for (int i = 0; i < 256; ++i)
    EXPECT_EQ(out[i], 0.5F * static_cast<float>(scales[i / 16] * q[i]) -
                          2 * static_cast<float>(mins[i / 16]))
        << i;
}

// High bits, quants, scales, d. The sixteen 6-bit scales as the reference quantizer packs them.
TEST(QuantScheme, Q3K) {
  std::mt19937 rng(3);
  const auto scales = Draw(rng, 16, 0, 63), q = Draw(rng, 256, -4, 3);
  Bytes high(32), quants(64), packed(12), block;
  for (int i = 0; i < 256; ++i) {
    const int code = q[i] + 4, half = i / 128, group = i % 128 / 32, l = i % 32;
    if (code > 3) high[l] |= static_cast<uint8_t>(1 << (4 * half + group));
    quants[32 * half + l] |= static_cast<uint8_t>((code & 3) << (2 * group));
  }
  for (int j = 0; j < 16; ++j) {
    packed[j % 8] |= static_cast<uint8_t>((scales[j] & 15) << (j < 8 ? 0 : 4));
    packed[8 + j % 4] |= static_cast<uint8_t>((scales[j] >> 4) << (2 * (j / 4)));
  }
  for (const Bytes* part : {&high, &quants, &packed})
    block.insert(block.end(), part->begin(), part->end());
  PutHalf(block, -0.5F);
  const auto out = Decode(QuantScheme::kQ3K, block);
  for (int i = 0; i < 256; ++i)
    EXPECT_EQ(out[i], -0.5F * static_cast<float>((scales[i / 16] - 32) * q[i])) << i;
}

// Blocks of one value, filled in by hand.
TEST(QuantScheme, BlocksOfOneValue) {
  Bytes q4k, q6k(208, 0), q2k(16, 0x01);
  PutHalf(q4k, 1);
  PutHalf(q4k, 0);
  PutScaleMins(q4k, std::vector<int>(8, 1), std::vector<int>(8, 0));
  q4k.resize(144, 0x77);
  for (float value : Decode(QuantScheme::kQ4K, q4k)) EXPECT_EQ(value, 7);
  for (int i = 128; i < 192; ++i) q6k[i] = 0xaa;  // the high bits of 32
  for (int i = 192; i < 208; ++i) q6k[i] = 5;
  PutHalf(q6k, 1);
  for (float value : Decode(QuantScheme::kQ6K, q6k)) EXPECT_EQ(value, 0);
  q2k.resize(80, 0xff);
  PutHalf(q2k, 1);
  PutHalf(q2k, 1);
  for (float value : Decode(QuantScheme::kQ2K, q2k)) EXPECT_EQ(value, 3);
}

TEST(SmallFloats, E4M3IsFiniteTo448) {
  EXPECT_EQ(Fp8E4M3ToF32(0x7e), 448.0F);
  EXPECT_EQ(Fp8E4M3ToF32(0xfe), -448.0F);
  EXPECT_TRUE(std::isnan(Fp8E4M3ToF32(0x7f)));
  EXPECT_EQ(Fp8E4M3ToF32(0x38), 1.0F);
  EXPECT_EQ(Fp8E4M3ToF32(0x01), 0x1p-9F);
  EXPECT_EQ(Fp8E4M3ToF32(0x08), 0x1p-6F);
  EXPECT_EQ(Fp8E4M3ToF32(0x78), 256.0F);  // where an IEEE-like format would have infinity
}

TEST(SmallFloats, E5M2IsATruncatedHalf) {
  for (int bits = 0; bits < 256; ++bits) {
    const float want = F16ToF32(static_cast<uint16_t>(bits << 8));
    const float got = Fp8E5M2ToF32(static_cast<uint8_t>(bits));
    EXPECT_TRUE(got == want || (std::isnan(got) && std::isnan(want))) << bits;
  }
}

TEST(SmallFloats, E2M1AndItsScale) {
  constexpr float kTable[] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6};
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(Fp4E2M1ToF32(static_cast<uint8_t>(i)), kTable[i]);
    EXPECT_EQ(Fp4E2M1ToF32(static_cast<uint8_t>(i + 8)), -kTable[i]);
  }
  EXPECT_EQ(Nvfp4ScaleToF32(0x38), 1.0F);
  EXPECT_EQ(Nvfp4ScaleToF32(0x7f), 0.0F);
  EXPECT_EQ(Nvfp4ScaleToF32(0x04), 0x1p-7F);
}

}  // namespace
}  // namespace rlx
