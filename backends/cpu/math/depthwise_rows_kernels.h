// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution with channels last over a SIMD wrapper V; instantiated in
// conv_rows_kernels_<isa>.cc.
#pragma once

#include "backends/cpu/math/conv_rows_task.h"
#include "backends/cpu/math/panel_kernels.h"
#include "backends/cpu/math/taps.h"

namespace rlx::cpu {

template <class V, bool whole>
[[gnu::always_inline]] inline typename V::F LoadLanes(const float* p, int n) {
  if constexpr (whole) return V::Load(p);
  return V::LoadN(p, n);
}
template <class V, bool whole>
[[gnu::always_inline]] inline void StoreLanes(float* p, typename V::F x, int n) {
  whole ? V::Store(p, x) : V::StoreN(p, x, n);
}

// What is done with the sums of a depthwise convolution.
template <class V>
struct DepthwiseEnd {
  [[gnu::always_inline]] explicit DepthwiseEnd(const DepthwiseRowsTask& t)
      : ending(EndingOf(t.activation, t.residual != nullptr)),
        low(V::Set(ending.low)),
        high(V::Set(ending.high)) {}

  [[gnu::always_inline]] typename V::F operator()(typename V::F x) const {
    return ending.swish ? HardSwish<V>(x) : V::Min(high, V::Max(low, x));
  }
  // Places [x, x + count) of row y have been stored.
  [[gnu::always_inline]] void Places(const DepthwiseRowsTask& t, int64_t y, int64_t x,
                                     int64_t count) const {
    if (!ending.later && t.residual == nullptr) return;
    const int64_t at = (y * t.window->out_w + x) * t.all_channels + t.channel;
    Finish<V>({.columns = static_cast<int>(t.channels),
               .c = t.y + at,
               .ldc = t.all_channels,
               .activation = t.activation,
               .residual = t.residual == nullptr ? nullptr : t.residual + at,
               .ld_residual = t.all_channels,
               .residual_first = true},
              0, count);
  }

  const Ending ending;
  const typename V::F low, high;
};

// A strip is so many outputs of a row side by side: the widths of image models are its multiples.
// A task walks down the rows of one strip, then of the next, so that what the windows of
// neighbouring rows share is still in L1.
inline constexpr int kStrip = 7;
inline constexpr int64_t kMostDepthwiseChannels = 256;  // of a task that walks strips
// Stands for columns beyond the image.
alignas(64) inline constexpr float kNoColumn[kMostDepthwiseChannels] = {};

// The outputs of one strip in row y.
template <class V, int kernel, int stride>
struct Strip {
  using F = typename V::F;
  static constexpr int kColumns = (kStrip - 1) * stride + kernel;

  Strip(const DepthwiseRowsTask& task, int64_t y_in, int64_t x_in)
      : t(task), w(*task.window), y(y_in), x(x_in) {
    rows = TapsAt(y, stride, w.pad_top, 1, kernel, w.in_h);
    top = y * stride - w.pad_top;
    left = x * stride - w.pad_left;
    count = Least(kStrip, w.out_w - x);
    inside = left >= 0 && left + kColumns <= w.in_w && count == kStrip;
    if (!inside) FindColumns();
  }

  // Where each column of each row begins, for windows that reach beyond the image.
  void FindColumns() {
    for (int64_t i = rows.begin; i < rows.end; ++i) {
      for (int64_t c = 0; c < kColumns; ++c) {
        const int64_t at = left + c;
        const bool there = at >= 0 && at < w.in_w;
        column[i][c] = there ? Place(i, at) : kNoColumn;
      }
    }
  }

  // The task's first channel of a column in row i of the window.
  [[gnu::always_inline]] const float* Place(int64_t i, int64_t at) const {
    return t.x + ((top + i) * w.in_w + at) * t.all_channels + t.channel;
  }

  template <bool in, bool whole>
  [[gnu::always_inline]] void Sum(const DepthwiseEnd<V>& end, int64_t c, int n) const {
    const int64_t all = t.all_channels;
    const F bias = t.bias == nullptr ? V::Zero() : LoadLanes<V, whole>(t.bias + t.channel + c, n);
    F sum[kStrip];
#pragma GCC unroll 8
    for (int r = 0; r < kStrip; ++r) sum[r] = bias;
    for (int64_t i = rows.begin; i < rows.end; ++i) {
      const float* taps = t.w + i * kernel * all + t.channel + c;
      const float* row = in ? Place(i, left) + c : nullptr;
      F weight[kernel];
#pragma GCC unroll 8
      for (int j = 0; j < kernel; ++j) weight[j] = LoadLanes<V, whole>(taps + j * all, n);
#pragma GCC unroll 32
      for (int k = 0; k < kColumns; ++k) {
        const F value = LoadLanes<V, whole>(in ? row + k * all : column[i][k] + c, n);
#pragma GCC unroll 8
        for (int j = 0; j < kernel; ++j) {
          const int r = (k - j) / stride;
          if (k >= j && (k - j) % stride == 0 && r < kStrip) {
            sum[r] = V::Fma(value, weight[j], sum[r]);
          }
        }
      }
    }
    float* out = t.y + (y * w.out_w + x) * all + t.channel + c;
#pragma GCC unroll 8
    for (int r = 0; r < kStrip; ++r) {
      if (in || r < count) StoreLanes<V, whole>(out + r * all, end(sum[r]), n);
    }
  }

  // What the next row of outputs reads first.
  [[gnu::always_inline]] void FetchBelow(int64_t c) const {
    if (top + kernel < 0 || top + kernel + stride > w.in_h) return;
    const float* next = Place(kernel, Most(left, 0)) + c;
#pragma GCC unroll 2
    for (int i = 0; i < stride; ++i, next += w.in_w * t.all_channels) {
#pragma GCC unroll 16
      for (int k = 0; k < kStrip * stride; ++k) __builtin_prefetch(next + k * t.all_channels, 0, 3);
    }
  }

  template <bool in>
  [[gnu::always_inline]] void Channels(const DepthwiseEnd<V>& end) const {
    int64_t c = 0;
    for (; c + V::kLanes <= t.channels; c += V::kLanes) {
      FetchBelow(c);
      Sum<in, true>(end, c, V::kLanes);
    }
    if (c < t.channels) Sum<in, false>(end, c, static_cast<int>(t.channels - c));
  }

  const DepthwiseRowsTask& t;
  const Window2d& w;
  const int64_t y, x;
  TapRange rows;
  int64_t top, left, count;  // of the first window: where it begins
  bool inside;
  const float* column[kernel][kColumns];
};

template <class V, int kernel, int stride>
[[gnu::noinline]] void RunStrip(const DepthwiseRowsTask& t, const DepthwiseEnd<V>& end, int64_t y,
                                int64_t x) {
  const Strip<V, kernel, stride> strip(t, y, x);
  strip.inside ? strip.template Channels<true>(end) : strip.template Channels<false>(end);
  end.Places(t, y, x, strip.count);
}

template <class V, int kernel, int stride>
void DepthwiseStrips(const DepthwiseRowsTask& t) {
  const DepthwiseEnd<V> end(t);
  for (int64_t x = 0; x < t.window->out_w; x += kStrip) {
    for (int64_t y = t.row; y < t.row + t.rows; ++y) RunStrip<V, kernel, stride>(t, end, y, x);
  }
}

// Outputs [x, x + count) of row y, `n` channels from `channel` on, for windows of any shape; taps
// `columns` of `rows` are inside the image for all of them.
template <class V, int count, bool whole>
[[gnu::always_inline]] inline void DepthwiseOutputs(const DepthwiseRowsTask& t,
                                                    const DepthwiseEnd<V>& end, int64_t y,
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
    for (int64_t j = columns.begin; j < columns.end; ++j) {
      const F weight = LoadLanes<V, whole>(taps + j * t.all_channels, n);
#pragma GCC unroll 8
      for (int r = 0; r < count; ++r) {
        sum[r] = V::Fma(LoadLanes<V, whole>(in + r * step + j * tap, n), weight, sum[r]);
      }
    }
  }
  float* out = t.y + (y * w.out_w + x) * t.all_channels + channel;
#pragma GCC unroll 8
  for (int r = 0; r < count; ++r) StoreLanes<V, whole>(out + r * t.all_channels, end(sum[r]), n);
}

// The same for all channels of the task.
template <class V, int count>
[[gnu::noinline]] void DepthwisePlaces(const DepthwiseRowsTask& t, const DepthwiseEnd<V>& end,
                                       int64_t y, int64_t x, TapRange rows, TapRange columns) {
  const int64_t last = t.channel + t.channels;
  int64_t c = t.channel;
  for (; c + V::kLanes <= last; c += V::kLanes) {
    DepthwiseOutputs<V, count, true>(t, end, y, x, rows, columns, c, V::kLanes);
  }
  if (c < last) {
    const int n = static_cast<int>(last - c);
    DepthwiseOutputs<V, count, false>(t, end, y, x, rows, columns, c, n);
  }
}

// Any window: six places at a time where all their taps are inside the image, else one.
template <class V>
void DepthwiseAny(const DepthwiseRowsTask& t) {
  const Window2d& w = *t.window;
  const DepthwiseEnd<V> end(t);
  const int64_t slack = w.in_w - 1 - (w.kernel_w - 1) * w.dilation_w + w.pad_left;
  const int64_t inner = Least(CeilDiv(w.pad_left, w.stride_w), w.out_w);
  const int64_t outer = slack < 0 ? inner : Most(inner, Least(slack / w.stride_w + 1, w.out_w));
  for (int64_t y = t.row; y < t.row + t.rows; ++y) {
    const TapRange rows = TapsAt(y, w.stride_h, w.pad_top, w.dilation_h, w.kernel_h, w.in_h);
    for (int64_t x = 0; x < w.out_w;) {
      if (x >= inner && x + 6 <= outer) {
        DepthwisePlaces<V, 6>(t, end, y, x, rows, {0, w.kernel_w});
        x += 6;
        continue;
      }
      const TapRange columns = TapsAt(x, w.stride_w, w.pad_left, w.dilation_w, w.kernel_w, w.in_w);
      DepthwisePlaces<V, 1>(t, end, y, x++, rows, columns);
    }
    end.Places(t, y, 0, w.out_w);
  }
}

// Windows for which strips are worth their code.
struct StripShape {
  int kernel, stride;
  void (*run)(const DepthwiseRowsTask&);
};
template <class V>
inline constexpr StripShape kStripShapes[] = {{3, 1, DepthwiseStrips<V, 3, 1>},
                                              {3, 2, DepthwiseStrips<V, 3, 2>},
                                              {5, 1, DepthwiseStrips<V, 5, 1>},
                                              {5, 2, DepthwiseStrips<V, 5, 2>},
                                              {7, 1, DepthwiseStrips<V, 7, 1>}};

template <class V>
void DepthwiseRows(const DepthwiseRowsTask& t) {
  const Window2d& w = *t.window;
  const bool plain = w.kernel_h == w.kernel_w && w.stride_h == w.stride_w && w.dilation_h == 1 &&
                     w.dilation_w == 1 && t.channels <= kMostDepthwiseChannels;
  for (const StripShape& shape : kStripShapes<V>) {
    if (plain && shape.kernel == w.kernel_w && shape.stride == w.stride_w) return shape.run(t);
  }
  DepthwiseAny<V>(t);
}

}  // namespace rlx::cpu
