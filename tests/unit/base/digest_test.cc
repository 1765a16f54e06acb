// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <unordered_set>

#include "runtime/base/hex.h"
#include "runtime/base/random.h"
#include "runtime/base/sha256.h"
#include "runtime/base/text.h"

namespace rlx {
namespace {

TEST(Hex, RoundTripsAndRefusesAllElse) {
  const uint8_t bytes[] = {0x00, 0x7f, 0xff, 0xa5};
  EXPECT_EQ(HexEncode(bytes), "007fffa5");
  uint8_t decoded[4];
  ASSERT_TRUE(HexDecode("007fffa5", decoded));
  EXPECT_TRUE(std::equal(std::begin(bytes), std::end(bytes), decoded));
  for (std::string_view bad : {"", "007fffa", "007fffa50", "007fffa500", "007FFFA5", "007fffg5"}) {
    EXPECT_FALSE(HexDecode(bad, decoded)) << bad;
  }
}

// FIPS 180-4's own examples.
TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(Sha256Of("").ToHex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Of("abc").ToHex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Of(std::string(1'000'000, 'a')).ToHex(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesGiveTheSameAndFinishStartsAnew) {
  Sha256 hash;
  EXPECT_EQ(hash.Update("a").Update("").Update("bc").Finish(), Sha256Of("abc"));
  EXPECT_EQ(hash.Update("xyz").Finish(), Sha256Of("xyz"));
  Sha256 moved = std::move(hash);
  EXPECT_EQ(moved.Update("abc").Finish(), Sha256Of("abc"));
}

TEST(Digest256, ParsesItsOwnFormsAlone) {
  Digest256 digest = Sha256Of("abc");
  EXPECT_EQ(Digest256::FromHex(digest.ToHex()), digest);
  EXPECT_EQ(Digest256::FromBytes(digest.view()), digest);
  EXPECT_EQ(Digest256::FromHex(digest.ToHex().substr(1)), std::nullopt);
  EXPECT_EQ(Digest256::FromBytes(digest.view().substr(1)), std::nullopt);
  EXPECT_EQ(Cat(digest), digest.ToHex());
}

TEST(Digest256, OrdersAndHashes) {
  Digest256 zero, one;
  one.bytes[31] = 1;
  EXPECT_LT(zero, one);
  EXPECT_EQ((std::unordered_set<Digest256>{zero, one, zero}.size()), 2u);
}

TEST(FieldHasher, BoundariesCount) {
  std::set<Digest256> digests = {
      FieldHasher().Add("ab").Add("c").Finish(), FieldHasher().Add("a").Add("bc").Finish(),
      FieldHasher().Add("abc").Finish(),         FieldHasher().Add("abc").Add("").Finish(),
      FieldHasher().AddInt(1).Finish(),          FieldHasher().AddInt(256).Finish(),
  };
  EXPECT_EQ(digests.size(), 6u);
}

// The exact bytes are part of persistent cache keys: this value must not change.
TEST(FieldHasher, FormatIsFixed) {
  std::string fed("\x02\0\0\0\0\0\0\0hi\x08\0\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0", 26);
  EXPECT_EQ(FieldHasher().Add("hi").AddInt(0x0201).Finish(), Sha256Of(fed));
}

TEST(RandomId, NeverTheSameAndReadsBack) {
  std::unordered_set<RandomId> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(RandomId::New());
  EXPECT_EQ(seen.size(), 1000u);
  RandomId id = RandomId::New();
  EXPECT_EQ(id.ToHex().size(), 32u);
  EXPECT_EQ(RandomId::FromHex(id.ToHex()), id);
  EXPECT_EQ(RandomId::FromHex("00"), std::nullopt);
}

}  // namespace
}  // namespace rlx
