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
#pragma GCC unroll 16
  for (int i = 0; i < mr; ++i) {
    __builtin_prefetch(t.c + i * t.ldc, 1);
    __builtin_prefetch(t.c + i * t.ldc + nv * V::kLanes - 1, 1);
  }
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
  if (t.last) tile.ScaleAndBias(t.alpha, t.bias, t.row_bias, t.tail);
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
    if (w.tile.last) FetchResidual<V, nv>(out, i, i + rows);
    RunWindowTileOf<V, nv>(rows, w);
    w.tile.ahead += w.segments * (w.tile.depth / 4) * w.tile.ahead_bytes;
    if (w.tile.last) Finish<V>(out, i, i + rows);
  }
}

template <class V, int nv>
[[gnu::noinline]] void RunWindowRows(const WindowRowsTask& t) {
  const PanelTask& out = t.out;
  const WindowChunks chunks = ChunksOf<V>(t);
  const int64_t tiles = CeilDiv(out.rows, V::kTileRows);
  WindowTile w{.tile = {.b = out.b,
                        .ldc = out.ldc,
                        .tail = out.columns - (nv - 1) * V::kLanes,
                        .bias = out.bias}};
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

// Of `kernel` taps, those that an output place finds inside [0, in): [begin, end).
struct TapRange {
  int64_t begin, end;
};
[[gnu::always_inline]] inline TapRange TapsAt(int64_t out, int64_t stride, int64_t pad,
                                              int64_t dilation, int64_t kernel, int64_t in) {
  const int64_t at = out * stride - pad;
  const int64_t begin = at >= 0 ? 0 : CeilDiv(-at, dilation);
  const int64_t end = at >= in ? 0 : Least(kernel, CeilDiv(in - at, dilation));
  return {Least(begin, kernel), Most(end, Least(begin, kernel))};
}

template <class V, bool whole>
[[gnu::always_inline]] inline typename V::F LoadLanes(const float* p, int n) {
  if constexpr (whole) return V::Load(p);
  return V::LoadN(p, n);
}

// Outputs [x, x + count) of row y of a depthwise convolution, `n` channels from `channel` on, with
// taps `columns` of `rows` inside the image for all of them. `kernel`: its width where all columns
// are inside and it is known when compiled, else 0.
template <class V, int count, int kernel, bool whole>
[[gnu::always_inline]] inline void DepthwiseOutputs(const DepthwiseRowsTask& t, int64_t y,
                                                    int64_t x, TapRange rows, TapRange columns,
                                                    int64_t channel, int n) {
  using F = typename V::F;
  const Window2d& w = *t.window;
  const int64_t step = w.stride_w * t.all_channels, tap = w.dilation_w * t.all_channels;
  const F bias = t.bias == nullptr ? V::Zero() : LoadLanes<V, whole>(t.bias + channel, n);
  F sum[count];
#pragma GCC unroll 8
  for (int r = 0; r < count; ++r) sum[r] = bias;
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    const int64_t row = y * w.stride_h + i * w.dilation_h - w.pad_top;
    const int64_t place = row * w.in_w + x * w.stride_w - w.pad_left;
    const float* in = t.x + place * t.all_channels + channel;
    const float* taps = t.w + i * w.kernel_w * t.all_channels + channel;
    const int64_t begin = kernel > 0 ? 0 : columns.begin, end = kernel > 0 ? kernel : columns.end;
#pragma GCC unroll 5
    for (int64_t j = begin; j < end; ++j) {
      const F weight = LoadLanes<V, whole>(taps + j * t.all_channels, n);
#pragma GCC unroll 8
      for (int r = 0; r < count; ++r) {
        sum[r] = V::Fma(LoadLanes<V, whole>(in + r * step + j * tap, n), weight, sum[r]);
      }
    }
  }
  float* out = t.y + (y * w.out_w + x) * t.all_channels + channel;
#pragma GCC unroll 8
  for (int r = 0; r < count; ++r) {
    whole ? V::Store(out + r * t.all_channels, sum[r])
          : V::StoreN(out + r * t.all_channels, sum[r], n);
  }
}

// The same for all channels of the task: they are neighbours, so every place is one run of memory.
// What the next row of outputs reads first is fetched meanwhile.
template <class V, int count, int kernel>
[[gnu::noinline]] void DepthwisePlaces(const DepthwiseRowsTask& t, int64_t y, int64_t x,
                                       TapRange rows, TapRange columns) {
  const Window2d& w = *t.window;
  const int64_t end = t.channel + t.channels, step = w.stride_w * t.all_channels;
  const int64_t below = (y + 1) * w.stride_h + (w.kernel_h - 1) * w.dilation_h - w.pad_top;
  const int64_t ahead = Least(below, w.in_h - 1) * w.in_w + x * w.stride_w;
  int64_t c = t.channel;
  for (; c + V::kLanes <= end; c += V::kLanes) {
#pragma GCC unroll 8
    for (int r = 0; r < count; ++r) {
      __builtin_prefetch(t.x + ahead * t.all_channels + c + r * step, 0, 2);
    }
    DepthwiseOutputs<V, count, kernel, true>(t, y, x, rows, columns, c, V::kLanes);
  }
  if (c == end) return;
  DepthwiseOutputs<V, count, kernel, false>(t, y, x, rows, columns, c, static_cast<int>(end - c));
}

template <class V>
[[gnu::always_inline]] inline void DepthwiseEdge(const DepthwiseRowsTask& t, int64_t y, int64_t x,
                                                 TapRange rows) {
  const Window2d& w = *t.window;
  const TapRange columns = TapsAt(x, w.stride_w, w.pad_left, w.dilation_w, w.kernel_w, w.in_w);
  DepthwisePlaces<V, 1, 0>(t, y, x, rows, columns);
}

template <class V, int kernel>
[[gnu::noinline]] void DepthwiseRow(const DepthwiseRowsTask& t, int64_t y) {
  const Window2d& w = *t.window;
  const TapRange rows = TapsAt(y, w.stride_h, w.pad_top, w.dilation_h, w.kernel_h, w.in_h);
  const int64_t slack = w.in_w - 1 - (w.kernel_w - 1) * w.dilation_w + w.pad_left;
  const int64_t inner = Least(CeilDiv(w.pad_left, w.stride_w), w.out_w);
  const int64_t outer = slack < 0 ? inner : Most(inner, Least(slack / w.stride_w + 1, w.out_w));
  const TapRange all{0, w.kernel_w};
  int64_t x = 0;
  for (; x < inner; ++x) DepthwiseEdge<V>(t, y, x, rows);
  for (; x + 6 <= outer; x += 6) DepthwisePlaces<V, 6, kernel>(t, y, x, rows, all);
  for (; x + 3 <= outer; x += 3) DepthwisePlaces<V, 3, kernel>(t, y, x, rows, all);
  for (; x < outer; ++x) DepthwisePlaces<V, 1, kernel>(t, y, x, rows, all);
  for (; x < w.out_w; ++x) DepthwiseEdge<V>(t, y, x, rows);
}

template <class V>
void DepthwiseRows(const DepthwiseRowsTask& t) {
  const Window2d& w = *t.window;
  for (int64_t y = t.row; y < t.row + t.rows; ++y) {
    switch (w.kernel_w) {
      case 3:
        DepthwiseRow<V, 3>(t, y);
        break;
      case 5:
        DepthwiseRow<V, 5>(t, y);
        break;
      default:
        DepthwiseRow<V, 0>(t, y);
    }
    const int64_t at = y * w.out_w * t.all_channels + t.channel;
    Finish<V>({.columns = static_cast<int>(t.channels),
               .c = t.y + at,
               .ldc = t.all_channels,
               .activation = t.activation,
               .residual = t.residual == nullptr ? nullptr : t.residual + at,
               .ld_residual = t.all_channels,
               .residual_first = true},
              0, w.out_w);
  }
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
