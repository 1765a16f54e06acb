// SPDX-License-Identifier: Apache-2.0
// The packed fp32 product against the measured peak and, where it is installed, oneDNN: the same
// shapes in the same run, taking turns. `cold` walks through many copies of the weights, as a model
// does from layer to layer; `hot` uses one.
//
//   gemm_bench [threads=2] [isa=best] [only this m]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "backends/cpu/math/gemm.h"
#include "bench/fma_peak.h"
#include "runtime/base/thread_pool.h"
#if RLX_HAVE_ONEDNN
#include "bench/onednn.h"
#endif

namespace rlx::bench {
namespace {

using cpu::MathKernels;

struct Shape {
  int64_t m, k, n;
};

constexpr Shape kShapes[] = {
    {1, 384, 1152},    {1, 384, 384},    {1, 384, 1536},    {1, 1536, 384},     //
    {16, 384, 1152},   {16, 384, 384},   {16, 384, 1536},   {16, 1536, 384},    //
    {128, 384, 1152},  {128, 384, 384},  {128, 384, 1536},  {128, 1536, 384},   //
    {1024, 384, 1152}, {1024, 384, 384}, {1024, 384, 1536}, {1024, 1536, 384},  //
    {128, 768, 2304},  {128, 768, 768},  {128, 768, 3072},  {128, 3072, 768}};

constexpr int64_t kColdBytes = 64 << 20;

float* Allocate(int64_t floats) {
  float* p = static_cast<float*>(std::aligned_alloc(64, (floats * 4 + 4095) / 4096 * 4096));
  for (int64_t i = 0; i < floats; ++i) p[i] = 1e-3f * static_cast<float>(i % 1000) - 0.5f;
  return p;
}

struct Ours {
  Ours(const MathKernels& kernels_in, const Shape& s, int copies_in, Team& team)
      : kernels(kernels_in), copies(copies_in), size(cpu::PackedSize(kernels, s.k, s.n)) {
    gemm = {.m = s.m,
            .n = s.n,
            .k = s.k,
            .a = Allocate(s.m * s.k),
            .lda = s.k,
            .b = Allocate(size * copies),
            .c = Allocate(s.m * s.n),
            .ldc = s.n,
            .epilogue = {.bias = Allocate(s.n)}};
    packed = const_cast<float*>(gemm.b);
    float* rows = Allocate(s.k * s.n);
    for (int i = 0; i < copies; ++i) {
      cpu::PackB(kernels, s.k, s.n, rows, s.n, false, packed + i * size, team);
    }
    std::free(rows);
  }
  ~Ours() {
    for (const float* p :
         {gemm.a, (const float*)packed, (const float*)gemm.c, gemm.epilogue.bias}) {
      std::free(const_cast<float*>(p));
    }
  }
  void Run(int i, Team& team) {
    gemm.b = packed + i % copies * size;
    cpu::Gemm(kernels, gemm, team);
  }
  const MathKernels& kernels;
  int copies;
  int64_t size;
  cpu::PackedGemm gemm;
  float* packed;
};

// GFLOP/s of short bursts.
template <class Fn>
std::vector<double> Burst(const Shape& s, int bursts, Fn run) {
  const double flops = 2.0 * s.m * s.n * s.k;
  const int reps = std::max(3, static_cast<int>(4e8 / flops));
  std::vector<double> rates;
  run(0);
  for (int b = 0; b < bursts; ++b) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < reps; ++i) run(i);
    rates.push_back(flops * reps / SecondsSince(start) * 1e-9);
  }
  return rates;
}

// The best burst: neighbours on the machine only slow.
double Best(const std::vector<double>& v) {
  return v.empty() ? 0 : *std::max_element(v.begin(), v.end());
}

void Append(std::vector<double>& to, const std::vector<double>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void BenchShape(const MathKernels& kernels, const Shape& s, bool cold, ThreadPool& pool,
                int threads, double peak) {
  const int64_t bytes = s.k * s.n * 4;
  const int copies = cold ? static_cast<int>(std::max<int64_t>(1, kColdBytes / bytes)) : 1;
  Team setup = pool.Lease(threads);
  Ours ours(kernels, s, copies, setup);
  setup = Team();
  std::vector<double> mine, theirs;
#if RLX_HAVE_ONEDNN
  OneDnnGemm peer(s.m, s.k, s.n, copies);
#endif
  for (int turn = 0; turn < 5; ++turn) {
    {
      Team team = pool.Lease(threads);
      Append(mine, Burst(s, 5, [&](int i) { ours.Run(i, team); }));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
#if RLX_HAVE_ONEDNN
    Append(theirs, Burst(s, 5, [&](int i) { peer.Run(i); }));
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
#endif
  }
  std::printf("| %ld x %ld x %ld | %s | %.0f | %.0f %% | %.0f | %.0f %% |\n", s.m, s.k, s.n,
              cold ? "cold" : "hot", Best(mine), 100 * Best(mine) / peak, Best(theirs),
              100 * Best(theirs) / peak);
}

void BenchAll(cpu::Isa isa, int threads, int64_t only_m) {
  const double peak = FmaPeak(isa, threads);
  std::printf("%s, %d threads, peak %.0f GFLOP/s\n\n", cpu::IsaName(isa).data(), threads, peak);
  std::printf("| M x K x N | weights | ours, GFLOP/s | of peak | oneDNN, GFLOP/s | of peak |\n");
  std::printf("| --- | --- | --- | --- | --- | --- |\n");
  ThreadPool pool(threads - 1);
  for (const Shape& s : kShapes) {
    if (only_m != 0 && s.m != only_m) continue;
    for (bool cold : {false, true}) BenchShape(cpu::MathFor(isa), s, cold, pool, threads, peak);
  }
}

}  // namespace
}  // namespace rlx::bench

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 2;
  const auto isa = argc > 2 ? rlx::cpu::ParseIsa(argv[2]) : rlx::cpu::DetectIsa();
  if (threads < 1 || !isa || *isa > rlx::cpu::DetectIsa()) {
    std::fprintf(stderr, "usage: gemm_bench [threads] [generic|avx2|avx512] [m]\n");
    return 2;
  }
#if RLX_HAVE_ONEDNN
  rlx::bench::UseOneDnn(*isa, threads);
#endif
  rlx::bench::BenchAll(*isa, threads, argc > 3 ? std::atoi(argv[3]) : 0);
}
