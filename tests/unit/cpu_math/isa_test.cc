// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/isa.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "backends/cpu/math/kernels.h"

namespace rlx::cpu {
namespace {

TEST(Isa, NamesRoundTrip) {
  for (Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) {
    EXPECT_EQ(ParseIsa(IsaName(isa)), isa);
    EXPECT_EQ(MathFor(isa).isa, isa);
  }
  EXPECT_EQ(ParseIsa("sse9"), std::nullopt);
}

// The kernel's own list, which leaves out what it does not save for processes.
TEST(Isa, IsWhatTheKernelSaysOfTheProcessor) {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  std::set<std::string> flags;
  while (flags.empty() && std::getline(file, line)) {
    if (line.rfind("flags", 0) != 0) continue;
    std::istringstream words(line);
    for (std::string word; words >> word;) flags.insert(word);
  }
  if (flags.empty()) GTEST_SKIP() << "no flags in /proc/cpuinfo";
  const auto all = [&](const std::vector<std::string>& wanted) {
    return std::ranges::all_of(wanted, [&](const auto& flag) { return flags.count(flag) > 0; });
  };
  const bool narrow = all({"avx2", "fma", "f16c"});
  const bool wide = narrow && all({"avx512f", "avx512dq", "avx512bw", "avx512vl"});
  EXPECT_EQ(DetectIsa(), wide ? Isa::kAvx512 : narrow ? Isa::kAvx2 : Isa::kGeneric);
}

}  // namespace
}  // namespace rlx::cpu
