// SPDX-License-Identifier: Apache-2.0
// Prints the measured multiply-add peak of this machine by instruction set and threads.
#include "bench/fma_peak.h"

#include <cstdio>

int main() {
  using rlx::cpu::Isa;
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  for (Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) {
    if (isa > rlx::cpu::DetectIsa()) continue;
    for (int threads = 1; threads <= cores; threads *= 2) {
      std::printf("%-8s %2d threads %8.1f GFLOP/s\n", rlx::cpu::IsaName(isa).data(), threads,
                  rlx::bench::FmaPeak(isa, threads));
    }
  }
}
