// SPDX-License-Identifier: Apache-2.0
// The inner kernels of convolution and pooling with channels last over a SIMD wrapper V;
// instantiated in conv_rows_kernels_<isa>.cc.
//
// A convolution is the product of panel_kernels.h whose left rows are windows: a register tile
// takes a place in memory for each of its rows, and walks them all by the same offsets. Nothing is
// unfolded.
#pragma once

#include "backends/cpu/math/conv_rows_task.h"
#include "backends/cpu/math/panel_kernels.h"
#include "backends/cpu/math/taps.h"

namespace rlx::cpu {

// One register tile over a chunk of k: `segments` runs, of each `tile.depth` floats from `k` on.
struct WindowTile {
  TileTask tile;
  const float* const* places = nullptr;
  const int64_t* offsets = nullptr;
  int64_t segments = 0, k = 0;
};

template <class V, int mr, int nv>
[[gnu::always_inline]] inline void WindowStep(Tile<V, mr, nv>& tile, const float* const (&a)[mr],
                                              int64_t k, const float* b) {
  typename V::F row[nv];
#pragma GCC unroll 16
  for (int v = 0; v < nv; ++v) row[v] = V::Load(b + v * V::kLanes);
#pragma GCC unroll 16
  for (int i = 0; i < mr; ++i) {
    const typename V::F x = V::Set(a[i][k]);
#pragma GCC unroll 16
    for (int v = 0; v < nv; ++v) V::Accumulate(tile.sum[i][v], x, row[v]);
  }
}

template <class V, int mr, int nv>
[[gnu::noinline]] void RunWindowTile(const WindowTile& w) {
  const TileTask& t = w.tile;
  Tile<V, mr, nv> tile;
  FetchResults<V, mr, nv>(t, t.depth * w.segments);
  t.first ? tile.Clear() : tile.Load(t.c, t.ldc, t.tail);
  constexpr int kRowOfB = nv * V::kLanes;
  const float* b = t.b;
  const char* ahead = t.ahead;
  const int64_t depth = t.depth;
  for (int64_t s = 0; s < w.segments; ++s) {
    const float* a[mr];
#pragma GCC unroll 16
    for (int i = 0; i < mr; ++i) a[i] = w.places[i] + w.offsets[s] + w.k;
    int64_t k = 0;
    for (; k + 4 <= depth; k += 4, b += 4 * kRowOfB) {
      for (const char* end = ahead + t.ahead_bytes; ahead < end; ahead += kCacheLine) {
        __builtin_prefetch(ahead, 0, 2);
      }
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u) WindowStep<V, mr, nv>(tile, a, k + u, b + u * kRowOfB);
    }
    for (; k < depth; ++k, b += kRowOfB) WindowStep<V, mr, nv>(tile, a, k, b);
  }
  if (t.last) EndTile(tile, t);
  tile.Store(t.c, t.ldc, t.tail);
}

template <class V, int nv, int mr = V::kTileRows>
[[gnu::always_inline]] inline void RunWindowTileOf(int64_t rows, const WindowTile& t) {
  if constexpr (mr > 0) {
    rows == mr ? RunWindowTile<V, mr, nv>(t) : RunWindowTileOf<V, nv, mr - 1>(rows, t);
  }
}

// How k is cut: so many whole segments at a time, or each into pieces, that B of a chunk stays in
// L1 while the rows pass over it.
struct WindowChunks {
  int64_t segments, depth;
};
template <class V>
[[gnu::always_inline]] inline WindowChunks ChunksOf(const WindowRowsTask& t) {
  if (t.out.rows <= V::kTileRows) return {t.segments, t.depth};
  if (t.depth <= kChunk<V>) {
    const int64_t chunks = CeilDiv(t.segments * t.depth, kChunk<V>);
    return {CeilDiv(t.segments, chunks), t.depth};
  }
  return {1, RoundUp(CeilDiv(t.depth, CeilDiv(t.depth, kChunk<V>)), 4)};
}

// All rows against one chunk of B.
template <class V, int nv>
[[gnu::always_inline]] inline void RunWindowChunk(const WindowRowsTask& t, WindowTile& w) {
  const PanelTask& out = t.out;
  for (int64_t i = 0, rows; i < out.rows; i += rows) {
    rows = NextRows<V>(out.rows - i);
    w.places = t.places + i;
    w.tile.c = out.c + i * out.ldc;
    PlanResidual<V, nv>(out, i, i + rows, w.tile);
    RunWindowTileOf<V, nv>(rows, w);
    w.tile.ahead += w.segments * (w.tile.depth / 4) * w.tile.ahead_bytes;
    if (w.tile.last && w.tile.ending.later) Finish<V>(out, i, i + rows);
  }
}

template <class V, int nv>
[[gnu::noinline]] void RunWindowRows(const WindowRowsTask& t) {
  const PanelTask& out = t.out;
  const WindowChunks chunks = ChunksOf<V>(t);
  const int64_t tiles = CeilDiv(out.rows, V::kTileRows);
  WindowTile w{
      .tile = {.b = out.b,
               .ldc = out.ldc,
               .tail = out.columns - (nv - 1) * V::kLanes,
               .bias = out.bias,
               .ending = EndingOf(out.activation, out.residual != nullptr && !out.residual_first),
               .ld_residual = out.ld_residual}};
  for (int64_t s = 0; s < t.segments; s += chunks.segments) {
    w.offsets = t.offsets + s;
    w.segments = Least(chunks.segments, t.segments - s);
    for (int64_t k = 0; k < t.depth; k += chunks.depth) {
      w.k = k;
      w.tile.depth = Least(chunks.depth, t.depth - k);
      w.tile.first = s == 0 && k == 0;
      w.tile.last = s + w.segments == t.segments && k + w.tile.depth == t.depth;
      const float* after = w.tile.b + w.segments * w.tile.depth * nv * V::kLanes;
      PlanAhead<V, nv>(tiles, w.tile.last ? out.next_b : after, w.tile);
      RunWindowChunk<V, nv>(t, w);
      w.tile.b = after;
    }
  }
}

template <class V>
void WindowRows(const WindowRowsTask& t) {
  if constexpr (V::kTileVectors >= 3) {
    if (t.out.vectors == 3) return RunWindowRows<V, 3>(t);
  }
  t.out.vectors == 2 ? RunWindowRows<V, 2>(t) : RunWindowRows<V, 1>(t);
}

// The pool of one place for up to `nv` vectors of channels. Means add up row by row of the window,
// so that large windows lose little.
template <class V, bool largest, int nv>
[[gnu::always_inline]] inline void PoolPlace(const PoolRowsTask& t, int64_t y, int64_t x,
                                             int64_t channel, int tail) {
  using F = typename V::F;
  constexpr int kLanes = V::kLanes;
  const Window2d& w = *t.window;
  const TapRange rows = TapsAt(y, w.stride_h, w.pad_top, w.dilation_h, w.kernel_h, w.in_h);
  const TapRange columns = TapsAt(x, w.stride_w, w.pad_left, w.dilation_w, w.kernel_w, w.in_w);
  F all[nv];
#pragma GCC unroll 4
  for (int v = 0; v < nv; ++v) all[v] = largest ? V::Set(-__builtin_huge_valf()) : V::Zero();
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    const int64_t row = y * w.stride_h + i * w.dilation_h - w.pad_top;
    F part[nv];
#pragma GCC unroll 4
    for (int v = 0; v < nv; ++v) part[v] = largest ? all[v] : V::Zero();
    for (int64_t j = columns.begin; j < columns.end; ++j) {
      const int64_t column = x * w.stride_w + j * w.dilation_w - w.pad_left;
      const float* in = t.x + (row * w.in_w + column) * t.all_channels + channel;
#pragma GCC unroll 4
      for (int v = 0; v < nv; ++v) {
        const F value = v < nv - 1 || tail == kLanes ? V::Load(in + v * kLanes)
                                                     : V::LoadN(in + v * kLanes, tail);
        part[v] = largest ? V::Max(value, part[v]) : V::Add(part[v], value);  // a NaN is no maximum
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < nv; ++v) all[v] = largest ? part[v] : V::Add(all[v], part[v]);
  }
  const int64_t taps =
      t.whole_window ? w.taps() : (rows.end - rows.begin) * (columns.end - columns.begin);
  const F factor = V::Set(1.0f / static_cast<float>(taps));
  float* out = t.y + (y * w.out_w + x) * t.all_channels + channel;
#pragma GCC unroll 4
  for (int v = 0; v < nv; ++v) {
    const F value = largest ? all[v] : V::Mul(all[v], factor);
    V::StoreN(out + v * kLanes, value, v < nv - 1 ? kLanes : tail);
  }
}

template <class V, bool largest>
[[gnu::noinline]] void PoolRowsBy(const PoolRowsTask& t) {
  constexpr int kLanes = V::kLanes;
  const int64_t end = t.channel + t.channels;
  for (int64_t y = t.row; y < t.row + t.rows; ++y) {
    for (int64_t x = 0; x < t.window->out_w; ++x) {
      int64_t c = t.channel;
      for (; c + 4 * kLanes <= end; c += 4 * kLanes) {
        PoolPlace<V, largest, 4>(t, y, x, c, kLanes);
      }
      for (; c < end; c += kLanes) {
        PoolPlace<V, largest, 1>(t, y, x, c, static_cast<int>(Least(end - c, kLanes)));
      }
    }
  }
}

template <class V>
void PoolRows(const PoolRowsTask& t) {
  t.largest ? PoolRowsBy<V, true>(t) : PoolRowsBy<V, false>(t);
}

}  // namespace rlx::cpu
