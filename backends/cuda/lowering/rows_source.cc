// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/lowering/rows_source.h"

#include <vector>

#include "backends/cuda/launch_notes.h"
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

// gelu: x times half the complementary error function of -x / sqrt(2), which is exp(-x^2 / 2) times
// a function of |x| that a polynomial of our own (by Remez's exchange) has to 9e-5 of it up to 4.5;
// what is beyond is below 4e-6. On the side where nothing cancels.
constexpr Activation kActivations[] = {
    {"none", "return x;"},
    {"relu", "return rlx_max<float>(x, 0.0f);"},
    {"gelu", R"(
  float a;  // NaN stays
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(a) : "f"(fabsf(x)), "f"(20.0f));
  const float t = fminf(a, 4.5f);
  float p = fmaf(8.76631748e-06f, t, -0.000200278635f);
  p = fmaf(p, t, 0.00199695351f);
  p = fmaf(p, t, -0.0115521336f);
  p = fmaf(p, t, 0.0438433476f);
  p = fmaf(p, t, -0.118493482f);
  p = fmaf(p, t, 0.24389863f);
  p = fmaf(p, t, -0.397880614f);
  p = fmaf(p, t, 0.499966949f);
  float e;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(a * a * -0.72134752f));
  return fmaf(-p, e * a, fmaxf(x, 0.0f));)"},
};

constexpr std::string_view kEpilogueBody = R"(
template <bool kWhole>
__device__ __forceinline__ void Run(const Half* x, const Half* residual, Half* y) {
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

// What a lane reads is on its way before any of it is used. What all rows share comes first where
// the launch before may still run meanwhile.
constexpr std::string_view kNormBody = R"(
template <bool kWhole>
struct Shared {
  Eight v[kChunks];
  __device__ __forceinline__ void Read(const Half* from, int lane) {
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      const int column = 8 * (32 * c + lane);
      if (column < kWidth) v[c] = Load<kWhole>(from + column);
    }
  }
};
template <bool kWhole>
__device__ __forceinline__ void Run(const Half* x, const Half* residual, const Half* bias,
                                    const Half* gamma, const Half* beta, Half* norm, Half* sum) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const long long row = (long long)blockIdx.x * kWarps + warp, base = row * kWidth;
  Shared<kWhole> biases, gammas, betas;
  const auto read_shared = [&] {
    if (kBias) biases.Read(bias, lane);
    if (kGamma) gammas.Read(gamma, lane);
    if (kBeta) betas.Read(beta, lane);
  };
  LetFollow();
  if (kEarly) read_shared();
  AwaitBefore();
  if (row >= kRows) return;
  Eight read[kChunks], more[kChunks];
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    const int column = 8 * (32 * c + lane);
    if (column < kWidth) {
      read[c] = Load<kWhole>(x + base + column);
      if (kResidual) more[c] = Load<kWhole>(residual + base + column);
    }
  }
  if (!kEarly) read_shared();
  float v[kChunks][8];
  float total = 0;
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    const int column = 8 * (32 * c + lane);
    if (column < kWidth) {
#pragma unroll
      for (int e = 0; e < 8; ++e) v[c][e] = Widen(read[c].v[e]);
      if (kResidual) Add(v[c], more[c]);
      if (kBias) Add(v[c], biases.v[c]);
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
      for (int e = 0; e < 8; ++e) v[c][e] *= kGamma ? scale * Widen(gammas.v[c].v[e]) : scale;
      if (kBeta) Add(v[c], betas.v[c]);
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
    if (there) {
      parameters_.push_back(Cat(written ? "" : "const ", "Half* ", name));
      whole_.push_back(Cat("Whole(", name, ")"));
    }
    arguments_.push_back(there ? std::string(name) : "nullptr");
  }
  std::string Text(std::string_view lanes, std::string_view begin = "") const {
    const std::string arguments = Join(arguments_, ", ");
    return Cat("extern \"C\" __global__ void __launch_bounds__(", lanes, ") $k(",
               Join(parameters_, ", "), ") {\n", begin, "  if (", Join(whole_, " && "),
               ") {\n    Run<true>(", arguments, ");\n  } else {\n    Run<false>(", arguments,
               ");\n  }\n}\n}  // namespace\n");
  }

 private:
  std::vector<std::string> parameters_, whole_, arguments_;
};

std::string Begin(DType dtype) {
  return Cat(NotesText({.waits = true}), "namespace $k_space {\n", HalfWords(dtype), kFollowing,
             kHelpers);
}

const Activation* Find(std::string_view name) {
  for (const Activation& activation : kActivations) {
    if (activation.name == name) return &activation;
  }
  return nullptr;
}

}  // namespace

bool EpilogueShape::Knows(std::string_view activation) { return Find(activation) != nullptr; }

std::string ActivationWords(std::string_view activation) {
  return Cat("__device__ __forceinline__ float Activate(float x) {", Find(activation)->text,
             "\n}\n");
}

std::string EpilogueSource(const EpilogueShape& s) {
  Entry entry;
  entry.Add("x", true, false);
  entry.Add("residual", s.residual, false);
  entry.Add("y", true, true);
  return Cat(Begin(s.dtype), "constexpr int kLanes = ", EpilogueShape::kLanes,
             ";\nconstexpr long long kTotal = ", s.elements, ";\n",
             BoolConstant("kResidual", s.residual), ActivationWords(s.activation), kEpilogueBody,
             entry.Text("kLanes", "  LetFollow();\n  AwaitBefore();\n"));
}

int NormShape::Warps() const {
  int warps = 8;  // but enough workgroups for a large part's multiprocessors
  while (warps > 1 && rows < int64_t{128} * warps) warps /= 2;
  return warps;
}

std::string NormSource(const NormShape& s) {
  const bool many = s.rows >= NormShape::kManyRows;
  Entry entry;
  entry.Add("x", true, false);
  entry.Add("residual", s.residual, false);
  entry.Add("bias", s.bias, false);
  entry.Add("gamma", s.gamma, false);
  entry.Add("beta", s.beta, false);
  entry.Add("norm", s.norm, true);
  entry.Add("sum", s.sum, true);
  const int64_t of_subgroup = 32 * kStep;
  return Cat(
      Begin(s.dtype), "constexpr int kWarps = ", s.Warps(), ", kWidth = ", s.width,
      ", kChunks = ", (s.width + of_subgroup - 1) / of_subgroup,
      ";\nconstexpr long long kRows = ", s.rows, ";\nconstexpr float kEps = ", FloatText(s.eps),
      ";\n", BoolConstant("kCentered", s.centered), BoolConstant("kResidual", s.residual),
      BoolConstant("kBias", s.bias), BoolConstant("kGamma", s.gamma), BoolConstant("kBeta", s.beta),
      BoolConstant("kNorm", s.norm), BoolConstant("kSum", s.sum),
      BoolConstant("kEarly", s.fixed && s.rows <= NormShape::kFewRows), kOverSubgroup, kNormBody,
      entry.Text(many ? "32 * kWarps, 4" : "32 * kWarps"));
}

}  // namespace rlx::cuda
