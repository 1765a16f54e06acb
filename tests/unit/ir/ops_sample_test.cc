// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "runtime/base/status.h"
#include "runtime/tensor/philox.h"
#include "tests/unit/ir/op_testing.h"

namespace rlx {
namespace {

using Words = std::array<uint32_t, 4>;

// The known answers that come with the published generator.
TEST(Philox, GivesThePublishedWords) {
  EXPECT_EQ(Philox({0, 0, 0, 0}, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t all = 0xffffffff;
  EXPECT_EQ(Philox({all, all, all, all}, ~uint64_t{0}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

std::vector<int64_t> SampleOf(const HostTensor& logits, std::vector<Attr> attrs) {
  const auto got = EvalOp({OpKind::kSample, {logits}, std::move(attrs)});
  EXPECT_TRUE(got.ok()) << Message(got.status());
  return got.ok() ? (*got)[0].i : std::vector<int64_t>();
}

std::vector<int64_t> Greatest(const HostTensor& logits) {
  const std::vector<double> values = logits.ToDoubles();
  const int64_t width = logits.dims()[1];
  std::vector<int64_t> out;
  for (size_t row = 0; row < values.size(); row += width) {
    const auto first = values.begin() + static_cast<int64_t>(row);
    out.push_back(std::max_element(first, first + width) - first);
  }
  return out;
}

TEST(Sample, IsTheGreatestWhenColdOrAlone) {
  Rng rng(4);
  for (int64_t seed = 0; seed < 20; ++seed) {
    const HostTensor logits = RandomF64(rng, {5, 33}, -3, 3);
    EXPECT_EQ(SampleOf(logits, {{"temperature", 0.0}, {"seed", seed}}), Greatest(logits));
    EXPECT_EQ(SampleOf(logits, {{"top_k", int64_t{1}}, {"seed", seed}}), Greatest(logits));
    EXPECT_EQ(SampleOf(logits, {{"top_p", 1e-9}, {"seed", seed}}), Greatest(logits));
  }
}

TEST(Sample, InvertsTheCumulativeSumAtPhilox) {
  const HostTensor logits =
      HostTensor::FromDoubles(DType::kF64, {1, 3}, {std::log(0.2), std::log(0.5), std::log(0.3)});
  for (int64_t seed = 0; seed < 200; ++seed) {
    const double u = PhiloxUniform({0, 0, 0, 0}, static_cast<uint64_t>(seed));
    const int64_t want = u < 0.2 ? 0 : u < 0.7 ? 1 : 2;
    EXPECT_EQ(SampleOf(logits, {{"seed", seed}}), std::vector<int64_t>{want}) << seed;
    // The fewest that reach 0.6 are those of 0.5 and 0.3.
    EXPECT_EQ(SampleOf(logits, {{"seed", seed}, {"top_p", 0.6}})[0], u < 0.625 ? 1 : 2) << seed;
  }
}

TEST(Sample, TakesASeedForEachRow) {
  Rng rng(7);
  const HostTensor row = RandomF64(rng, {1, 50});
  std::vector<double> twice = row.ToDoubles();
  const std::vector<double> once = twice;
  twice.insert(twice.end(), once.begin(), once.end());
  const HostTensor both = HostTensor::FromDoubles(DType::kF64, {2, 50}, twice);
  for (int64_t seed = 0; seed < 30; ++seed) {
    const auto got =
        EvalOp({OpKind::kSample, {both, HostTensor::FromInts(DType::kI64, {2}, {seed, seed})}, {}});
    ASSERT_TRUE(got.ok());
    EXPECT_EQ((*got)[0].i[0], (*got)[0].i[1]);
    EXPECT_EQ((*got)[0].i[0], SampleOf(row, {{"seed", seed}})[0]);
  }
}

TEST(Sample, RefusesWhatIsNoProbability) {
  EXPECT_NE(WhyNot(OpKind::kSample, {F32({2, 3})}, {{"top_p", 1.5}}).find("top_p"),
            std::string::npos);
  const HostTensor nan = HostTensor::FromDoubles(DType::kF64, {1, 2}, {0, NAN});
  EXPECT_FALSE(EvalOp({OpKind::kSample, {nan}, {}}).ok());
}

}  // namespace
}  // namespace rlx
