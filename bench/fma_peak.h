// SPDX-License-Identifier: Apache-2.0
// The most multiply-adds a second that this machine does with its operands in registers: what
// shares of peak are shares of.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "backends/cpu/math/isa.h"

namespace rlx::bench {

inline double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Twelve chains, enough to hide the latency of two multipliers; each loop does them `rounds` times.
// The registers are named, so that nothing is left to the compiler.
inline void FmaLoopAvx512(int64_t rounds) {
  asm volatile(
      "1:\n\t"
      ".irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n\t"
      "vfmadd231ps %%zmm12, %%zmm13, %%zmm\\r\n\t"
      ".endr\n\t"
      "dec %0\n\tjnz 1b\n\tvzeroupper"
      : "+r"(rounds)::"cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
        "xmm9", "xmm10", "xmm11", "xmm12", "xmm13");
}

inline void FmaLoopAvx2(int64_t rounds) {
  asm volatile(
      "1:\n\t"
      ".irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n\t"
      "vfmadd231ps %%ymm12, %%ymm13, %%ymm\\r\n\t"
      ".endr\n\t"
      "dec %0\n\tjnz 1b\n\tvzeroupper"
      : "+r"(rounds)::"cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
        "xmm9", "xmm10", "xmm11", "xmm12", "xmm13");
}

// SSE2 has no fused form: a product and a sum each.
inline void FmaLoopGeneric(int64_t rounds) {
  asm volatile(
      "1:\n\t"
      ".irp r, 0, 1, 2, 3, 4, 5\n\t"
      "mulps %%xmm12, %%xmm\\r\n\t"
      ".endr\n\t"
      ".irp r, 6, 7, 8, 9, 10, 11\n\t"
      "addps %%xmm12, %%xmm\\r\n\t"
      ".endr\n\t"
      "dec %0\n\tjnz 1b"
      : "+r"(rounds)::"cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
        "xmm9", "xmm10", "xmm11", "xmm12");
}

// GFLOP/s of one thread while it runs for about `rounds` loops.
inline double FmaRate(cpu::Isa isa, int64_t rounds) {
  const auto start = std::chrono::steady_clock::now();
  double flops = 0;
  switch (isa) {
    case cpu::Isa::kGeneric:
      FmaLoopGeneric(rounds), flops = 12 * 4;
      break;
    case cpu::Isa::kAvx2:
      FmaLoopAvx2(rounds), flops = 12 * 8 * 2;
      break;
    case cpu::Isa::kAvx512:
      FmaLoopAvx512(rounds), flops = 12 * 16 * 2;
      break;
  }
  return flops * rounds / SecondsSince(start) * 1e-9;
}

// Sum over `threads` threads at the same time; the best of `tries`, because neighbours only slow.
inline double FmaPeak(cpu::Isa isa, int threads, int tries = 7) {
  double best = 0;
  for (int t = 0; t < tries; ++t) {
    std::vector<double> rate(threads);
    std::vector<std::thread> others;
    for (int i = 1; i < threads; ++i) {
      others.emplace_back([&rate, isa, i] { rate[i] = FmaRate(isa, 10'000'000); });
    }
    rate[0] = FmaRate(isa, 10'000'000);
    double sum = rate[0];
    for (int i = 1; i < threads; ++i) others[i - 1].join(), sum += rate[i];
    best = sum > best ? sum : best;
  }
  return best;
}

}  // namespace rlx::bench
