// SPDX-License-Identifier: Apache-2.0
// Every target on its seeds, on changed seeds, and on what once crashed it (crashers/<target>-*): a
// fault aborts the process. docs/testing.md says how to let a fuzzer loose on the same targets.
#include <gtest/gtest.h>

#include <filesystem>

#include "runtime/base/file.h"
#include "runtime/base/text.h"
#include "tests/fuzz/targets.h"

namespace rlx::fuzz {
namespace {

class Fuzz : public testing::TestWithParam<const Target*> {};

TEST_P(Fuzz, Seeds) {
  const auto seeds = GetParam()->seeds();
  ASSERT_GT(seeds.size(), 50u);
  for (const std::string& seed : seeds) GetParam()->run(seed);
}

TEST_P(Fuzz, ChangedSeeds) {
  constexpr uint64_t kChanges = 200;
  uint64_t number = 0;
  for (const std::string& seed : GetParam()->seeds()) {
    for (uint64_t k = 0; k < kChanges; ++k) GetParam()->run(Mutate(seed, ++number));
  }
}

TEST_P(Fuzz, Crashers) {
  for (const auto& entry : std::filesystem::directory_iterator("tests/fuzz/crashers")) {
    if (!entry.path().filename().string().starts_with(Cat(GetParam()->name, "-"))) continue;
    const auto bytes = ReadFile(entry.path().string(), 1 << 20);
    ASSERT_TRUE(bytes.ok()) << entry.path();
    GetParam()->run(*bytes);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Fuzz, testing::ValuesIn(AllTargets()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace rlx::fuzz
