// SPDX-License-Identifier: Apache-2.0
// Products against packed quantized weights beside the same product in f32, cold weights: every run
// takes the next of as many copies as fill 128 MiB.
//
//   bench_dequant_bench [threads=2] [isa=best] [only this m]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "backends/cpu/aligned_memory.h"
#include "backends/cpu/math/dequant_gemm.h"
#include "backends/cpu/math/gemm.h"
#include "bench/fma_peak.h"
#include "runtime/base/thread_pool.h"

namespace rlx::bench {
namespace {

using cpu::MathKernels;

constexpr int64_t kColdBytes = 128 << 20;

struct Shape {
  int64_t m, k, n;
};
constexpr Shape kShapes[] = {{1, 2048, 2048},   {1, 4096, 4096},  {4, 4096, 4096},
                             {8, 4096, 4096},   {16, 4096, 4096}, {32, 4096, 4096},
                             {128, 4096, 4096}, {512, 2048, 2048}};

constexpr QuantScheme kSchemes[] = {QuantScheme::kInt8, QuantScheme::kInt4, QuantScheme::kQ8_0,
                                    QuantScheme::kQ4_0, QuantScheme::kQ4K,  QuantScheme::kQ6K,
                                    QuantScheme::kQ5K};

// Memory as a session has it: in huge pages where there is much.
template <class T>
class Buffer {
 public:
  Buffer(int64_t count, T value)
      : memory_(*cpu::AlignedMemory::Allocate(count * static_cast<int64_t>(sizeof(T)))) {
    std::fill_n(get(), count, value);
  }
  T* get() { return reinterpret_cast<T*>(memory_.data()); }

 private:
  cpu::AlignedMemory memory_;
};

// Seconds of the fastest burst, per run: neighbours on the machine only slow.
double Best(double flops, const std::function<void(int)>& run) {
  const int reps = std::max(3, static_cast<int>(2e8 / flops));
  double best = 1e9;
  int at = 0;
  for (int burst = 0; burst < 9; ++burst) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < reps; ++i) run(at++);
    best = std::min(best, SecondsSince(start) / reps);
  }
  return best;
}

double Plain(const MathKernels& kernels, const Shape& s, Team& team) {
  const int64_t size = cpu::PackedSize(kernels, s.k, s.n);
  const int64_t copies = std::max<int64_t>(1, kColdBytes / (size * 4));
  Buffer<float> packed(size * copies, 0.25F), a(s.m * s.k, 0.5F), c(s.m * s.n, 0.0F);
  cpu::PackedGemm gemm{
      .m = s.m, .n = s.n, .k = s.k, .a = a.get(), .lda = s.k, .c = c.get(), .ldc = s.n};
  return Best(2.0 * s.m * s.n * s.k, [&](int i) {
    gemm.b = packed.get() + i % copies * size;
    cpu::Gemm(kernels, gemm, team);
  });
}

double Packed(const MathKernels& kernels, const Shape& s, QuantScheme scheme, Team& team,
              int threads) {
  const QuantSchemeInfo& info = Info(scheme);
  const int64_t size = info.is_block() ? s.k / info.block_elements * info.block_bytes * s.n
                                       : s.k * s.n / (scheme == QuantScheme::kInt4 ? 2 : 1);
  const int64_t copies = std::max<int64_t>(1, kColdBytes / size);
  Buffer<uint8_t> bytes(size * copies, 0x11);
  Buffer<float> scale(s.k / 32 * s.n, 0.01F), a(s.m * s.k, 0.5F), c(s.m * s.n, 0.0F);
  Buffer<uint8_t> scratch(static_cast<int64_t>(cpu::DequantScratchBytes(kernels, threads)), 0);
  cpu::DequantGemm gemm{.m = s.m,
                        .n = s.n,
                        .k = s.k,
                        .a = a.get(),
                        .lda = s.k,
                        .w = {.scheme = scheme, .block = 32, .scale = scale.get()},
                        .c = c.get(),
                        .ldc = s.n};
  return Best(2.0 * s.m * s.n * s.k, [&](int i) {
    gemm.w.bytes = bytes.get() + i % copies * size;
    cpu::Gemm(kernels, gemm, team, scratch.get());
  });
}

int Main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 2;
  const auto isa = argc > 2 ? cpu::ParseIsa(argv[2]) : cpu::DetectIsa();
  const int64_t only = argc > 3 ? std::atoi(argv[3]) : 0;
  if (threads < 1 || !isa || *isa > cpu::DetectIsa()) return 2;
  const MathKernels& kernels = cpu::MathFor(*isa);
  ThreadPool pool(threads - 1);
  Team team = pool.Lease(threads);
  std::printf("%s, %d threads; microseconds, and how many times as fast as f32\n\n",
              cpu::IsaName(*isa).data(), threads);
  std::printf("| M x K x N | f32 |");
  for (QuantScheme scheme : kSchemes) std::printf(" %s |", Info(scheme).name.data());
  std::printf("\n");
  for (const Shape& s : kShapes) {
    if (only != 0 && s.m != only) continue;
    const double plain = Plain(kernels, s, team);
    std::printf("| %ld x %ld x %ld | %.0f |", s.m, s.k, s.n, plain * 1e6);
    for (QuantScheme scheme : kSchemes) {
      const double seconds = Packed(kernels, s, scheme, team, threads);
      std::printf(" %.0f (%.2f) |", seconds * 1e6, plain / seconds);
    }
    std::printf("\n");
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace rlx::bench

int main(int argc, char** argv) { return rlx::bench::Main(argc, argv); }
