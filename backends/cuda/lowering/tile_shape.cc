// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "backends/cuda/lowering/tile_source.h"

// How a product is cut, as measured on an H200 (docs/performance.md).
namespace rlx::cuda {

std::optional<TileShape> ChooseTile(int64_t m, int64_t n, int64_t k, bool activation) {
  constexpr int64_t kMost = int64_t{1} << 20;
  if (m <= 64 || m > kMost || n > kMost || k > kMost) return std::nullopt;
  TileShape s{.m = m, .n = n, .k = k};
  const int steps = static_cast<int>((k + TileShape::kDepth - 1) / TileShape::kDepth);
  if (m <= 128) {  // a part of w for every processor, and long queues of it
    s.columns = s.Tiles() >= 128 || steps >= 24 ? 64 : 32;
    while (s.split < 4 && s.Tiles() * s.split < 96 && steps >= 24 * s.split) s.split *= 2;
    s.stages = std::clamp(steps / s.split, 2, s.columns == 32 ? 12 : 9);
    return s.Groups() <= 2 * TileShape::kProcessors ? std::optional(s) : std::nullopt;
  }
  if (steps >= 24) return std::nullopt;
  s.groups = 2;
  int64_t least = std::numeric_limits<int64_t>::max();
  for (int columns : {64, 96, 128, 192, 256}) {
    TileShape other = s;
    other.columns = columns;
    const int64_t rounds = (other.Tiles() + TileShape::kProcessors - 1) / TileShape::kProcessors;
    const int64_t cost = rounds * (columns + 64);  // of a tile not all is products
    if ((rounds > 1 && columns < 128) || cost >= least) continue;
    least = cost;
    s.columns = columns;
  }
  s.stages = s.columns == 256 ? 4 : s.columns == 192 ? 5 : 6;
  return activation || s.OneRound() ? std::optional(s) : std::nullopt;
}

int TileShape::Strip() const { return columns % 64 == 0 && n % 64 == 0 ? 64 : 32; }

int64_t TileShape::Tiles() const {
  const int64_t rows = 64 * groups;
  return (m + rows - 1) / rows * ((n + columns - 1) / columns);
}

int64_t TileShape::SharedBytes() const {
  const int64_t out = OneRound() ? 0 : int64_t{4} * groups * 16 * kOutPitch;
  return int64_t{stages} * 128 * (64 * groups + columns) + out + 1024;  // to begin at a multiple
}

int64_t TileShape::Groups() const {
  return OneRound() ? Tiles() * split : std::min<int64_t>(Tiles(), kProcessors);
}

}  // namespace rlx::cuda
