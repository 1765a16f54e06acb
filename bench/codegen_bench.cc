// SPDX-License-Identifier: Apache-2.0
// Code of the CPU generator: bytes a second of standard kernels on one thread, beside hand-written
// AVX2 and AVX-512, and milliseconds a kernel takes to compile and load.
#include <benchmark/benchmark.h>
#include <immintrin.h>

#include <cmath>
#include <cstdlib>

#include "backends/cpu/codegen/codegen.h"
#include "runtime/base/check.h"
#include "runtime/kernel/builder.h"

namespace rlx::cpu {
namespace {

using kernel::Builder;
using kernel::Kernel;
using kernel::Op;
using kernel::Value;
using enum kernel::Type;

constexpr int64_t kRows = 128, kColumns = 384;

Kernel Done(Builder&& b) {
  auto kernel = std::move(b).Finish();
  CHECK(kernel.ok(), kernel.status().message());
  return *std::move(kernel);
}

// out = f(x, y), element by element.
template <class F>
Kernel Elementwise(std::string name, int local, int64_t n, F&& f) {
  Builder b(std::move(name), local);
  const Value x = b.Input(kF32), y = b.Input(kF32), out = b.Output(kF32);
  const Value i = b.GlobalId(kI64);
  b.If(b.Lt(i, b.I64(n)), [&] { b.Store(out, i, f(b, b.Load(x, i), b.Load(y, i))); });
  return Done(std::move(b));
}

Value Add(Builder& b, Value x, Value y) { return b.Add(x, y); }

Value Gelu(Builder& b, Value x, Value) {
  const Value erf = b.Unary(Op::kErf, b.Mul(x, b.F32(0.70710678F)));
  return b.Mul(b.Mul(x, b.F32(0.5F)), b.Add(erf, b.F32(1)));
}

Kernel Softmax(int local) {
  Builder b("softmax", local);
  const Value x = b.Input(kF32);
  b.Input(kF32);
  const Value out = b.Output(kF32), n = b.I64(kColumns);
  const Value base = b.Mul(b.GroupId(kI64), n);
  const auto at = [&](Value column) { return b.Load(x, b.Add(base, column)); };
  const Value max = b.ReduceOver(Op::kReduceMax, kF32, n, at);
  const Value sum = b.ReduceOver(Op::kReduceAdd, kF32, n, [&](Value column) {
    const Value e = b.Unary(Op::kExp, b.Sub(at(column), max));
    b.Store(out, b.Add(base, column), e);
    return e;
  });
  const Value scale = b.Div(b.F32(1), sum);
  b.ForLanes(n, [&](Value column) {
    const Value i = b.Add(base, column);
    b.Store(out, i, b.Mul(b.Load(out, i), scale));
  });
  return Done(std::move(b));
}

// x, y = gamma and beta in one buffer, out.
Kernel LayerNorm(int local) {
  Builder b("layer_norm", local);
  const Value x = b.Input(kF32), affine = b.Input(kF32), out = b.Output(kF32), n = b.I64(kColumns);
  const Value base = b.Mul(b.GroupId(kI64), n), inverse = b.F32(1.0F / kColumns);
  const auto at = [&](Value column) { return b.Load(x, b.Add(base, column)); };
  const Value mean = b.Mul(b.ReduceOver(Op::kReduceAdd, kF32, n, at), inverse);
  const Value squares = b.ReduceOver(Op::kReduceAdd, kF32, n, [&](Value column) {
    const Value d = b.Sub(at(column), mean);
    return b.Mul(d, d);
  });
  const Value scale = b.Unary(Op::kRsqrt, b.Fma(squares, inverse, b.F32(1e-5F)));
  b.ForLanes(n, [&](Value column) {
    const Value normal = b.Mul(b.Sub(at(column), mean), scale);
    const Value beta = b.Load(affine, b.Add(column, n));
    b.Store(out, b.Add(base, column), b.Fma(normal, b.Load(affine, column), beta));
  });
  return Done(std::move(b));
}

// Rows become columns: x[kRows][kColumns] -> out[kColumns][kRows].
Kernel Transpose(int local) {
  Builder b("transpose", local);
  const Value x = b.Input(kF32);
  b.Input(kF32);
  const Value out = b.Output(kF32), i = b.GlobalId(kI64), rows = b.I64(kRows);
  const Value from = b.Add(b.Mul(b.Rem(i, rows), b.I64(kColumns)), b.Div(i, rows));
  b.Store(out, i, b.Load(x, from));
  return Done(std::move(b));
}

CpuTarget Target(const char* name) {
  auto target = TargetByName(name);
  CHECK(target.ok());
  return *target;
}

std::unique_ptr<LoadedObject> Compile(const Kernel& kernel, const CpuTarget& target) {
  auto object = CompileToObject({&kernel, 1}, target);
  CHECK(object.ok(), object.status().message());
  auto code = LoadedObject::Load(*object);
  CHECK(code.ok(), code.status().message());
  return *std::move(code);
}

// A page-aligned buffer of small numbers.
struct Buffer {
  explicit Buffer(int64_t n)
      : data(static_cast<float*>(
            std::aligned_alloc(4096, static_cast<size_t>((n * 4 + 4095) / 4096 * 4096)))) {
    for (int64_t i = 0; i < n; ++i) data[i] = std::sin(static_cast<float>(i)) * 2;
  }
  ~Buffer() { std::free(data); }
  float* data;
};

// `streams` buffers of n floats pass through memory each time.
template <class Run>
void Measure(benchmark::State& state, int64_t n, int streams, Run&& run) {
  Buffer x(n), y(std::max<int64_t>(n, 2 * kColumns)), out(n);
  for (auto unused : state) {
    run(x.data, y.data, out.data);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * n * 4 * streams);
}

void Run(benchmark::State& state, const Kernel& kernel, const CpuTarget& target, int64_t n,
         int64_t groups, int streams) {
  const auto code = Compile(kernel, target);
  const KernelFn function = code->Find(kernel.name);
  Measure(state, n, streams, [&](float* x, float* y, float* out) {
    void* buffers[] = {x, y, out};
    function(buffers, nullptr, 0, groups);
  });
}

// --- The same by hand
// ------------------------------------------------------------------------------

__attribute__((target("avx2,fma"))) void AddAvx2(const float* x, const float* y, float* out,
                                                 int64_t n) {
  for (int64_t i = 0; i < n; i += 8) {
    _mm256_storeu_ps(out + i, _mm256_add_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
  }
}

__attribute__((target("avx2,fma"))) float Sum(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

__attribute__((target("avx2,fma"))) void LayerNormAvx2(const float* x, const float* affine,
                                                       float* out) {
  for (int64_t row = 0; row < kRows; ++row, x += kColumns, out += kColumns) {
    __m256 sum[4] = {}, square[4] = {};
    for (int64_t i = 0; i < kColumns; i += 32) {
#pragma GCC unroll 4
      for (int64_t k = 0; k < 4; ++k)
        sum[k] = _mm256_add_ps(sum[k], _mm256_loadu_ps(x + i + 8 * k));
    }
    const float total =
        Sum(_mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3])));
    const __m256 mean = _mm256_set1_ps(total / kColumns);
    for (int64_t i = 0; i < kColumns; i += 32) {
#pragma GCC unroll 4
      for (int64_t k = 0; k < 4; ++k) {
        const __m256 d = _mm256_sub_ps(_mm256_loadu_ps(x + i + 8 * k), mean);
        square[k] = _mm256_fmadd_ps(d, d, square[k]);
      }
    }
    const float squares = Sum(
        _mm256_add_ps(_mm256_add_ps(square[0], square[1]), _mm256_add_ps(square[2], square[3])));
    const __m256 scale = _mm256_set1_ps(1 / std::sqrt(squares / kColumns + 1e-5F));
    for (int64_t i = 0; i < kColumns; i += 8) {
      const __m256 normal = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), mean), scale);
      const __m256 beta = _mm256_loadu_ps(affine + kColumns + i);
      _mm256_storeu_ps(out + i, _mm256_fmadd_ps(normal, _mm256_loadu_ps(affine + i), beta));
    }
  }
}

__attribute__((target("avx512f,avx512dq,avx2,fma"))) float Sum512(__m512 v) {
  alignas(64) float lanes[16];
  _mm512_store_ps(lanes, v);
  return Sum(_mm256_add_ps(_mm256_load_ps(lanes), _mm256_load_ps(lanes + 8)));
}

__attribute__((target("avx512f"))) void AddAvx512(const float* x, const float* y, float* out,
                                                  int64_t n) {
  for (int64_t i = 0; i < n; i += 16) {
    _mm512_storeu_ps(out + i, _mm512_add_ps(_mm512_loadu_ps(x + i), _mm512_loadu_ps(y + i)));
  }
}

__attribute__((target("avx512f"))) void LayerNormAvx512(const float* x, const float* affine,
                                                        float* out) {
  for (int64_t row = 0; row < kRows; ++row, x += kColumns, out += kColumns) {
    __m512 sum[4] = {}, square[4] = {};
    for (int64_t i = 0; i < kColumns; i += 64) {
#pragma GCC unroll 4
      for (int64_t k = 0; k < 4; ++k)
        sum[k] = _mm512_add_ps(sum[k], _mm512_loadu_ps(x + i + 16 * k));
    }
    const __m512 total =
        _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3]));
    const __m512 mean = _mm512_set1_ps(Sum512(total) / kColumns);
    for (int64_t i = 0; i < kColumns; i += 64) {
#pragma GCC unroll 4
      for (int64_t k = 0; k < 4; ++k) {
        const __m512 d = _mm512_sub_ps(_mm512_loadu_ps(x + i + 16 * k), mean);
        square[k] = _mm512_fmadd_ps(d, d, square[k]);
      }
    }
    const __m512 all =
        _mm512_add_ps(_mm512_add_ps(square[0], square[1]), _mm512_add_ps(square[2], square[3]));
    const __m512 scale = _mm512_set1_ps(1 / std::sqrt(Sum512(all) / kColumns + 1e-5F));
    for (int64_t i = 0; i < kColumns; i += 16) {
      const __m512 normal = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + i), mean), scale);
      const __m512 beta = _mm512_loadu_ps(affine + kColumns + i);
      _mm512_storeu_ps(out + i, _mm512_fmadd_ps(normal, _mm512_loadu_ps(affine + i), beta));
    }
  }
}

// --- Registration
// ----------------------------------------------------------------------------------

void RegisterTarget(const char* name, const CpuTarget& target) {
  constexpr int64_t kSmall = 6 << 10, kLarge = 16 << 20, kActivation = kRows * kColumns;
  const auto add = [&](std::string what, int local, const Kernel& kernel, int64_t n, int64_t groups,
                       int streams) {
    benchmark::RegisterBenchmark(
        (what + "/" + name + "/local:" + std::to_string(local)).c_str(),
        [=](benchmark::State& state) { Run(state, kernel, target, n, groups, streams); });
  };
  for (int times : {1, 2, 4}) {
    const int local = times * target.lanes;
    add("add_l1", local, Elementwise("add", local, kSmall, Add), kSmall, kSmall / local, 3);
    add("add_memory", local, Elementwise("add", local, kLarge, Add), kLarge, kLarge / local, 3);
    add("gelu_l2", local, Elementwise("gelu", local, kActivation, Gelu), kActivation,
        kActivation / local, 2);
    add("gelu_memory", local, Elementwise("gelu", local, kLarge, Gelu), kLarge, kLarge / local, 2);
    add("softmax_128x384", local, Softmax(local), kActivation, kRows, 2);
    add("layer_norm_128x384", local, LayerNorm(local), kActivation, kRows, 2);
    add("transpose_128x384", local, Transpose(local), kActivation, kActivation / local, 2);
  }
  const auto compile = [&](std::string what, const Kernel& kernel) {
    benchmark::RegisterBenchmark((what + "/" + name).c_str(), [=](benchmark::State& state) {
      for (auto unused : state) benchmark::DoNotOptimize(Compile(kernel, target));
    })->Unit(benchmark::kMillisecond);
  };
  compile("compile_add", Elementwise("add", target.lanes, kSmall, Add));
  compile("compile_gelu", Elementwise("gelu", target.lanes, kSmall, Gelu));
  compile("compile_softmax", Softmax(target.lanes));
  compile("compile_layer_norm", LayerNorm(4 * target.lanes));
  benchmark::RegisterBenchmark(
      (std::string("compile_20_gelus/") + name).c_str(),
      [=](benchmark::State& state) {
        std::vector<Kernel> kernels;
        for (int i = 0; i < 20; ++i)
          kernels.push_back(Elementwise(Cat("gelu", i), target.lanes, kSmall, Gelu));
        for (auto unused : state) benchmark::DoNotOptimize(CompileToObject(kernels, target));
      })
      ->Unit(benchmark::kMillisecond);
  const Kernel gelu = Elementwise("gelu", target.lanes, kSmall, Gelu);
  benchmark::RegisterBenchmark((std::string("load_gelu/") + name).c_str(),
                               [=](benchmark::State& state) {
                                 const auto object = CompileToObject({&gelu, 1}, target);
                                 for (auto unused : state)
                                   benchmark::DoNotOptimize(LoadedObject::Load(*object));
                               })
      ->Unit(benchmark::kMicrosecond);
}

void RegisterByHand() {
  constexpr int64_t kSmall = 6 << 10, kLarge = 16 << 20, kActivation = kRows * kColumns;
  if (__builtin_cpu_supports("avx2")) {
    for (int64_t n : {kSmall, kLarge}) {
      benchmark::RegisterBenchmark(
          n == kSmall ? "add_l1/avx2_by_hand" : "add_memory/avx2_by_hand",
          [=](benchmark::State& state) {
            Measure(state, n, 3, [=](float* x, float* y, float* out) { AddAvx2(x, y, out, n); });
          });
    }
    benchmark::RegisterBenchmark("layer_norm_128x384/avx2_by_hand", [](benchmark::State& state) {
      Measure(state, kActivation, 2,
              [](float* x, float* y, float* out) { LayerNormAvx2(x, y, out); });
    });
  }
  if (__builtin_cpu_supports("avx512f")) {
    for (int64_t n : {kSmall, kLarge}) {
      benchmark::RegisterBenchmark(
          n == kSmall ? "add_l1/avx512_by_hand" : "add_memory/avx512_by_hand",
          [=](benchmark::State& state) {
            Measure(state, n, 3, [=](float* x, float* y, float* out) { AddAvx512(x, y, out, n); });
          });
    }
    benchmark::RegisterBenchmark("layer_norm_128x384/avx512_by_hand", [](benchmark::State& state) {
      Measure(state, kActivation, 2,
              [](float* x, float* y, float* out) { LayerNormAvx512(x, y, out); });
    });
  }
}

}  // namespace
}  // namespace rlx::cpu

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (const char* name : {"x86-64", "x86-64-v3", "x86-64-v4", "host"}) {
    const rlx::cpu::CpuTarget target = rlx::cpu::Target(name);
    if (rlx::cpu::CheckHostRuns(target).ok()) rlx::cpu::RegisterTarget(name, target);
  }
  rlx::cpu::RegisterByHand();
  benchmark::RunSpecifiedBenchmarks();
}
