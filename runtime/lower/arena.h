// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace rlx::lower {

// A buffer to place: its size and the closed interval of steps during which it holds data.
struct ArenaRequest {
  int64_t bytes = 0;
  int32_t first = 0;
  int32_t last = 0;
};

struct ArenaPlan {
  std::vector<int64_t> offsets;  // per request
  int64_t bytes = 0;             // of the arena
};

// Places buffers so that two that live at the same time do not overlap. Largest first, each at the
// lowest offset that is free for its whole life (first fit); offsets are multiples of `alignment`
// (a power of two). Beyond kExactRequests the quadratic search gives way to one sweep over time
// with a free list, which wastes a little. None when the total overflows int64.
inline constexpr size_t kExactRequests = 4096;
std::optional<ArenaPlan> PlanArena(const std::vector<ArenaRequest>& requests, int64_t alignment);

}  // namespace rlx::lower
