// SPDX-License-Identifier: Apache-2.0
// The inner kernels of the matrix product over a SIMD wrapper V: packing one panel of B, and the
// product of all rows with one panel. Instantiated once per ISA in panel_kernels_<isa>.cc.
//
// A register tile is kTileRows x kTileVectors vectors of C; accumulators, one row of B and one
// value of A fill the register file. Between chunks of k the raw sums wait in C and are loaded
// again, so that every element is one chain of additions in ascending k however the work is cut.
#pragma once

#include "backends/cpu/math/panel_task.h"
#include "backends/cpu/math/simd_common.h"
#include "backends/cpu/math/simd_math.h"

namespace rlx::cpu {

// B of one chunk (kChunk x panel) and A of one tile stay in L1 while the rows pass over them.
template <class V>
inline constexpr int64_t kChunk = 9216 / (V::kLanes * V::kTileVectors);

inline constexpr int64_t kCacheLine = 64;
inline constexpr int64_t kLoneDistance = 4096;  // bytes

// How finished sums leave the registers. Residuals, bounds and hard swish cost little enough to be
// applied there. Other activations go over rows just stored (FinishRows): in registers they would
// multiply the variants of tiles.
struct Ending {
  bool later = false;  // all of it by FinishRows
  bool bounds = false, swish = false;
  float low = -__builtin_huge_valf(), high = __builtin_huge_valf();
};
[[gnu::always_inline]] inline Ending EndingOf(const Activation& a, bool residual_comes_last) {
  Ending e;
  e.swish = a.kind == Act::kHardSwish;
  e.bounds = a.kind == Act::kRelu || a.kind == Act::kClip;
  const bool cheap = e.bounds || e.swish;
  if (a.kind != Act::kNone && (residual_comes_last || !cheap)) return {.later = true};
  if (e.bounds) e.low = a.kind == Act::kClip ? a.p : 0;
  if (a.kind == Act::kClip) e.high = a.q;
  return e;
}

template <class V, int mr, int nv>
struct Tile {
  using F = typename V::F;
  static constexpr int kLanes = V::kLanes;
  F sum[mr][nv];

  [[gnu::always_inline]] void Clear() {
#pragma GCC unroll 16
    for (int i = 0; i < mr; ++i) {
#pragma GCC unroll 16
      for (int v = 0; v < nv; ++v) sum[i][v] = V::Zero();
    }
  }

  [[gnu::always_inline]] void Load(const float* c, int64_t ldc, int tail) {
#pragma GCC unroll 16
    for (int i = 0; i < mr; ++i) {
      const float* row = c + i * ldc;
#pragma GCC unroll 16
      for (int v = 0; v < nv - 1; ++v) sum[i][v] = V::Load(row + v * kLanes);
      const float* last = row + (nv - 1) * kLanes;
      sum[i][nv - 1] = tail == kLanes ? V::Load(last) : V::LoadN(last, tail);
    }
  }

  [[gnu::always_inline]] void Store(float* c, int64_t ldc, int tail) const {
#pragma GCC unroll 16
    for (int i = 0; i < mr; ++i) {
      float* row = c + i * ldc;
#pragma GCC unroll 16
      for (int v = 0; v < nv - 1; ++v) V::Store(row + v * kLanes, sum[i][v]);
      float* last = row + (nv - 1) * kLanes;
      tail == kLanes ? V::Store(last, sum[i][nv - 1]) : V::StoreN(last, sum[i][nv - 1], tail);
    }
  }

  [[gnu::always_inline]] void Step(const float* a, int64_t lda, const float* b) {
    F row[nv];
#pragma GCC unroll 16
    for (int v = 0; v < nv; ++v) row[v] = V::Load(b + v * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < mr; ++i) {
      const F x = V::Set(a[i * lda]);
#pragma GCC unroll 16
      for (int v = 0; v < nv; ++v) V::Accumulate(sum[i][v], x, row[v]);
    }
  }

  [[gnu::always_inline]] void ScaleAndBias(float alpha, const float* bias, const float* row_bias,
                                           int tail) {
    F add[nv];
#pragma GCC unroll 16
    for (int v = 0; v < nv; ++v) {
      const float* p = bias + v * kLanes;
      const bool whole = v < nv - 1 || tail == kLanes;
      add[v] = bias == nullptr ? V::Zero() : whole ? V::Load(p) : V::LoadN(p, tail);
    }
    const F scale = V::Set(alpha);
#pragma GCC unroll 16
    for (int i = 0; i < mr; ++i) {
      const F shift = row_bias == nullptr ? V::Zero() : V::Set(row_bias[i]);
#pragma GCC unroll 16
      for (int v = 0; v < nv; ++v) sum[i][v] = V::Fma(sum[i][v], scale, V::Add(add[v], shift));
    }
  }

  [[gnu::always_inline]] void AddResidual(const float* residual, int64_t ld, int tail) {
#pragma GCC unroll 16
    for (int i = 0; i < mr; ++i) {
      const float* row = residual + i * ld;
#pragma GCC unroll 16
      for (int v = 0; v < nv - 1; ++v) sum[i][v] = V::Add(sum[i][v], V::Load(row + v * kLanes));
      const float* last = row + (nv - 1) * kLanes;
      const F rest = tail == kLanes ? V::Load(last) : V::LoadN(last, tail);
      sum[i][nv - 1] = V::Add(sum[i][nv - 1], rest);
    }
  }

  [[gnu::always_inline]] void Bound(F low, F high) {
#pragma GCC unroll 16
    for (int i = 0; i < mr; ++i) {
#pragma GCC unroll 16
      for (int v = 0; v < nv; ++v) sum[i][v] = V::Min(high, V::Max(low, sum[i][v]));
    }
  }

  [[gnu::always_inline]] void Swish() {
#pragma GCC unroll 16
    for (int i = 0; i < mr; ++i) {
#pragma GCC unroll 16
      for (int v = 0; v < nv; ++v) sum[i][v] = HardSwish<V>(sum[i][v]);
    }
  }
};

// One register tile over `depth` steps of k.
struct TileTask {
  const float* a = nullptr;
  int64_t lda = 0;
  const float* b = nullptr;
  int64_t depth = 0;
  float* c = nullptr;
  int64_t ldc = 0;
  int tail = 0;                    // columns in the last vector
  bool first = true, last = true;  // chunk of k: start from zero, finish with scale and bias
  float alpha = 1;
  const float* bias = nullptr;
  const float* row_bias = nullptr;
  Ending ending = {};
  const float* residual = nullptr;  // unless it comes later
  int64_t ld_residual = 0;
  const char* ahead = nullptr;  // bytes of B to fetch meanwhile,
  int64_t ahead_bytes = 0;      // so many every four steps
};

// Has the lines there that results go to: a store to a line that is elsewhere waits for it. Tiles
// of few steps are over before that, and fetch for the tile below.
template <class V, int mr, int nv>
[[gnu::always_inline]] inline void FetchResults(const TileTask& t, int64_t steps) {
  constexpr int64_t kFewSteps = 96;
  const float* c = steps < kFewSteps ? t.c + mr * t.ldc : t.c;
#pragma GCC unroll 16
  for (int i = 0; i < mr; ++i) {
    const char* row = reinterpret_cast<const char*>(c + i * t.ldc);
    constexpr int64_t kBytes = nv * V::kLanes * static_cast<int64_t>(sizeof(float));
#pragma GCC unroll 4
    for (int64_t at = 0; at < kBytes; at += kCacheLine) __builtin_prefetch(row + at, 1);
    __builtin_prefetch(row + kBytes - 1, 1);
  }
}

// From sums to results.
template <class V, int mr, int nv>
[[gnu::always_inline]] inline void EndTile(Tile<V, mr, nv>& tile, const TileTask& t) {
  tile.ScaleAndBias(t.alpha, t.bias, t.row_bias, t.tail);
  if (t.residual != nullptr) tile.AddResidual(t.residual, t.ld_residual, t.tail);
  if (t.ending.bounds) tile.Bound(V::Set(t.ending.low), V::Set(t.ending.high));
  if (t.ending.swish) tile.Swish();
}

template <class V, int mr, int nv>
[[gnu::noinline]] void RunTile(const TileTask& t) {
  Tile<V, mr, nv> tile;
  FetchResults<V, mr, nv>(t, t.depth);
  t.first ? tile.Clear() : tile.Load(t.c, t.ldc, t.tail);
  constexpr int kRowOfB = nv * V::kLanes;
  const float* a = t.a;
  const float* b = t.b;
  const int64_t lda = t.lda;
  int64_t k = t.depth;
  const char* ahead = t.ahead;
  for (; k >= 4; k -= 4, a += 4, b += 4 * kRowOfB) {
    for (const char* end = ahead + t.ahead_bytes; ahead < end; ahead += kCacheLine) {
      __builtin_prefetch(ahead, 0, 2);
    }
#pragma GCC unroll 4
    for (int u = 0; u < 4; ++u) tile.Step(a + u, lda, b + u * kRowOfB);
  }
  for (; k > 0; --k, ++a, b += kRowOfB) tile.Step(a, lda, b);
  if (t.last) EndTile(tile, t);
  tile.Store(t.c, t.ldc, t.tail);
}

// act and residual over finished rows, still in L1.
template <class V, Act kind>
[[gnu::noinline]] void FinishRows(const PanelTask& t, int64_t begin, int64_t end) {
  const Activate<V, kind> act(t.activation);
  for (int64_t i = begin; i < end; ++i) {
    float* c = t.c + i * t.ldc;
    const float* r = t.residual == nullptr ? nullptr : t.residual + i * t.ld_residual;
    for (int j = 0; j < t.columns; j += V::kLanes) {
      const int n = t.columns - j < V::kLanes ? t.columns - j : V::kLanes;
      typename V::F x = n == V::kLanes ? V::Load(c + j) : V::LoadN(c + j, n);
      typename V::F add = V::Zero();
      if (r != nullptr) add = n == V::kLanes ? V::Load(r + j) : V::LoadN(r + j, n);
      x = t.residual_first ? act(V::Add(x, add)) : V::Add(act(x), add);
      n == V::kLanes ? V::Store(c + j, x) : V::StoreN(c + j, x, n);
    }
  }
}

template <class V>
void Finish(const PanelTask& t, int64_t begin, int64_t end) {
  using Fn = void (*)(const PanelTask&, int64_t, int64_t);
  static constexpr Fn kByAct[] = {FinishRows<V, Act::kNone>,     FinishRows<V, Act::kRelu>,
                                  FinishRows<V, Act::kClip>,     FinishRows<V, Act::kLeakyRelu>,
                                  FinishRows<V, Act::kSigmoid>,  FinishRows<V, Act::kSilu>,
                                  FinishRows<V, Act::kTanh>,     FinishRows<V, Act::kGeluErf>,
                                  FinishRows<V, Act::kGeluTanh>, FinishRows<V, Act::kHardSigmoid>,
                                  FinishRows<V, Act::kHardSwish>};
  if (t.activation.kind == Act::kNone && t.residual == nullptr) return;
  kByAct[static_cast<int>(t.activation.kind)](t, begin, end);
}

// Has the residual of rows [begin, end) there by the time that their sums are.
template <class V, int nv>
[[gnu::always_inline]] inline void PlanResidual(const PanelTask& t, int64_t begin, int64_t end,
                                                TileTask& tile) {
  if (t.residual == nullptr || !tile.last) return;
  for (int64_t i = begin; i < end; ++i) {
    const char* row = reinterpret_cast<const char*>(t.residual + i * t.ld_residual);
    const int64_t bytes = nv * V::kLanes * static_cast<int64_t>(sizeof(float));
    for (int64_t at = 0; at < bytes; at += kCacheLine) __builtin_prefetch(row + at, 0, 3);
  }
  if (!tile.ending.later) tile.residual = t.residual + begin * t.ld_residual;
}

template <class V, int nv, int mr = V::kTileRows>
[[gnu::always_inline]] inline void RunTileOf(int64_t rows, const TileTask& t) {
  if constexpr (mr > 0) {
    rows == mr ? RunTile<V, mr, nv>(t) : RunTileOf<V, nv, mr - 1>(rows, t);
  }
}

// Whole tiles, then the rest in two even halves: a tile of one row would wait for its own
// additions.
template <class V>
[[gnu::always_inline]] inline int64_t NextRows(int64_t left) {
  constexpr int64_t kRows = V::kTileRows;
  return left >= 2 * kRows ? kRows : left > kRows ? (left + 1) / 2 : left;
}

// Steps of k that one chunk covers. A lone tile reads B once, at the speed of memory: it goes in
// one chunk up to kLoneDistance before the end of the panel.
template <class V, int nv>
[[gnu::always_inline]] inline int64_t ChunkDepth(const PanelTask& t) {
  constexpr int64_t kLoneSteps =
      RoundUp(kLoneDistance / (nv * V::kLanes * static_cast<int64_t>(sizeof(float))), 4);
  if (t.rows > V::kTileRows) return RoundUp(CeilDiv(t.k, CeilDiv(t.k, kChunk<V>)), 4);
  return t.k > 2 * kLoneSteps ? RoundUp(t.k - kLoneSteps, 4) : t.k;
}

// B of this chunk was fetched while the one before was used; spread what the next needs over the
// tiles. A lone tile fetches its own chunk, some way ahead of itself, and at last the next panel.
template <class V, int nv>
[[gnu::always_inline]] inline void PlanAhead(int64_t tiles, const float* next, TileTask& tile) {
  constexpr int64_t kBytes = 4 * nv * V::kLanes * static_cast<int64_t>(sizeof(float));
  tile.ahead_bytes = RoundUp(CeilDiv(kBytes, tiles), kCacheLine);
  const bool own = tiles == 1 && tile.first;
  const float* from = own ? tile.b + kLoneDistance / sizeof(float) : next;
  tile.ahead = reinterpret_cast<const char*>(from);
}

template <class V, int nv>
[[gnu::noinline]] void RunPanel(const PanelTask& t) {
  const int64_t depth = ChunkDepth<V, nv>(t);
  const int64_t tiles = CeilDiv(t.rows, V::kTileRows);
  TileTask tile{.lda = t.lda,
                .ldc = t.ldc,
                .tail = t.columns - (nv - 1) * V::kLanes,
                .alpha = t.alpha,
                .bias = t.bias,
                .ending = EndingOf(t.activation, t.residual != nullptr && !t.residual_first),
                .ld_residual = t.ld_residual};
  for (int64_t k = 0; k < t.k; k += depth) {
    tile.first = k == 0 && !t.accumulate;
    tile.last = k + depth >= t.k;
    tile.depth = tile.last ? t.k - k : depth;
    tile.b = t.b + k * nv * V::kLanes;
    PlanAhead<V, nv>(tiles, tile.last ? t.next_b : tile.b + depth * nv * V::kLanes, tile);
    for (int64_t i = 0, rows; i < t.rows; i += rows) {
      rows = NextRows<V>(t.rows - i);
      tile.a = t.a + i * t.lda + k;
      tile.c = t.c + i * t.ldc;
      tile.row_bias = t.row_bias == nullptr ? nullptr : t.row_bias + i;
      PlanResidual<V, nv>(t, i, i + rows, tile);
      RunTileOf<V, nv>(rows, tile);
      tile.ahead += tile.depth / 4 * tile.ahead_bytes;
      if (tile.last && tile.ending.later) Finish<V>(t, i, i + rows);
    }
  }
}

template <class V>
void GemmPanel(const PanelTask& t) {
  if constexpr (V::kTileVectors >= 3) {
    if (t.vectors == 3) return RunPanel<V, 3>(t);
  }
  t.vectors == 2 ? RunPanel<V, 2>(t) : RunPanel<V, 1>(t);
}

template <class V>
[[gnu::always_inline]] inline void PackRows(const PackTask& t) {
  for (int64_t k = 0; k < t.k; ++k) {
    const float* in = t.b + k * t.ldb;
    float* out = t.out + k * t.vectors * V::kLanes;
    for (int v = 0; v < t.vectors; ++v) {
      const int n = static_cast<int>(Least(t.columns - v * V::kLanes, V::kLanes));
      const float* p = in + v * V::kLanes;
      V::Store(out + v * V::kLanes, n == V::kLanes ? V::Load(p) : V::LoadN(p, n));
    }
  }
}

template <class V>
[[gnu::always_inline]] inline void PackTransposed(const PackTask& t) {
  constexpr int kLanes = V::kLanes;
  const int64_t width = t.vectors * kLanes;
  for (int v = 0; v < t.vectors; ++v) {
    const int64_t columns = Least(t.columns - v * kLanes, kLanes);
    const float* in = t.b + v * kLanes * t.ldb;
    for (int64_t k = 0; k < t.k; k += kLanes) {
      const int steps = static_cast<int>(Least(t.k - k, kLanes));
      typename V::F r[kLanes];
#pragma GCC unroll 16
      for (int j = 0; j < kLanes; ++j) {
        const float* p = in + j * t.ldb + k;
        r[j] = j >= columns ? V::Zero() : steps == kLanes ? V::Load(p) : V::LoadN(p, steps);
      }
      V::Transpose(r);
      float* out = t.out + k * width + v * kLanes;
#pragma GCC unroll 16
      for (int j = 0; j < kLanes; ++j) {
        if (j < steps) V::Store(out + j * width, r[j]);
      }
    }
  }
}

template <class V>
void PackPanel(const PackTask& t) {
  t.transposed ? PackTransposed<V>(t) : PackRows<V>(t);
}

}  // namespace rlx::cpu
