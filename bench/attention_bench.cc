// SPDX-License-Identifier: Apache-2.0
// Fused attention against the measured peak. A row of q, k and v holds all heads side by side, as
// the product that makes them leaves it. Flops are those of the two products; softmax counts as
// none.
//
//   attention_bench [threads=2] [isa=best]
#include "backends/cpu/math/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "bench/fma_peak.h"
#include "runtime/base/thread_pool.h"

namespace rlx::bench {
namespace {

struct Case {
  const char* name;
  int64_t batch, heads, kv_heads, queries, keys, dim;
  bool causal;
};

constexpr Case kCases[] = {{"MiniLM s16", 1, 12, 12, 16, 16, 32, false},
                           {"MiniLM s128", 1, 12, 12, 128, 128, 32, false},
                           {"MiniLM s512", 1, 12, 12, 512, 512, 32, false},
                           {"BERT-base s128", 1, 12, 12, 128, 128, 64, false},
                           {"BERT-base b8 s128", 8, 12, 12, 128, 128, 64, false},
                           {"Llama-1B prefill 512", 1, 32, 8, 512, 512, 64, true},
                           {"Llama-1B decode at 512", 1, 32, 8, 1, 512, 64, true},
                           {"one head s4096", 1, 1, 1, 4096, 4096, 64, false}};

void Bench(const cpu::MathKernels& kernels, const Case& c, ThreadPool& pool, int threads,
           double peak) {
  const int64_t q_row = c.heads * c.dim, kv_row = c.kv_heads * c.dim;
  std::vector<float> q(c.batch * c.queries * q_row, 0.25f), k(c.batch * c.keys * kv_row, 0.5f);
  std::vector<float> v = k, out = q;
  const cpu::HeadStrides rows{c.queries * q_row, c.dim, q_row}, kv{c.keys * kv_row, c.dim, kv_row};
  const cpu::Attention a{.batch = c.batch,
                         .heads = c.heads,
                         .kv_heads = c.kv_heads,
                         .queries = c.queries,
                         .keys = c.keys,
                         .head_dim = c.dim,
                         .value_dim = c.dim,
                         .q = q.data(),
                         .k = k.data(),
                         .v = v.data(),
                         .out = out.data(),
                         .q_strides = rows,
                         .k_strides = kv,
                         .v_strides = kv,
                         .out_strides = rows,
                         .scale = 1 / std::sqrt(static_cast<float>(c.dim)),
                         .causal = c.causal};
  const size_t bytes = (AttentionScratchBytes(kernels, a, threads) + 63) / 64 * 64;
  void* scratch = std::aligned_alloc(64, bytes);
  double flops = 4.0 * c.batch * c.heads * c.queries * c.keys * c.dim;
  if (c.causal && c.queries > 1) flops /= 2;
  const int reps = std::max(3, static_cast<int>(2e8 / flops));
  double best = 1e9;
  Team team = pool.Lease(threads);
  for (int burst = 0; burst < 25; ++burst) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < reps; ++i) Attend(kernels, a, team, scratch);
    best = std::min(best, SecondsSince(start) / reps);
  }
  std::free(scratch);
  const double rate = flops / best * 1e-9;
  std::printf("| %s | %.1f | %.0f | %.0f %% |\n", c.name, best * 1e6, rate, 100 * rate / peak);
}

}  // namespace
}  // namespace rlx::bench

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 2;
  const auto isa = argc > 2 ? rlx::cpu::ParseIsa(argv[2]) : rlx::cpu::DetectIsa();
  if (threads < 1 || !isa || *isa > rlx::cpu::DetectIsa()) {
    std::fprintf(stderr, "usage: attention_bench [threads] [generic|avx2|avx512]\n");
    return 2;
  }
  const double peak = rlx::bench::FmaPeak(*isa, threads);
  std::printf("%s, %d threads, peak %.0f GFLOP/s\n\n", rlx::cpu::IsaName(*isa).data(), threads,
              peak);
  std::printf("| case | microseconds | GFLOP/s | of peak |\n| --- | --- | --- | --- |\n");
  rlx::ThreadPool pool(threads - 1);
  for (const auto& c : rlx::bench::kCases) {
    rlx::bench::Bench(rlx::cpu::MathFor(*isa), c, pool, threads, peak);
  }
}
