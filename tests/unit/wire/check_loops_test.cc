// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <random>

#include "runtime/base/text.h"
#include "runtime/wire/artifact.h"

// Random nests of loops around copies: a program is refused exactly when some turn of some loop
// would put a buffer outside its arena.
namespace rlx::wire {
namespace {

using device::LoopParts;
using device::Program;
using device::Step;

constexpr int64_t kArena = 96;
constexpr int kBuffers = 6;

class Draft {
 public:
  explicit Draft(uint64_t seed) : rng_(seed) {}

  Program Make() {
    Program p;
    p.arena_bytes = kArena;
    for (int b = 0; b < kBuffers; ++b) {
      p.buffers.push_back({Storage::kArena, 0, Draw(0, kArena - 8), 8});
    }
    p.buffers.push_back({Storage::kArena, 0, 0, 1});  // condition
    for (int64_t n = Draw(1, 2); n > 0; --n) p.steps.push_back(Loop(2));
    return p;
  }

 private:
  int64_t Draw(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(rng_);
  }

  Step Copy() {
    return {.kind = Step::Kind::kCopy,
            .buffers = {int32_t(Draw(0, kBuffers - 1)), int32_t(Draw(0, kBuffers - 1))}};
  }

  std::vector<Step> Body(int depth) {
    std::vector<Step> body;
    for (int64_t n = Draw(0, 1); n > 0; --n) body.push_back(Copy());
    if (depth > 0 && Draw(0, 2) == 0) body.push_back(Loop(depth - 1));
    return body;
  }

  Step Loop(int depth) {
    Step loop{.kind = Step::Kind::kLoop};
    const bool condition = Draw(0, 1) == 1;
    loop.buffers = {condition ? kBuffers : -1};
    loop.ints = {Draw(1, 4), condition ? Draw(0, 1) : 0, 0};
    loop.bodies = {condition ? Body(depth) : std::vector<Step>(), Body(depth), Body(depth)};
    for (int32_t b = 0; b < kBuffers; ++b) {
      if (Draw(0, 2) > 0) continue;
      loop.buffers.push_back(b);
      loop.ints.push_back(8 * Draw(-3, 3));
    }
    loop.ints[LoopParts::kSwinging] = Draw(0, static_cast<int64_t>(loop.buffers.size()) - 1);
    return loop;
  }

  std::mt19937_64 rng_;
};

// Whether a copy in `steps` is in place wherever the loops around it may be.
bool InPlace(const Program& p, const std::vector<Step>& steps, const std::vector<int64_t>& moved) {
  for (const Step& step : steps) {
    for (int32_t b : step.buffers) {
      if (b < 0) continue;
      const int64_t at = p.buffers[b].offset + moved[b];
      if (at < 0 || at + p.buffers[b].bytes > kArena) return false;
    }
    if (step.kind != Step::Kind::kLoop) continue;
    const LoopParts loop(step);
    for (int64_t turn = 0; turn <= loop.most; ++turn) {
      std::vector<int64_t> now = moved;
      for (size_t m = 0; m < loop.moving.size(); ++m) {
        now[loop.moving[m]] += loop.strides[m] * (m < loop.swinging ? turn % 2 : turn);
      }
      const bool last = turn == loop.most;
      if ((!last || loop.must_end) && !InPlace(p, step.bodies[LoopParts::kHolds], now))
        return false;
      if (!last && !InPlace(p, step.bodies[LoopParts::kTurn], now)) return false;
      if (!InPlace(p, step.bodies[LoopParts::kLeave], now)) return false;
    }
  }
  return true;
}

TEST(CheckLoops, RefusesExactlyWhatLeavesItsPlace) {
  int sound = 0, refused = 0;
  for (uint64_t seed = 1; seed <= 4000; ++seed) {
    const Program p = Draft(seed).Make();
    const bool in_place = InPlace(p, p.steps, std::vector<int64_t>(p.buffers.size()));
    const absl::Status status = CheckProgram(p);
    ASSERT_EQ(status.ok(), in_place) << "seed " << seed << ": " << Cat(status);
    ++(in_place ? sound : refused);
  }
  EXPECT_GT(sound, 400);
  EXPECT_GT(refused, 400);
}

}  // namespace
}  // namespace rlx::wire
