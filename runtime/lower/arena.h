// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace rlx::lower {

// A buffer to place: its size and the closed interval of steps, from 0, during which it holds data.
struct ArenaRequest {
  int64_t bytes = 0;
  int32_t first = 0;
  int32_t last = 0;
};

struct ArenaPlan {
  std::vector<int64_t> offsets;  // per request
  int64_t bytes = 0;             // of the arena
};

// Places buffers so that two that live at the same time do not overlap; offsets are multiples of
// `alignment` (a power of two). Tries several orders and keeps the smallest arena, stopping early
// at one that can hardly be beaten: a sweep over time with a free list, then first fit (each at the
// lowest offset that is free for its whole life) by falling size, by falling size × life, and by
// falling life. So it is never larger than first fit by size. O(n log n + pairs that live
// together); beyond kMaxPairs of those the sweep alone. None when the total overflows int64.
inline constexpr int64_t kMaxPairs = int64_t{1} << 24;
std::optional<ArenaPlan> PlanArena(const std::vector<ArenaRequest>& requests, int64_t alignment);

// No arena for them is smaller: the most that lives at any step, at this alignment. Requires that
// PlanArena succeeds.
int64_t ArenaLowerBound(const std::vector<ArenaRequest>& requests, int64_t alignment);

}  // namespace rlx::lower
