// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/recall.h"

#include <gtest/gtest.h>

namespace rlx::engine {
namespace {

Digest256 DigestOf(int i) { return FieldHasher().AddInt(i).Finish(); }

// What a module of one node with `sources` sources leaves.
Meaning MeaningOf(size_t sources) {
  SourceTable names;
  names.nodes.resize(1);
  names.nodes[0].sources.assign(sources, {SourceRef::Kind::kMir, 1, "a name of the author's"});
  Meaning out;
  out.names = std::make_shared<const SourceTable>(std::move(names));
  out.options = std::make_shared<const CompileOptions>();
  return out;
}

TEST(Recollection, KeepsTheLatestThatItsBudgetHolds) {
  const size_t each = MeaningOf(1000).MemoryBytes();
  EXPECT_GT(each, 1000 * sizeof(SourceRef));
  Recollection recollection(3 * each);
  for (int i = 0; i < 100; ++i) recollection.Put(DigestOf(i), MeaningOf(1000));
  EXPECT_EQ(recollection.load().entries, 3u);
  EXPECT_EQ(recollection.load().bytes, 3 * each);
  EXPECT_FALSE(recollection.Get(DigestOf(96)).has_value());
  EXPECT_TRUE(recollection.Get(DigestOf(97)).has_value());
  recollection.Put(DigestOf(100), MeaningOf(1000));  // 98 goes: 97 was asked for
  EXPECT_TRUE(recollection.Get(DigestOf(97)).has_value());
  EXPECT_FALSE(recollection.Get(DigestOf(98)).has_value());
}

TEST(Recollection, AnotherMeaningOfOneRequestTakesItsPlace) {
  Recollection recollection(size_t{1} << 20);
  for (int i = 0; i < 10; ++i) recollection.Put(DigestOf(0), MeaningOf(100));
  EXPECT_EQ(recollection.load().entries, 1u);
  EXPECT_EQ(recollection.load().bytes, MeaningOf(100).MemoryBytes());
  recollection.Clear();
  EXPECT_EQ(recollection.load().bytes, 0u);
}

TEST(Recollection, WhatIsAboveTheBudgetIsNotKept) {
  Recollection recollection(1000);
  recollection.Put(DigestOf(0), MeaningOf(1000));
  EXPECT_EQ(recollection.load().entries, 0u);
  EXPECT_EQ(recollection.load().bytes, 0u);
}

}  // namespace
}  // namespace rlx::engine
