// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/copy.h"

#include <gtest/gtest.h>

#include "runtime/base/thread_pool.h"
#include "tests/unit/cpu_math/math_testing.h"

namespace rlx::cpu {
namespace {

class CopyOnIsa : public testing::TestWithParam<Isa> {};

// Any lengths, steps and alignments; not a byte beside the runs is written.
TEST_P(CopyOnIsa, RunsWhereverTheyLie) {
  std::mt19937 rng(11);
  ThreadPool pool(2);
  for (int64_t bytes : {1, 63, 64, 127, 511, 512, 513, 1023, 4096, 5000, 65536, 70001, 300000}) {
    for (int turn = 0; turn < 6; ++turn) {
      SCOPED_TRACE(testing::Message() << bytes << " bytes, turn " << turn);
      const auto any = [&](int64_t most) { return static_cast<int64_t>(rng() % (most + 1)); };
      const int64_t count = 1 + any(3), from_step = bytes + any(70), to_step = bytes + any(70);
      const int64_t from = any(64), to = any(64);
      std::vector<uint8_t> in(static_cast<size_t>(from + count * from_step));
      for (uint8_t& x : in) x = static_cast<uint8_t>(rng());
      std::vector<uint8_t> out(static_cast<size_t>(to + count * to_step + 64), 0xA5), want = out;
      for (int64_t run = 0; run < count; ++run) {
        std::copy_n(in.begin() + from + run * from_step, bytes, want.begin() + to + run * to_step);
      }
      Team team = turn % 2 == 0 ? Team() : pool.Lease(3);
      Copy(MathFor(GetParam()),
           {.from = in.data() + from,
            .to = out.data() + to,
            .count = count,
            .bytes = bytes,
            .from_step = from_step,
            .to_step = to_step},
           team);
      ASSERT_TRUE(out == want);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Here, CopyOnIsa, testing::ValuesIn(IsasHere()),
                         [](const auto& info) { return std::string(IsaName(info.param)); });

}  // namespace
}  // namespace rlx::cpu
