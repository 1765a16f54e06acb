// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/conv.h"

#include <gtest/gtest.h>

#include "runtime/base/thread_pool.h"
#include "tests/unit/cpu_math/math_testing.h"

namespace rlx::cpu {
namespace {

struct Shape {
  int64_t batch, in, out, groups, height, width, kernel_h, kernel_w, stride, dilation;
  int64_t top, left, bottom, right;
};

Window2d WindowOf(const Shape& s, int64_t stride_h) {
  const auto extent = [](int64_t in, int64_t kernel, int64_t stride, int64_t dilation) {
    return (in - dilation * (kernel - 1) - 1) / stride + 1;
  };
  return {.in_h = s.height,
          .in_w = s.width,
          .out_h = extent(s.height + s.top + s.bottom, s.kernel_h, stride_h, s.dilation),
          .out_w = extent(s.width + s.left + s.right, s.kernel_w, s.stride, s.dilation),
          .kernel_h = s.kernel_h,
          .kernel_w = s.kernel_w,
          .stride_h = stride_h,
          .stride_w = s.stride,
          .dilation_h = s.dilation,
          .dilation_w = s.dilation,
          .pad_top = s.top,
          .pad_left = s.left};
}

// Calls fn(tap, offset in the plane) for what the window at (y, x) holds.
template <class Fn>
void ForEachTap(const Window2d& w, int64_t y, int64_t x, Fn fn) {
  for (int64_t i = 0; i < w.kernel_h; ++i) {
    for (int64_t j = 0; j < w.kernel_w; ++j) {
      const int64_t row = y * w.stride_h + i * w.dilation_h - w.pad_top;
      const int64_t column = x * w.stride_w + j * w.dilation_w - w.pad_left;
      if (row < 0 || row >= w.in_h || column < 0 || column >= w.in_w) continue;
      fn(i * w.kernel_w + j, row * w.in_w + column);
    }
  }
}

struct Problem {
  Problem(const Shape& s, std::mt19937& rng) {
    c = {.window = WindowOf(s, s.stride),
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
    c.x = x.data(), c.w = w.data(), c.bias = bias.data(), c.residual = residual.data();
    c.y = y.data();
  }
  Problem(const Problem&) = delete;

  void Run(const MathKernels& kernels, Team& team) {
    Aligned scratch(ConvScratchBytes(kernels, c, team.size()));
    Conv(kernels, c, team, scratch.get());
  }

  // A chain of k additions, as in the product of matrices.
  void Expect() const {
    const int64_t in = c.in_channels / c.groups, out = c.out_channels / c.groups;
    const int64_t plane = c.window.out_plane(), k = in * c.window.taps();
    for (int64_t at = 0; at < static_cast<int64_t>(y.size()); ++at) {
      const int64_t o = at / plane % c.out_channels, n = at / plane / c.out_channels;
      double sum = c.bias == nullptr ? 0 : bias[o], magnitude = 1;
      for (int64_t i = 0; i < in; ++i) {
        const float* from = x.data() + (n * c.in_channels + o / out * in + i) * c.window.in_plane();
        const float* taps = w.data() + (o * in + i) * c.window.taps();
        ForEachTap(c.window, at % plane / c.window.out_w, at % c.window.out_w,
                   [&](int64_t tap, int64_t offset) {
                     sum += double{taps[tap]} * from[offset];
                     magnitude += std::abs(double{taps[tap]} * from[offset]);
                   });
      }
      double want = Reference(c.activation, sum);
      if (c.residual != nullptr) want += residual[at];
      ASSERT_NEAR(y[at], want, 1.13 * (k + 4) * 0x1p-24 * magnitude + 1e-6) << "at " << at;
    }
  }

  Conv2d c;
  std::vector<float> x, w, bias, residual, y;
};

constexpr Shape kShapes[] = {
    {1, 3, 5, 1, 9, 11, 3, 3, 1, 1, 1, 1, 1, 1},    // plain
    {2, 16, 33, 1, 7, 7, 3, 3, 1, 1, 1, 1, 1, 1},   // few pixels: channels are split
    {1, 8, 70, 1, 14, 14, 1, 1, 1, 1, 0, 0, 0, 0},  // pointwise
    {1, 8, 10, 1, 13, 15, 1, 1, 2, 1, 0, 0, 0, 0},  // pointwise, every other pixel
    {1, 3, 8, 1, 40, 37, 7, 7, 2, 1, 3, 3, 3, 3},   // the first layer of a ResNet
    {2, 4, 6, 2, 12, 10, 3, 2, 3, 2, 0, 2, 1, 3},   // groups, stride 3, dilation, uneven padding
    {1, 2, 2, 1, 1, 50, 1, 5, 1, 1, 0, 4, 0, 0},    // one spatial dim, causal
    {2, 6, 6, 6, 17, 40, 3, 3, 1, 1, 1, 1, 1, 1},   // depthwise
    {1, 5, 10, 5, 20, 21, 5, 5, 2, 1, 2, 2, 2, 2},  // depthwise, two outputs a channel
    {1, 3, 3, 3, 9, 30, 3, 3, 3, 2, 4, 4, 4, 4},    // depthwise, stride 3
    {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0}};

class ConvOnIsa : public testing::TestWithParam<Isa> {
 protected:
  const MathKernels& kernels_ = MathFor(GetParam());
  std::mt19937 rng_{5};
  Team alone_;
};

TEST_P(ConvOnIsa, AnyShape) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << "shape " << &shape - kShapes);
    Problem p(shape, rng_);
    p.c.activation = {Act::kLeakyRelu, 0.25f};
    p.Run(kernels_, alone_);
    p.Expect();
    if (HasFatalFailure()) return;
  }
}

TEST_P(ConvOnIsa, WithoutBiasAndResidual) {
  for (int i : {0, 7}) {
    Problem p(kShapes[i], rng_);
    p.c.bias = p.c.residual = nullptr;
    p.Run(kernels_, alone_);
    p.Expect();
  }
}

TEST_P(ConvOnIsa, DepthwiseHasEveryActivation) {
  for (const Activation& activation : AllActivations()) {
    Problem p(kShapes[7], rng_);
    p.c.activation = activation;
    p.Run(kernels_, alone_);
    p.Expect();
    if (HasFatalFailure()) return;
  }
}

TEST_P(ConvOnIsa, ThreadsDoNotChangeABit) {
  ThreadPool pool(3);
  for (const Shape& shape : kShapes) {
    Problem p(shape, rng_);
    p.Run(kernels_, alone_);
    const std::vector<float> once = p.y;
    for (int threads : {2, 4}) {
      Team team = pool.Lease(threads);
      p.Run(kernels_, team);
      EXPECT_TRUE(SameBits(once, p.y)) << threads;
    }
  }
}

// --- Pooling
// ---------------------------------------------------------------------------------------

void ExpectPooled(const Pool2d& p) {
  const Window2d& w = p.window;
  for (int64_t at = 0; at < p.planes * w.out_plane(); ++at) {
    const float* plane = p.x + at / w.out_plane() * w.in_plane();
    double sum = 0, most = -INFINITY;
    int64_t count = 0;
    ForEachTap(w, at % w.out_plane() / w.out_w, at % w.out_w, [&](int64_t, int64_t offset) {
      sum += plane[offset];
      most = std::fmax(most, plane[offset]);
      ++count;
    });
    const int64_t over = p.kind == PoolKind::kMean ? count : w.taps();
    const double want = p.kind == PoolKind::kMax ? most : sum / static_cast<double>(over);
    ASSERT_NEAR(p.y[at], want, 0x1p-24 * (w.taps() + 4)) << "at " << at;
  }
}

constexpr Shape kPools[] = {{2, 3, 0, 1, 12, 13, 3, 3, 2, 1, 1, 1, 1, 1},
                            {1, 2, 0, 1, 40, 50, 2, 2, 1, 1, 0, 1, 0, 1},
                            {1, 5, 0, 1, 7, 7, 7, 7, 1, 1, 0, 0, 0, 0},
                            {1, 1, 0, 1, 9, 70, 3, 2, 4, 1, 2, 1, 2, 1}};

TEST_P(ConvOnIsa, Pooling) {
  ThreadPool pool(1);
  for (const Shape& s : kPools) {
    for (PoolKind kind : {PoolKind::kMax, PoolKind::kMean, PoolKind::kMeanOfWindow}) {
      SCOPED_TRACE(testing::Message() << "pool " << &s - kPools << " kind " << int(kind));
      Pool2d p{.kind = kind, .window = WindowOf(s, 1), .planes = s.batch * s.in};
      std::vector<float> x(p.planes * p.window.in_plane());
      std::vector<float> y(p.planes * p.window.out_plane(), kUntouched);
      Fill(x, rng_, -3, -1);
      p.x = x.data(), p.y = y.data();
      Team team = pool.Lease(2);
      Aligned scratch(PoolScratchBytes(kernels_, p, 2));
      Pool(kernels_, p, team, scratch.get());
      ExpectPooled(p);
      if (HasFatalFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ConvOnIsa, testing::ValuesIn(IsasHere()),
                         [](const auto& isa) { return std::string(IsaName(isa.param)); });

}  // namespace
}  // namespace rlx::cpu
