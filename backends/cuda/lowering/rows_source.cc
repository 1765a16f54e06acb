// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/lowering/rows_source.h"

#include <vector>

#include "backends/cuda/lowering/source_text.h"

namespace rlx::cuda {
namespace {

// Eight neighbours: by 16 bytes where all buffers lie so, which is asked once a kernel.
constexpr std::string_view kHelpers = R"(
struct __align__(16) Eight { Half v[8]; };
__device__ __forceinline__ bool Whole(const Half* p) { return (unsigned long long)p % 16 == 0; }
template <bool kWhole>
__device__ __forceinline__ Eight Load(const Half* p) {
  if (kWhole) return *(const Eight*)p;
  Eight bits;
#pragma unroll
  for (int e = 0; e < 8; ++e) bits.v[e] = p[e];
  return bits;
}
__device__ __forceinline__ void Add(float (&to)[8], const Eight& more) {
#pragma unroll
  for (int e = 0; e < 8; ++e) to[e] += Widen(more.v[e]);
}
template <bool kWhole>
__device__ __forceinline__ void Store(Half* p, const float (&v)[8]) {
  Eight bits;
#pragma unroll
  for (int e = 0; e < 8; ++e) bits.v[e] = Narrow(v[e]);
  if (kWhole) {
    *(Eight*)p = bits;
    return;
  }
#pragma unroll
  for (int e = 0; e < 8; ++e) p[e] = bits.v[e];
}
)";

struct Activation {
  std::string_view name, text;
};

// gelu: x times half the complementary error function of -x / sqrt(2), by Abramowitz and Stegun's
// 7.1.26 (error 1.5e-7) on the side where nothing cancels.
constexpr Activation kActivations[] = {
    {"none", "return x;"},
    {"relu", "return rlx_max<float>(x, 0.0f);"},
    {"gelu", R"(
  const float a = fminf(fabsf(x), 20.0f);  // where nothing is left beyond
  const float t = __fdividef(1.0f, fmaf(0.2316418882f, a, 1.0f));
  float p = fmaf(1.061405429f, t, -1.453152027f);
  p = fmaf(p, t, 1.421413741f);
  p = fmaf(p, t, -0.284496736f);
  p = fmaf(p, t, 0.254829592f);
  float e;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(a * a * -0.72134752f));
  const float beyond = 0.5f * p * t * e * a;
  return x > 0 ? x - beyond : x != x ? x : -beyond;)"},
};

constexpr std::string_view kEpilogueBody = R"(
template <bool kWhole>
__device__ __forceinline__ void Run(const Half* __restrict__ x, const Half* __restrict__ residual,
                                    Half* __restrict__ y) {
  const long long at = 8ll * ((long long)blockIdx.x * kLanes + threadIdx.x);
  if (at >= kTotal) return;
  const Eight read = Load<kWhole>(x + at);
  float v[8];
#pragma unroll
  for (int e = 0; e < 8; ++e) v[e] = Activate(Widen(read.v[e]));
  if (kResidual) Add(v, Load<kWhole>(residual + at));
  Store<kWhole>(y + at, v);
}
)";

// What a lane reads is on its way before any of it is used.
constexpr std::string_view kNormBody = R"(
template <bool kWhole>
__device__ __forceinline__ void Run(const Half* __restrict__ x, const Half* __restrict__ residual,
                                    const Half* __restrict__ bias, const Half* __restrict__ gamma,
                                    const Half* __restrict__ beta, Half* __restrict__ norm,
                                    Half* __restrict__ sum) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const long long row = (long long)blockIdx.x * kWarps + warp;
  if (row >= kRows) return;
  const long long base = row * kWidth;
  Eight read[kChunks], more[kChunks], biases[kChunks], gammas[kChunks], betas[kChunks];
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    const int column = 8 * (32 * c + lane);
    if (column < kWidth) {
      read[c] = Load<kWhole>(x + base + column);
      if (kResidual) more[c] = Load<kWhole>(residual + base + column);
      if (kBias) biases[c] = Load<kWhole>(bias + column);
      if (kGamma) gammas[c] = Load<kWhole>(gamma + column);
      if (kBeta) betas[c] = Load<kWhole>(beta + column);
    }
  }
  float v[kChunks][8];
  float total = 0;
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    const int column = 8 * (32 * c + lane);
    if (column < kWidth) {
#pragma unroll
      for (int e = 0; e < 8; ++e) v[c][e] = Widen(read[c].v[e]);
      if (kResidual) Add(v[c], more[c]);
      if (kBias) Add(v[c], biases[c]);
      if (kSum) Store<kWhole>(sum + base + column, v[c]);
#pragma unroll
      for (int e = 0; e < 8; ++e) total += v[c][e];
    }
  }
  if (!kNorm) return;
  const float mean = kCentered ? OverSubgroup(total) * (1.0f / kWidth) : 0.0f;
  float squares = 0;
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    if (8 * (32 * c + lane) < kWidth) {
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        v[c][e] -= mean;
        squares = fmaf(v[c][e], v[c][e], squares);
      }
    }
  }
  const float scale = 1.0f / sqrtf(OverSubgroup(squares) * (1.0f / kWidth) + kEps);
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    const int column = 8 * (32 * c + lane);
    if (column < kWidth) {
#pragma unroll
      for (int e = 0; e < 8; ++e) v[c][e] *= kGamma ? scale * Widen(gammas[c].v[e]) : scale;
      if (kBeta) Add(v[c], betas[c]);
      Store<kWhole>(norm + base + column, v[c]);
    }
  }
}
)";

constexpr std::string_view kOverSubgroup = R"(
__device__ __forceinline__ float OverSubgroup(float v) {
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) v += __shfl_xor_sync(0xffffffffu, v, mask);
  return v;
}
)";

// The kernel: Run on its parameters, which stand in the order of its buffers; what is absent is
// null.
class Entry {
 public:
  void Add(std::string_view name, bool there, bool written) {
    const std::string_view constness = written ? "" : "const ";
    if (there) {
      parameters_.push_back(Cat(constness, "Half* __restrict__ ", name));
      whole_.push_back(Cat("Whole(", name, ")"));
    }
    arguments_.push_back(there ? std::string(name) : "nullptr");
  }
  std::string Text(std::string_view lanes) const {
    const std::string arguments = Join(arguments_, ", ");
    return Cat("extern \"C\" __global__ void __launch_bounds__(", lanes, ") $k(",
               Join(parameters_, ", "), ") {\n  if (", Join(whole_, " && "), ") {\n    Run<true>(",
               arguments, ");\n  } else {\n    Run<false>(", arguments,
               ");\n  }\n}\n}  // namespace\n");
  }

 private:
  std::vector<std::string> parameters_, whole_, arguments_;
};

std::string Begin(DType dtype) { return Cat("namespace $k_space {\n", HalfWords(dtype), kHelpers); }

const Activation* Find(std::string_view name) {
  for (const Activation& activation : kActivations) {
    if (activation.name == name) return &activation;
  }
  return nullptr;
}

}  // namespace

bool EpilogueShape::Knows(std::string_view activation) { return Find(activation) != nullptr; }

std::string EpilogueSource(const EpilogueShape& s) {
  Entry entry;
  entry.Add("x", true, false);
  entry.Add("residual", s.residual, false);
  entry.Add("y", true, true);
  return Cat(Begin(s.dtype), "constexpr int kLanes = ", EpilogueShape::kLanes,
             ";\nconstexpr long long kTotal = ", s.elements, ";\n",
             BoolConstant("kResidual", s.residual),
             "__device__ __forceinline__ float Activate(float x) {", Find(s.activation)->text,
             "\n}\n", kEpilogueBody, entry.Text("kLanes"));
}

int NormShape::Warps() const {
  int warps = 8;  // but enough workgroups for a large part's multiprocessors
  while (warps > 1 && rows < int64_t{128} * warps) warps /= 2;
  return warps;
}

std::string NormSource(const NormShape& s) {
  Entry entry;
  entry.Add("x", true, false);
  entry.Add("residual", s.residual, false);
  entry.Add("bias", s.bias, false);
  entry.Add("gamma", s.gamma, false);
  entry.Add("beta", s.beta, false);
  entry.Add("norm", s.norm, true);
  entry.Add("sum", s.sum, true);
  const int64_t of_subgroup = 32 * kStep;
  return Cat(Begin(s.dtype), "constexpr int kWarps = ", s.Warps(), ", kWidth = ", s.width,
             ", kChunks = ", (s.width + of_subgroup - 1) / of_subgroup,
             ";\nconstexpr long long kRows = ", s.rows,
             ";\nconstexpr float kEps = ", FloatText(s.eps), ";\n",
             BoolConstant("kCentered", s.centered), BoolConstant("kResidual", s.residual),
             BoolConstant("kBias", s.bias), BoolConstant("kGamma", s.gamma),
             BoolConstant("kBeta", s.beta), BoolConstant("kNorm", s.norm),
             BoolConstant("kSum", s.sum), kOverSubgroup, kNormBody, entry.Text("32 * kWarps"));
}

}  // namespace rlx::cuda
