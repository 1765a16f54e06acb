# SPDX-License-Identifier: Apache-2.0
"""The multiply-add rate that this machine can reach, to judge other rates by."""

import subprocess
import tempfile
from pathlib import Path

# Ten independent accumulators hide the latency of a fused multiply-add; vectors are as wide as the
# processor's. Threads run for the same while, and what counts is the sum of their rates.
_SOURCE = r"""
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

typedef float Vector __attribute__((vector_size(FLOATS * 4)));

double Rate(double seconds) {
  Vector x = Vector{} + 0.999f, y = Vector{} + 0.001f;
  Vector a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x;
  asm volatile("" : "+v"(x), "+v"(y));
#define STEP(v) v = v * x + y; asm volatile("" : "+v"(v));
  long rounds = 0;
  auto start = std::chrono::steady_clock::now();
  double elapsed;
  do {
    for (int round = 0; round < 100000; ++round) {
      STEP(a) STEP(b) STEP(c) STEP(d) STEP(e) STEP(f) STEP(g) STEP(h) STEP(i) STEP(j)
    }
    rounds += 100000;
    elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  } while (elapsed < seconds);
  return rounds * 10.0 * FLOATS * 2 / elapsed;
}

int main(int, char** argv) {
  int threads = atoi(argv[1]);
  std::vector<double> rates(threads);
  std::vector<std::thread> workers;
  for (double& rate : rates) workers.emplace_back([&rate] { rate = Rate(0.3); });
  for (auto& worker : workers) worker.join();
  double sum = 0;
  for (double rate : rates) sum += rate;
  printf("%.0f\n", sum);
}
"""


def measure(threads: list[int], repeats: int = 3) -> dict[int, float]:
    """Floating-point operations per second, fp32, for each number of threads; best of `repeats`."""
    flags = Path("/proc/cpuinfo").read_text()
    floats = 16 if " avx512f" in flags else 8
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder, "peak.cc"), Path(folder, "peak")
        source.write_text(_SOURCE)
        command = ["g++", "-std=c++20", "-O2", "-march=native", "-ffp-contract=fast", "-pthread"]
        command += [f"-DFLOATS={floats}", "-o", str(binary), str(source)]
        subprocess.run(command, check=True)
        return {
            count: max(
                float(subprocess.run([binary, str(count)], check=True, capture_output=True).stdout)
                for _ in range(repeats)
            )
            for count in threads
        }
