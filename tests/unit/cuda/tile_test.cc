// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "backends/cuda/api.h"
#include "backends/cuda/compile.h"
#include "backends/cuda/launch_notes.h"
#include "backends/cuda/lowering/tile_source.h"
#include "backends/cuda/object.h"
#include "runtime/base/status.h"
#include "runtime/kernel/kernel.h"

namespace rlx::cuda {
namespace {

TEST(TileShape, CutsWhatWasMeasured) {
  const auto few = ChooseTile(128, 768, 3072, false);
  ASSERT_TRUE(few.has_value());
  EXPECT_EQ(few->split, 4);
  EXPECT_EQ(few->Groups(), 12 * 2 * 4);
  const auto one_round = ChooseTile(1024, 3072, 768, true);
  ASSERT_TRUE(one_round.has_value());
  EXPECT_EQ(one_round->columns, 192);
  EXPECT_EQ(one_round->Groups(), 8 * 16);
  EXPECT_TRUE(one_round->OneRound());
  const auto rounds = ChooseTile(4096, 3072, 768, true);
  ASSERT_TRUE(rounds.has_value());
  EXPECT_EQ(rounds->columns, 256);
  EXPECT_EQ(rounds->Groups(), TileShape::kProcessors);
}

TEST(TileShape, LeavesTheRest) {
  EXPECT_FALSE(ChooseTile(1, 768, 768, true));
  EXPECT_FALSE(ChooseTile(64, 768, 768, true));
  EXPECT_FALSE(ChooseTile(4096, 768, 3072, true));
  EXPECT_FALSE(ChooseTile(4096, 2304, 768, false));
  EXPECT_FALSE(ChooseTile(128, 50304, 768, true));
  EXPECT_FALSE(ChooseTile(int64_t{1} << 40, 768, 768, true));
}

// Whatever is chosen fits into a workgroup's shared memory, with what the kernel declares itself.
TEST(TileShape, FitsAlways) {
  int chosen = 0;
  for (int64_t m : {65, 100, 128, 129, 500, 1024, 4096, 100000}) {
    for (int64_t n = 32; n < 4000; n += 32 * 5) {
      for (int64_t k : {8, 64, 200, 768, 1500, 3072, 20000}) {
        const auto s = ChooseTile(m, n, k, n % 64 == 0);
        if (!s) continue;
        ++chosen;
        const int64_t declared = 8 * s->groups * s->columns + 16 * s->stages;
        EXPECT_LE(s->SharedBytes() + declared, LaunchNotes::kMostShared)
            << m << " " << n << " " << k;
        EXPECT_GE(s->stages, 2);
        EXPECT_GE((k + 63) / 64, s->split);
      }
    }
  }
  EXPECT_GT(chosen, 200);
}

TEST(TileSource, SaysWhatItsLaunchTakes) {
  TileShape s = *ChooseTile(100, 96, 200, false);
  s.x_row = 208;
  s.w_row = 104;
  const auto notes = NotesOfSource(TileSource(s));
  ASSERT_TRUE(notes.has_value());
  EXPECT_TRUE(notes->waits);
  EXPECT_EQ(notes->shared_bytes, s.SharedBytes());
  ASSERT_EQ(notes->maps.size(), 2u);
  EXPECT_EQ(notes->maps[0].Bytes(), 99 * 416 + 400);
  EXPECT_EQ(notes->maps[1].Bytes(), 199 * 208 + 192);
}

TEST(TileSource, CompilesInEveryForm) {
  const auto nvrtc = Nvrtc::Load();
  if (!nvrtc.ok()) GTEST_SKIP() << "NOTHING IS COMPILED: " << Message(nvrtc.status());
  std::vector<kernel::Kernel> kernels;
  int roles = 0;
  for (DType dtype : {DType::kF16, DType::kBF16}) {
    for (int64_t m : {100, 300, 2000}) {
      for (int64_t n : {96, 768, 2304}) {
        TileShape s = *ChooseTile(m, n, m == 100 ? 3072 : 200, true);
        s.dtype = dtype;
        s.activation = roles % 3 == 0 ? "none" : roles % 3 == 1 ? "relu" : "gelu";
        s.bias = (roles & 1) != 0;
        s.residual = (roles & 2) != 0;
        s.fixed = (roles++ & 4) != 0;
        kernels.push_back(
            {.name = Cat("k", kernels.size()), .local = s.Lanes(), .source = TileSource(s)});
      }
    }
  }
  const auto object = CompileToCubin(*nvrtc, kernels, "sm_90", {});
  ASSERT_TRUE(object.ok()) << object.status();
  EXPECT_EQ(ReadObject(*object)->front().kernels.size(), kernels.size());
}

}  // namespace
}  // namespace rlx::cuda
