// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/conv_rows.h"

#include <gtest/gtest.h>

#include "runtime/base/thread_pool.h"
#include "tests/unit/cpu_math/math_testing.h"

namespace rlx::cpu {
namespace {

struct Shape {
  int64_t batch, in, out, groups, height, width, kernel_h, kernel_w, stride, dilation;
  int64_t top, left, bottom, right;
};

Window2d WindowOf(const Shape& s) {
  const auto extent = [&](int64_t in, int64_t kernel) {
    return (in - s.dilation * (kernel - 1) - 1) / s.stride + 1;
  };
  return {.in_h = s.height,
          .in_w = s.width,
          .out_h = extent(s.height + s.top + s.bottom, s.kernel_h),
          .out_w = extent(s.width + s.left + s.right, s.kernel_w),
          .kernel_h = s.kernel_h,
          .kernel_w = s.kernel_w,
          .stride_h = s.stride,
          .stride_w = s.stride,
          .dilation_h = s.dilation,
          .dilation_w = s.dilation,
          .pad_top = s.top,
          .pad_left = s.left};
}

// Calls fn(tap, place in the image) for what the window at output place `at` holds.
template <class Fn>
void ForEachTap(const Window2d& w, int64_t at, Fn fn) {
  for (int64_t i = 0; i < w.kernel_h; ++i) {
    for (int64_t j = 0; j < w.kernel_w; ++j) {
      const int64_t row = at / w.out_w * w.stride_h + i * w.dilation_h - w.pad_top;
      const int64_t column = at % w.out_w * w.stride_w + j * w.dilation_w - w.pad_left;
      if (row < 0 || row >= w.in_h || column < 0 || column >= w.in_w) continue;
      fn(i * w.kernel_w + j, row * w.in_w + column);
    }
  }
}

struct Problem {
  Problem(const Shape& s, std::mt19937& rng) {
    c = {.window = WindowOf(s),
         .batch = s.batch,
         .in_channels = s.in,
         .out_channels = s.out,
         .groups = s.groups};
    x.resize(s.batch * s.in * c.window.in_plane());
    w.resize(s.out * s.in / s.groups * c.window.taps());
    bias.resize(s.out);
    residual.resize(s.batch * s.out * c.window.out_plane());
    y.assign(residual.size(), kUntouched);
    for (std::vector<float>* v : {&x, &w, &bias, &residual}) Fill(*v, rng);
    const int64_t strides[] = {c.window.in_plane() * s.in, c.window.in_w * s.in, s.in, 1};
    std::copy_n(strides, 4, c.x_strides);
    c.x = x.data(), c.bias = bias.data(), c.residual = residual.data(), c.y = y.data();
  }
  Problem(const Problem&) = delete;

  void Run(const MathKernels& kernels, Team& team) {
    Aligned packed(ConvRowsPackedSize(kernels, c) * sizeof(float));
    PackConvRows(kernels, c, w.data(), packed.floats(), team);
    c.w = packed.floats();
    Aligned scratch(ConvRowsScratchBytes(kernels, c, team.size()));
    Convolve(kernels, c, team, scratch.get());
  }

  void Expect() const {
    const int64_t in = c.in_channels / c.groups, out = c.out_channels / c.groups;
    const int64_t taps = c.window.taps(), plane = c.window.out_plane();
    for (int64_t at = 0; at < static_cast<int64_t>(y.size()); ++at) {
      const int64_t o = at % c.out_channels, place = at / c.out_channels % plane;
      const float* image =
          x.data() + at / c.out_channels / plane * c.window.in_plane() * c.in_channels;
      double sum = c.bias == nullptr ? 0 : bias[o], magnitude = 2;
      if (c.residual != nullptr) sum += residual[at];
      for (int64_t i = 0; i < in; ++i) {
        ForEachTap(c.window, place, [&](int64_t tap, int64_t from) {
          const double term =
              double{w[(o * in + i) * taps + tap]} * image[from * c.in_channels + o / out * in + i];
          sum += term;
          magnitude += std::abs(term);
        });
      }
      const double want = Reference(c.activation, sum);
      ASSERT_NEAR(y[at], want,
                  1.13 * (in * taps + 5) * 0x1p-24 * magnitude + 1e-6 + 1e-6 * std::abs(want))
          << "at " << at;
    }
  }

  ConvRows c;
  std::vector<float> x, w, bias, residual, y;
};

constexpr Shape kDepthwise{2, 37, 37, 37, 17, 40, 3, 3, 1, 1, 1, 1, 1, 1};
constexpr Shape kShapes[] = {
    {1, 3, 5, 1, 9, 11, 3, 3, 1, 1, 1, 1, 1, 1},        // plain
    {2, 16, 33, 1, 7, 7, 3, 3, 1, 1, 1, 1, 1, 1},       // few places
    {1, 130, 70, 1, 14, 14, 3, 3, 1, 1, 1, 1, 1, 1},    // chunks of a segment
    {2, 32, 40, 1, 7, 9, 3, 3, 1, 1, 1, 1, 1, 1},       // Winograd, odd extents
    {3, 48, 35, 1, 28, 28, 3, 3, 1, 1, 0, 2, 1, 0},     // many tiles, uneven padding
    {1, 700, 20, 1, 5, 5, 1, 1, 2, 1, 0, 0, 0, 0},      // every other place, long segments
    {3, 8, 70, 1, 14, 14, 1, 1, 1, 1, 0, 0, 0, 0},      // pointwise
    {1, 3, 64, 1, 40, 37, 7, 7, 2, 1, 3, 3, 3, 3},      // the first layer of a ResNet
    {1, 3, 100, 1, 32, 32, 16, 16, 16, 1, 0, 0, 0, 0},  // patches
    {2, 4, 6, 2, 12, 10, 3, 2, 3, 2, 0, 2, 1, 3},       // groups, stride 3, dilation
    {1, 2, 2, 1, 1, 50, 1, 5, 1, 1, 0, 4, 0, 0},        // one spatial dim, causal
    kDepthwise,
    {1, 16, 16, 16, 20, 21, 5, 5, 2, 1, 2, 2, 2, 2},
    {1, 5, 10, 5, 20, 21, 5, 5, 2, 1, 2, 2, 2, 2},      // two outputs a channel
    {1, 19, 19, 19, 9, 30, 3, 3, 3, 2, 4, 4, 4, 4},     // stride 3, dilation
    {1, 8, 8, 8, 3, 3, 5, 5, 1, 1, 2, 2, 2, 2},         // no window inside
    {1, 300, 300, 300, 7, 15, 3, 3, 2, 1, 1, 1, 1, 1},  // depthwise, runs of channels
    {2, 24, 24, 24, 9, 14, 5, 5, 1, 1, 2, 0, 0, 4},
    {1, 3, 3, 3, 6, 9, 7, 7, 1, 1, 3, 3, 3, 3},
    {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0}};

class ConvRowsOnIsa : public testing::TestWithParam<Isa> {
 protected:
  const MathKernels& kernels_ = MathFor(GetParam());
  std::mt19937 rng_{5};
  Team alone_;
};

TEST_P(ConvRowsOnIsa, AnyShape) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << "shape " << &shape - kShapes);
    Problem p(shape, rng_);
    p.Run(kernels_, alone_);
    ASSERT_NO_FATAL_FAILURE(p.Expect());
  }
}

TEST_P(ConvRowsOnIsa, WithoutBiasOrResidual) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << "shape " << &shape - kShapes);
    Problem p(shape, rng_);
    p.c.bias = p.c.residual = nullptr;
    p.Run(kernels_, alone_);
    ASSERT_NO_FATAL_FAILURE(p.Expect());
  }
}

TEST_P(ConvRowsOnIsa, ActivatesTheSumWithTheResidual) {
  const std::vector<Activation>& acts = AllActivations();
  for (const Shape& shape : kShapes) {  // how a sum is activated does not depend on the shape
    const auto number = static_cast<size_t>(&shape - kShapes);
    SCOPED_TRACE(testing::Message() << "shape " << number);
    Problem p(shape, rng_);
    p.c.activation = acts[number % acts.size()];
    p.Run(kernels_, alone_);
    ASSERT_NO_FATAL_FAILURE(p.Expect());
  }
  for (const Activation& act : acts) {  // but on the kernel: products and strips end their own ways
    for (const Shape& shape : {kShapes[0], kDepthwise}) {
      SCOPED_TRACE(testing::Message() << "activation " << static_cast<int>(act.kind));
      Problem p(shape, rng_);
      p.c.activation = act;
      p.Run(kernels_, alone_);
      ASSERT_NO_FATAL_FAILURE(p.Expect());
    }
  }
}

// Planes, where the image is copied anyway.
TEST_P(ConvRowsOnIsa, ImagesInAnotherOrder) {
  int tried = 0;
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << "shape " << &shape - kShapes);
    Problem p(shape, rng_);
    if (!CopiesImage(p.c)) continue;
    ++tried;
    const int64_t plane = p.c.window.in_plane(), channels = p.c.in_channels;
    std::vector<float> planes(p.x.size());
    for (int64_t at = 0; at < static_cast<int64_t>(planes.size()); ++at) {
      const int64_t image = at / (plane * channels), c = at / plane % channels, i = at % plane;
      planes[at] = p.x[(image * plane + i) * channels + c];
    }
    const int64_t strides[] = {plane * channels, p.c.window.in_w, 1, plane};
    std::copy_n(strides, 4, p.c.x_strides);
    p.c.x = planes.data();
    p.Run(kernels_, alone_);
    ASSERT_NO_FATAL_FAILURE(p.Expect());
  }
  EXPECT_GT(tried, 3);
}

TEST_P(ConvRowsOnIsa, ThreadsDoNotChangeResults) {
  ThreadPool pool(3);
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << "shape " << &shape - kShapes);
    std::mt19937 again(9);
    Problem one(shape, again);
    again.seed(9);
    Problem many(shape, again);
    one.Run(kernels_, alone_);
    Team team = pool.Lease(4);
    many.Run(kernels_, team);
    ASSERT_TRUE(SameBits(one.y, many.y));
  }
}

// As the shapes of convolutions, without groups.
TEST_P(ConvRowsOnIsa, Pools) {
  ThreadPool pool(2);
  for (const Shape& shape : kShapes) {
    if (shape.top >= shape.kernel_h || shape.left >= shape.kernel_w) continue;
    if (shape.bottom >= shape.kernel_h || shape.right >= shape.kernel_w) continue;
    for (PoolKind kind : {PoolKind::kMax, PoolKind::kMean, PoolKind::kMeanOfWindow}) {
      SCOPED_TRACE(testing::Message() << "shape " << &shape - kShapes);
      const Window2d w = WindowOf(shape);
      std::vector<float> x(shape.batch * w.in_plane() * shape.in);
      std::vector<float> y(shape.batch * w.out_plane() * shape.in, kUntouched);
      Fill(x, rng_);
      Team team = pool.Lease(3);
      PoolOverRows(kernels_,
                   {.kind = kind,
                    .window = w,
                    .batch = shape.batch,
                    .channels = shape.in,
                    .x = x.data(),
                    .y = y.data()},
                   team);
      for (int64_t at = 0; at < static_cast<int64_t>(y.size()); ++at) {
        const int64_t c = at % shape.in, place = at / shape.in;
        const float* image = x.data() + place / w.out_plane() * w.in_plane() * shape.in;
        double sum = 0, most = -INFINITY;
        int64_t count = 0;
        ForEachTap(w, place % w.out_plane(), [&](int64_t, int64_t from) {
          const double value = image[from * shape.in + c];
          sum += value;
          most = std::max(most, value);
          ++count;
        });
        if (kind == PoolKind::kMeanOfWindow) count = w.taps();
        const double want = kind == PoolKind::kMax ? most : sum / static_cast<double>(count);
        ASSERT_NEAR(y[at], want, 1e-5) << "at " << at;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Here, ConvRowsOnIsa, testing::ValuesIn(IsasHere()),
                         [](const auto& info) { return std::string(IsaName(info.param)); });

}  // namespace
}  // namespace rlx::cpu
