// SPDX-License-Identifier: Apache-2.0
// Convolutions of ResNet-50, MobileNet and EfficientNet shapes, over planes and with channels last,
// against the measured peak and, where it is installed, oneDNN in its own layouts, taking turns in
// the same run.
//
//   conv_bench [threads=2] [isa=best]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "backends/cpu/math/conv.h"
#include "backends/cpu/math/conv_rows.h"
#include "bench/fma_peak.h"
#include "runtime/base/thread_pool.h"
#if RLX_HAVE_ONEDNN
#include "bench/onednn.h"
#endif

namespace rlx::bench {
namespace {

struct Case {
  int64_t batch, in, out, groups, size, kernel, stride;
};

constexpr Case kCases[] = {
    {1, 3, 64, 1, 224, 7, 2},     {1, 64, 64, 1, 56, 1, 1},     {1, 64, 64, 1, 56, 3, 1},
    {1, 64, 256, 1, 56, 1, 1},    {1, 256, 512, 1, 56, 1, 2},   {1, 128, 128, 1, 28, 3, 1},
    {1, 128, 512, 1, 28, 1, 1},   {1, 256, 256, 1, 28, 3, 2},   {1, 256, 256, 1, 14, 3, 1},
    {1, 1024, 256, 1, 14, 1, 1},  {1, 512, 512, 1, 7, 3, 1},    {1, 2048, 512, 1, 7, 1, 1},
    {8, 512, 512, 1, 7, 3, 1},    {8, 64, 64, 1, 56, 3, 1},     {1, 96, 96, 96, 112, 3, 2},
    {1, 144, 144, 144, 56, 3, 1}, {1, 576, 576, 576, 14, 5, 1}, {1, 960, 960, 960, 7, 5, 1},
    {1, 16, 64, 1, 112, 1, 1},    {1, 480, 112, 1, 14, 1, 1},   {1, 3, 32, 1, 224, 3, 2}};

std::vector<float> Values(int64_t n) {
  std::vector<float> v(n);
  for (int64_t i = 0; i < n; ++i) v[i] = 1e-3f * static_cast<float>(i % 1000) - 0.5f;
  return v;
}

template <class Fn>
double BestSeconds(double flops, Fn run) {
  const int reps = std::max(2, static_cast<int>(2e8 / flops));
  double best = 1e9;
  run();
  for (int burst = 0; burst < 6; ++burst) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < reps; ++i) run();
    best = std::min(best, SecondsSince(start) / reps);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(3));
  return best;
}

// The same convolution with channels last, weights packed.
class Rows {
 public:
  Rows(const cpu::MathKernels& kernels, const cpu::Conv2d& c, int threads)
      : kernels_(kernels),
        conv_{.window = c.window,
              .batch = c.batch,
              .in_channels = c.in_channels,
              .out_channels = c.out_channels,
              .groups = c.groups,
              .x = c.x,
              .y = c.y,
              .bias = c.bias} {
    const int64_t strides[] = {c.window.in_plane() * c.in_channels, c.window.in_w * c.in_channels,
                               c.in_channels, 1};
    std::copy_n(strides, 4, conv_.x_strides);
    packed_ = Allocate(ConvRowsPackedSize(kernels, conv_) * sizeof(float));
    scratch_ = Allocate(ConvRowsScratchBytes(kernels, conv_, threads));
    Team alone;
    PackConvRows(kernels, conv_, c.w, static_cast<float*>(packed_.get()), alone);
    conv_.w = static_cast<const float*>(packed_.get());
  }
  void Run(Team& team) { Convolve(kernels_, conv_, team, scratch_.get()); }

 private:
  using Memory = std::unique_ptr<void, decltype(&std::free)>;
  static Memory Allocate(size_t bytes) {
    return {std::aligned_alloc(64, bytes / 64 * 64 + 64), &std::free};
  }

  const cpu::MathKernels& kernels_;
  cpu::ConvRows conv_;
  Memory packed_{nullptr, &std::free}, scratch_{nullptr, &std::free};
};

void Bench(const cpu::MathKernels& kernels, const Case& s, ThreadPool& pool, int threads,
           double peak) {
  const int64_t out = (s.size - 1) / s.stride + 1, pad = s.kernel / 2;
  const cpu::Window2d w{.in_h = s.size,
                        .in_w = s.size,
                        .out_h = out,
                        .out_w = out,
                        .kernel_h = s.kernel,
                        .kernel_w = s.kernel,
                        .stride_h = s.stride,
                        .stride_w = s.stride,
                        .pad_top = pad,
                        .pad_left = pad};
  const int64_t k = s.in / s.groups * w.taps();
  const std::vector<float> x = Values(s.batch * s.in * w.in_plane()), taps = Values(s.out * k);
  std::vector<float> y(s.batch * s.out * w.out_plane());
  const cpu::Conv2d c{.window = w,
                      .batch = s.batch,
                      .in_channels = s.in,
                      .out_channels = s.out,
                      .groups = s.groups,
                      .x = x.data(),
                      .w = taps.data(),
                      .y = y.data(),
                      .bias = taps.data()};
  void* scratch = std::aligned_alloc(64, (ConvScratchBytes(kernels, c, threads) + 63) / 64 * 64);
  Rows rows(kernels, c, threads);
  const double flops = 2.0 * static_cast<double>(y.size()) * k;
  double ours = 1e9, last = 1e9, theirs = 1e9;
#if RLX_HAVE_ONEDNN
  OneDnnConv peer(c);
#endif
  for (int turn = 0; turn < 3; ++turn) {
    Team team = pool.Lease(threads);
    ours = std::min(ours, BestSeconds(flops, [&] { Conv(kernels, c, team, scratch); }));
    last = std::min(last, BestSeconds(flops, [&] { rows.Run(team); }));
    team = Team();
#if RLX_HAVE_ONEDNN
    theirs = std::min(theirs, BestSeconds(flops, [&] { peer.Run(); }));
#endif
  }
  std::free(scratch);
  std::printf(
      "| %ld | %ld -> %ld / %ld | %ld | %ld | %ld | %.0f | %.0f | %.0f | %.0f %% | %.0f |\n",
      s.batch, s.in, s.out, s.groups, s.size, s.kernel, s.stride, flops / ours * 1e-9, last * 1e6,
      flops / last * 1e-9, 100e-9 * flops / last / peak, flops / theirs * 1e-9);
}

}  // namespace
}  // namespace rlx::bench

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 2;
  const auto isa = argc > 2 ? rlx::cpu::ParseIsa(argv[2]) : rlx::cpu::DetectIsa();
  if (threads < 1 || !isa || *isa > rlx::cpu::DetectIsa()) {
    std::fprintf(stderr, "usage: conv_bench [threads] [generic|avx2|avx512]\n");
    return 2;
  }
#if RLX_HAVE_ONEDNN
  rlx::bench::UseOneDnn(*isa, threads);
#endif
  const double peak = rlx::bench::FmaPeak(*isa, threads);
  std::printf("%s, %d threads, peak %.0f GFLOP/s\n\n", rlx::cpu::IsaName(*isa).data(), threads,
              peak);
  std::printf(
      "| batch | channels / groups | size | kernel | stride | planes, GFLOP/s | channels last, "
      "microseconds | GFLOP/s | of peak | oneDNN, GFLOP/s |\n"
      "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
  rlx::ThreadPool pool(threads - 1);
  for (const auto& c : rlx::bench::kCases) {
    rlx::bench::Bench(rlx::cpu::MathFor(*isa), c, pool, threads, peak);
  }
}
