// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cmath>
#include <complex>

#include "backends/cpu/element.h"
#include "backends/cpu/routine.h"
#include "backends/cpu/rule.h"
#include "runtime/base/paced_check.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"
#include "runtime/device/generate/loop_nest.h"
#include "runtime/ir/op_info.h"

// fft and the dense solvers, in double whatever the type: these are not what a model spends its
// time in.
namespace rlx::cpu {
namespace {

using Complex = std::complex<double>;
using device::ProgramBuilder;
using device::Step;

// --- fft. Buffers x, out. A line is `kPoints` complex numbers; number j is at kStep·j, its
// imaginary part kImaginary further on.
enum FftSlot : size_t { kLines, kPoints, kFftType, kStepBetween, kImaginary, kInverse, kFftInts };

// The least power of two that holds a convolution of n points with itself.
int64_t Padded(int64_t n) {
  const auto size = static_cast<uint64_t>(n);
  return std::has_single_bit(size) ? n : static_cast<int64_t>(std::bit_ceil(2 * size - 1));
}

// A line and, for Bluestein, its kernel.
size_t FftScratch(const MathKernels&, const Step& step, int threads) {
  const int64_t n = step.ints[kPoints], padded = Padded(n);
  return static_cast<size_t>(n == padded ? n : 2 * padded) * sizeof(Complex) *
         static_cast<size_t>(threads);
}

// In place, n a power of two; sign -1 forward. Leaves off once the check is done.
void Radix2(Complex* x, int64_t n, double sign, PacedCheck& check) {
  for (int64_t i = 1, j = 0; i < n; ++i) {
    int64_t bit = n >> 1;
    for (; (j & bit) != 0; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) std::swap(x[i], x[j]);
  }
  for (int64_t half = 1; half < n; half *= 2) {
    for (int64_t k = 0; k < half; ++k) {
      if (check.Done(n / half)) return;
      const Complex turn =
          std::polar(1.0, sign * M_PI * static_cast<double>(k) / static_cast<double>(half));
      for (int64_t i = k; i < n; i += 2 * half) {
        const Complex odd = x[i + half] * turn;
        x[i + half] = x[i] - odd;
        x[i] += odd;
      }
    }
  }
}

// e^(sign·πi·k²/n), with k² (k below 2^31) taken modulo 2n so that large k keep
// their digits.
Complex Chirp(int64_t k, int64_t n, double sign) {
  const auto square = k * k % (2 * n);
  return std::polar(1.0, sign * M_PI * static_cast<double>(square) / static_cast<double>(n));
}

// Bluestein: a transform of any length as a convolution with a chirp, of a padded length.
void AnyLength(Complex* x, Complex* kernel, int64_t n, int64_t padded, double sign,
               PacedCheck& check) {
  std::fill(x + n, x + padded, Complex{});
  std::fill(kernel, kernel + padded, Complex{});
  for (int64_t k = 0; k < n; ++k) {
    x[k] *= Chirp(k, n, sign);
    kernel[k] = kernel[(padded - k) % padded] = Chirp(k, n, -sign);
  }
  Radix2(x, padded, -1, check);
  Radix2(kernel, padded, -1, check);
  for (int64_t k = 0; k < padded; ++k) x[k] *= kernel[k];
  Radix2(x, padded, 1, check);
  for (int64_t k = 0; k < n; ++k) x[k] *= Chirp(k, n, sign) / static_cast<double>(padded);
}

absl::Status RunFft(const RoutineCall& call) {
  const auto& ints = call.step.ints;
  const int64_t n = ints[kPoints], padded = Padded(n), step = ints[kStepBetween];
  const auto dtype = static_cast<DType>(ints[kFftType]);
  const double sign = ints[kInverse] != 0 ? 1 : -1, scale = call.step.floats[0];
  call.team.ParallelFor(0, ints[kLines], 1, [&](int64_t begin, int64_t end, int member) {
    PacedCheck check(call.cancel);
    Complex* x = static_cast<Complex*>(call.scratch) + member * (n == padded ? n : 2 * padded);
    for (int64_t line = begin; line < end; ++line) {
      const int64_t first = line * 2 * n;
      for (int64_t j = 0; j < n; ++j) {
        const int64_t at = first + step * j;
        x[j] = {LoadNumber(call.buffers[0], dtype, at),
                LoadNumber(call.buffers[0], dtype, at + ints[kImaginary])};
      }
      if (n == padded)
        Radix2(x, n, sign, check);
      else
        AnyLength(x, x + padded, n, padded, sign, check);
      for (int64_t j = 0; j < n; ++j) {
        const int64_t at = first + step * j;
        StoreFloat(call.buffers[1], dtype, at, scale * x[j].real());
        StoreFloat(call.buffers[1], dtype, at + ints[kImaginary], scale * x[j].imag());
      }
    }
  });
  return absl::OkStatus();
}

double FftScale(const Node& node, int64_t n) {
  const std::string& norm = node.Str("norm");
  if (norm == "ortho") return 1 / std::sqrt(static_cast<double>(n));
  return norm == "forward" && node.Bool("inverse") ? 1 / static_cast<double>(n) : 1;
}

absl::Status LowerFft(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  const Node& node = out.graph().node(id);
  RLX_ASSIGN(const auto x, device::Densify(out, {.lanes = target.lanes}, out.In(node.operands[0])));
  const bool interleaved = x.type.dtype == DType::kC64;
  const int64_t n = interleaved ? x.dims.back() : x.dims.back() / 2;
  Step step{.kind = Step::Kind::kCall,
            .routine = "fft",
            .buffers = {x.buffer, out.Out({id, 0}).buffer},
            .floats = {FftScale(node, n)},
            .label = Cat("fft %", id)};
  step.ints.assign(kFftInts, 0);
  step.ints[kLines] = *x.type.NumElements() / x.dims.back();
  step.ints[kPoints] = n;
  step.ints[kFftType] = static_cast<int64_t>(x.type.dtype);
  step.ints[kStepBetween] = interleaved ? 2 : 1;
  step.ints[kImaginary] = interleaved ? 1 : n;
  step.ints[kInverse] = node.Bool("inverse") ? 1 : 0;
  step.cost_flops = 40 * *x.type.NumElements();
  step.cost_bytes = 2 * *x.type.ByteSize();
  out.Emit(std::move(step));
  return absl::OkStatus();
}

// --- Solvers. Buffers a, b, out.
enum SolveSlot : size_t { kSystems, kOrder, kColumns, kSolveType, kSolveInts };

size_t SolveScratch(const MathKernels&, const Step& step, int threads) {
  const int64_t n = step.ints[kOrder], k = step.ints[kColumns];
  return static_cast<size_t>(n * (n + k)) * sizeof(double) * static_cast<size_t>(threads);
}

// Rows of [a | b], width n + k, to the solution in the last k columns. The column without a pivot,
// or -1. Leaves off once the check is done.
int64_t SolveRows(double* rows, int64_t n, int64_t k, PacedCheck& check) {
  const int64_t width = n + k;
  for (int64_t c = 0; c < n; ++c) {
    int64_t pivot = c;
    for (int64_t r = c + 1; r < n; ++r)
      if (std::abs(rows[r * width + c]) > std::abs(rows[pivot * width + c])) pivot = r;
    if (!(std::abs(rows[pivot * width + c]) > 0)) return c;
    if (pivot != c)
      std::swap_ranges(rows + c * width + c, rows + (c + 1) * width, rows + pivot * width + c);
    for (int64_t r = 0; r < n; ++r) {  // Gauss-Jordan: above the pivot too
      if (r == c) continue;
      if (check.Done(width - c)) return -1;
      const double factor = rows[r * width + c] / rows[c * width + c];
      for (int64_t j = c; factor != 0 && j < width; ++j)
        rows[r * width + j] -= factor * rows[c * width + j];
    }
  }
  for (int64_t r = 0; r < n; ++r)
    for (int64_t j = 0; j < k; ++j) rows[r * width + n + j] /= rows[r * width + r];
  return -1;
}

absl::Status RunSolve(const RoutineCall& call) {
  const auto& ints = call.step.ints;
  const int64_t n = ints[kOrder], k = ints[kColumns], width = n + k;
  const auto dtype = static_cast<DType>(ints[kSolveType]);
  std::atomic<int64_t> singular{-1};
  call.team.ParallelFor(0, ints[kSystems], 1, [&](int64_t begin, int64_t end, int member) {
    PacedCheck check(call.cancel);
    double* rows = static_cast<double*>(call.scratch) + member * n * width;
    for (int64_t s = begin; s < end; ++s) {
      for (int64_t r = 0; r < n; ++r)
        for (int64_t j = 0; j < width; ++j)
          rows[r * width + j] = j < n ? LoadNumber(call.buffers[0], dtype, (s * n + r) * n + j)
                                      : LoadNumber(call.buffers[1], dtype, (s * n + r) * k + j - n);
      if (SolveRows(rows, n, k, check) >= 0) singular.store(s, std::memory_order_relaxed);
      for (int64_t r = 0; r < n; ++r)
        for (int64_t j = 0; j < k; ++j)
          StoreFloat(call.buffers[2], dtype, (s * n + r) * k + j, rows[r * width + n + j]);
    }
  });
  const int64_t bad = singular.load(std::memory_order_relaxed);
  if (bad < 0) return absl::OkStatus();
  return InvalidArgument(call.step.label, ": matrix ", bad, " is singular");
}

absl::Status LowerSolve(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  const Node& node = out.graph().node(id);
  const device::Schedule schedule{.lanes = target.lanes};
  RLX_ASSIGN(const auto a, device::Densify(out, schedule, out.In(node.operands[0])));
  RLX_ASSIGN(const auto b, device::Densify(out, schedule, out.In(node.operands[1])));
  const int64_t n = a.dims.back(), systems = *a.type.NumElements() / (n * n);
  Step step{.kind = Step::Kind::kCall,
            .routine = "dense_solve",
            .buffers = {a.buffer, b.buffer, out.Out({id, 0}).buffer},
            .label = Cat(Name(node.op), " %", id)};
  step.ints.assign(kSolveInts, 0);
  step.ints[kSystems] = systems;
  step.ints[kOrder] = n;
  step.ints[kColumns] = *b.type.NumElements() / (systems * n);
  step.ints[kSolveType] = static_cast<int64_t>(a.type.dtype);
  step.cost_flops = systems * n * n * (n + step.ints[kColumns]);
  step.cost_bytes = *a.type.ByteSize() + *b.type.ByteSize();
  out.Emit(std::move(step));
  return absl::OkStatus();
}

std::string Refuse(const Graph&, const Node&) { return ""; }

constexpr Rule kRules[] = {
    {OpKind::kFft, "radix 2, Bluestein for other lengths", Refuse, LowerFft},
    {OpKind::kDenseSolve, "Gauss-Jordan with pivots", Refuse, LowerSolve},
    {OpKind::kBatchedDenseSolve, "Gauss-Jordan with pivots", Refuse, LowerSolve},
};
constexpr Routine kRoutines[] = {{"fft", "rw", kFftInts, 1, RunFft, FftScratch},
                                 {"dense_solve", "rrw", kSolveInts, 0, RunSolve, SolveScratch}};

}  // namespace

std::span<const Rule> LinearAlgebraRules() { return kRules; }
std::span<const Routine> LinearAlgebraRoutines() { return kRoutines; }

}  // namespace rlx::cpu
