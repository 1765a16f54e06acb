// SPDX-License-Identifier: Apache-2.0
// The inner kernels of convolution and pooling over a SIMD wrapper V; instantiated in
// conv_kernels_<isa>.cc.
#pragma once

#include "backends/cpu/math/conv_task.h"
#include "backends/cpu/math/simd_common.h"
#include "backends/cpu/math/simd_math.h"

namespace rlx::cpu {

// p[0], p[stride], ... : n of them, touching nothing past the last.
template <class V>
[[gnu::always_inline]] inline typename V::F LoadStrided(const float* p, int64_t stride, int n) {
  constexpr int kLanes = V::kLanes;
  if (stride == 1) return n == kLanes ? V::Load(p) : V::LoadN(p, n);
  if (stride == 2) {
    const int floats = 2 * n - 1;
    const int low = floats < kLanes ? floats : kLanes;
    return V::Even(V::LoadN(p, low), V::LoadN(p + kLanes, floats - low));
  }
  float lanes[kLanes] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i * stride];
  return V::Load(lanes);
}

template <class V>
[[gnu::always_inline]] inline void CopyStrided(const float* in, int64_t stride, int64_t n,
                                               float* out) {
  for (int64_t i = 0; i < n; i += V::kLanes) {
    const int lanes = static_cast<int>(Least(n - i, V::kLanes));
    V::StoreN(out + i, LoadStrided<V>(in + i * stride, stride, lanes), lanes);
  }
}

// A run of output pixels in one output row, and where one tap of the window finds them: `lead`
// zeros, `count` inputs from offset `at` of the plane on, and zeros for the rest.
struct TapRun {
  int64_t column;  // in the panel
  int64_t lead, count, at;
};

// Of outputs [x, x + n): those whose input falls in [0, in).
[[gnu::always_inline]] inline TapRun ClipRun(const Window2d& w, int64_t x, int64_t n, int64_t tap) {
  const int64_t shift = tap * w.dilation_w - w.pad_left;  // input = output * stride + shift
  const int64_t first = shift >= 0 ? 0 : CeilDiv(-shift, w.stride_w);
  const int64_t end = shift >= w.in_w ? 0 : CeilDiv(w.in_w - shift, w.stride_w);
  const int64_t begin = Most(x, first), stop = Least(x + n, end);
  return {0, begin - x, Most(stop - begin, 0), begin * w.stride_w + shift};
}

inline constexpr int kMostColumns = 64;  // of a panel, on any ISA

// The runs that tap (i, j) finds inside the plane, for all pixels of the panel.
[[gnu::always_inline]] inline int FindRuns(const UnfoldTask& t, int64_t i, int64_t j,
                                           TapRun (&runs)[kMostColumns]) {
  const Window2d& w = *t.window;
  int found = 0;
  int64_t y = t.pixel / w.out_w, x = t.pixel % w.out_w;
  for (int64_t column = 0; column < t.columns; ++y, x = 0) {
    const int64_t n = Least(w.out_w - x, t.columns - column);
    const int64_t row = y * w.stride_h + i * w.dilation_h - w.pad_top;
    if (row >= 0 && row < w.in_h) {
      TapRun run = ClipRun(w, x, n, j);
      run.column = column + run.lead;
      run.at += row * w.in_w;
      if (run.count > 0) runs[found++] = run;
    }
    column += n;
  }
  return found;
}

template <class V>
[[gnu::noinline]] void UnfoldTap(const UnfoldTask& t, int64_t i, int64_t j) {
  const Window2d& w = *t.window;
  TapRun runs[kMostColumns];
  const int count = FindRuns(t, i, j, runs);
  const int64_t width = t.vectors * V::kLanes;
  const bool whole = count == 1 && runs[0].count == width;
  for (int64_t c = 0; c < t.channels; ++c) {
    float* out = t.out + (c * w.taps() + i * w.kernel_w + j) * width;
    const float* plane = t.x + c * w.in_plane();
    if (!whole) {
      for (int v = 0; v < t.vectors; ++v) V::Store(out + v * V::kLanes, V::Zero());
    }
    for (int r = 0; r < count; ++r) {
      CopyStrided<V>(plane + runs[r].at, w.stride_w, runs[r].count, out + runs[r].column);
    }
  }
}

template <class V>
void Unfold(const UnfoldTask& t) {
  for (int64_t i = 0; i < t.window->kernel_h; ++i) {
    for (int64_t j = 0; j < t.window->kernel_w; ++j) UnfoldTap<V>(t, i, j);
  }
}

template <class V>
[[gnu::always_inline]] inline void FillRow(float* out, int64_t n, float value) {
  for (int64_t i = 0; i < n; i += V::kLanes) {
    V::StoreN(out + i, V::Set(value), static_cast<int>(Least(n - i, V::kLanes)));
  }
}

template <class V>
[[gnu::noinline]] void FillBorders(const PadTask& t, int64_t left, int64_t middle) {
  const Window2d& w = *t.window;
  const int64_t width = PaddedPlane::Width(w), height = PaddedPlane::Height(w);
  for (int64_t y = 0; y < height; ++y) {
    float* out = t.out + y * width;
    const bool inside = y >= w.pad_top && y - w.pad_top < w.in_h;
    FillRow<V>(out, inside ? left : width, t.value);
    if (inside) FillRow<V>(out + left + middle, width - left - middle, t.value);
  }
  FillRow<V>(t.out + height * width, PaddedPlane::Slack(w), t.value);
}

template <class V>
void PadPlane(const PadTask& t) {
  const Window2d& w = *t.window;
  const int64_t width = PaddedPlane::Width(w);
  const int64_t left = Least(w.pad_left, width);
  const int64_t middle = Most(Least(w.in_w, width - left), 0);
  if (t.borders) FillBorders<V>(t, left, middle);
  const int64_t rows = Least(w.in_h, PaddedPlane::Height(w) - w.pad_top);
  for (int64_t y = 0; y < rows; ++y) {
    CopyStrided<V>(t.x + y * w.in_w, 1, middle, t.out + (y + w.pad_top) * width + left);
  }
}

// A whole vector of a padded plane; lanes past the row are read from what follows, and not used.
template <class V, int stride>
[[gnu::always_inline]] inline typename V::F LoadTap(const float* p, int64_t any_stride) {
  if constexpr (stride == 1) return V::Load(p);
  if constexpr (stride == 2) return V::Even(V::Load(p), V::Load(p + V::kLanes));
  float lanes[V::kLanes];
  for (int i = 0; i < V::kLanes; ++i) lanes[i] = p[i * any_stride];
  return V::Load(lanes);
}

// The taps of a kernel_h x kernel_w window without dilation, known when compiled, or any window
// (0).
template <class V, int stride, int kernel>
struct WindowSum {
  using F = typename V::F;
  const Window2d& w;
  int64_t width;
  F taps[kernel * kernel];

  [[gnu::always_inline]] WindowSum(const Window2d& window, const float* weights)
      : w(window), width(PaddedPlane::Width(window)) {
#pragma GCC unroll 32
    for (int i = 0; i < kernel * kernel; ++i) taps[i] = V::Set(weights[i]);
  }

  // Two chains, so that the additions of one output do not wait for each other.
  [[gnu::always_inline]] F operator()(const float* p, F start) const {
    F even = start, odd = V::Zero();
#pragma GCC unroll 8
    for (int i = 0; i < kernel; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < kernel; ++j) {
        const F in = LoadTap<V, stride>(p + i * width + j, w.stride_w);
        F& sum = (i * kernel + j) % 2 == 0 ? even : odd;
        sum = V::Fma(in, taps[i * kernel + j], sum);
      }
    }
    return V::Add(even, odd);
  }
};

template <class V, int stride>
struct WindowSum<V, stride, 0> {
  using F = typename V::F;
  const Window2d& w;
  int64_t width;
  const float* taps;

  [[gnu::always_inline]] WindowSum(const Window2d& window, const float* weights)
      : w(window), width(PaddedPlane::Width(window)), taps(weights) {}

  [[gnu::always_inline]] F operator()(const float* p, F sum) const {
    const float* tap = taps;
    for (int64_t i = 0; i < w.kernel_h; ++i) {
      const float* row = p + i * w.dilation_h * width;
      for (int64_t j = 0; j < w.kernel_w; ++j, ++tap) {
        const F in = LoadTap<V, stride>(row + j * w.dilation_w, w.stride_w);
        sum = V::Fma(in, V::Set(*tap), sum);
      }
    }
    return sum;
  }
};

template <class V, int stride, int kernel>
[[gnu::noinline]] void DepthwisePlane(const DepthwiseTask& t) {
  constexpr int kLanes = V::kLanes;
  const Window2d& w = *t.window;
  const WindowSum<V, stride, kernel> sum(w, t.w);
  const typename V::F bias = V::Set(t.bias);
  for (int64_t y = 0; y < w.out_h; ++y) {
    const float* row = t.padded + y * w.stride_h * sum.width;
    float* out = t.y + y * w.out_w;
    int64_t x = 0;
    for (; x + kLanes <= w.out_w; x += kLanes) V::Store(out + x, sum(row + x * w.stride_w, bias));
    if (x == w.out_w) continue;
    V::StoreN(out + x, sum(row + x * w.stride_w, bias), static_cast<int>(w.out_w - x));
  }
}

template <class V, int stride>
[[gnu::always_inline]] inline void DepthwiseByKernel(const DepthwiseTask& t) {
  const Window2d& w = *t.window;
  const bool square = w.kernel_h == w.kernel_w && w.dilation_h == 1 && w.dilation_w == 1;
  if (square && w.kernel_h == 3) return DepthwisePlane<V, stride, 3>(t);
  if (square && w.kernel_h == 5) return DepthwisePlane<V, stride, 5>(t);
  DepthwisePlane<V, stride, 0>(t);
}

template <class V>
void Depthwise(const DepthwiseTask& t) {
  switch (t.window->stride_w) {
    case 1:
      return DepthwiseByKernel<V, 1>(t);
    case 2:
      return DepthwiseByKernel<V, 2>(t);
    default:
      return DepthwisePlane<V, 0, 0>(t);
  }
}

template <class V, int stride, bool largest>
[[gnu::noinline]] void PoolPlaneBy(const PoolTask& t) {
  constexpr int kLanes = V::kLanes;
  const Window2d& w = *t.window;
  const int64_t width = PaddedPlane::Width(w);
  for (int64_t y = 0; y < w.out_h; ++y) {
    for (int64_t x = 0; x < w.out_w; x += kLanes) {
      typename V::F all = largest ? V::Set(-__builtin_huge_valf()) : V::Zero();
      for (int64_t i = 0; i < w.kernel_h; ++i) {
        const float* row = t.padded + (y * w.stride_h + i * w.dilation_h) * width + x * w.stride_w;
        for (int64_t j = 0; j < w.kernel_w; ++j) {
          const typename V::F in = LoadTap<V, stride>(row + j * w.dilation_w, w.stride_w);
          all = largest ? V::Max(in, all) : V::Add(all, in);  // a NaN is no maximum
        }
      }
      const int n = static_cast<int>(Least(w.out_w - x, kLanes));
      if constexpr (!largest) {
        const typename V::F factor = V::LoadN(t.column_factor + x, n);
        all = V::Mul(all, V::Mul(V::Set(t.row_factor[y]), factor));
      }
      V::StoreN(t.y + y * w.out_w + x, all, n);
    }
  }
}

template <class V>
void PoolPlane(const PoolTask& t) {
  const bool largest = t.row_factor == nullptr;
  switch (t.window->stride_w) {
    case 1:
      return largest ? PoolPlaneBy<V, 1, true>(t) : PoolPlaneBy<V, 1, false>(t);
    case 2:
      return largest ? PoolPlaneBy<V, 2, true>(t) : PoolPlaneBy<V, 2, false>(t);
    default:
      return largest ? PoolPlaneBy<V, 0, true>(t) : PoolPlaneBy<V, 0, false>(t);
  }
}

}  // namespace rlx::cpu
