// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/copy.h"

#include <algorithm>

#include "backends/cpu/math/copy_task.h"
#include "runtime/base/thread_pool.h"

namespace rlx::cpu {
namespace {

// A run is cut into pieces of so many bytes at most, so that threads end at about one time.
constexpr int64_t kPieceBytes = 64 << 10;
// Less than this costs less than handing it over.
constexpr int64_t kAloneBytes = 128 << 10;
// What a core's own cache keeps: each thread then takes one part, which it probably meets again in
// whatever reads the copy.
constexpr int64_t kOwnBytes = 512 << 10;

int64_t Grain(int64_t bytes, int64_t units, int threads) {
  if (bytes < kAloneBytes) return units;
  if (bytes <= threads * kOwnBytes) return (units + threads - 1) / threads;
  return std::max<int64_t>(1, units / (int64_t{4} * threads));
}

}  // namespace

void Copy(const MathKernels& kernels, const CopyRuns& copy, Team& team) {
  const int64_t pieces = std::max<int64_t>(1, (copy.bytes + kPieceBytes - 1) / kPieceBytes);
  const int64_t size = (copy.bytes + pieces - 1) / pieces, units = copy.count * pieces;
  const int64_t grain = Grain(copy.count * copy.bytes, units, team.size());
  team.ParallelFor(0, units, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t u = begin; u < end; ++u) {
      const int64_t run = u / pieces, at = u % pieces * size;
      kernels.copy_run({.from = static_cast<const char*>(copy.from) + run * copy.from_step + at,
                        .to = static_cast<char*>(copy.to) + run * copy.to_step + at,
                        .bytes = std::min(size, copy.bytes - at)});
    }
  });
}

}  // namespace rlx::cpu
