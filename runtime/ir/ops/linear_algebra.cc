// SPDX-License-Identifier: Apache-2.0
// The Fourier transform and linear systems.
#include <cmath>
#include <complex>

#include "runtime/base/status.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

using Complex = std::complex<double>;

// --- fft

absl::Status InferFft(InferContext& ctx) {
  const TensorType& x = ctx.operands[0];
  if (!IsFloat(x.dtype) && x.dtype != DType::kC64)
    return InvalidArgument("x is ", x.dtype, " where a float or c64 is needed");
  if (x.rank() < 1) return InvalidArgument("x is a scalar");
  const Dim last = x.shape.back();
  if (x.dtype != DType::kC64 && !last.is_static())
    return InvalidArgument("the last extent ", last,
                           " is symbolic: halves of floats need a constant, c64 does not");
  if (x.dtype != DType::kC64 && last.value() % 2 != 0)
    return InvalidArgument("the last extent ", last, " does not hold real and imaginary halves");
  ctx.results = {x};
  return absl::OkStatus();
}

double FftScale(const Node& node, int64_t n) {
  const std::string& norm = node.Str("norm");
  if (norm == "ortho") return 1 / std::sqrt(static_cast<double>(n));
  return norm == "forward" && node.Bool("inverse") ? 1 / static_cast<double>(n) : 1.0;
}

// By definition: X_k = scale · Σ x_j e^(∓2πi·jk/n). jk is taken modulo n before it is an angle.
absl::Status EvaluateFft(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  EvalTensor& out = ctx.results[0];
  const bool halves = x.dtype != DType::kC64;
  const int64_t width = x.dims.back(), n = halves ? width / 2 : width;
  const int64_t re = halves ? 1 : 2, im = halves ? n : 1;  // element j: re·j and re·j + im
  const double sign = ctx.node.Bool("inverse") ? 1 : -1, scale = FftScale(ctx.node, n);
  for (int64_t first = 0; first < static_cast<int64_t>(x.f.size()); first += 2 * n) {
    for (int64_t k = 0; k < n; ++k) {
      Complex sum = 0;
      for (int64_t j = 0; j < n; ++j) {
        const int64_t turn = j * k % n;
        const double angle = sign * 2 * M_PI * static_cast<double>(turn) / static_cast<double>(n);
        sum += Complex{x.f[first + re * j], x.f[first + re * j + im]} * std::polar(1.0, angle);
      }
      out.f[first + re * k] = scale * sum.real();
      out.f[first + re * k + im] = scale * sum.imag();
    }
  }
  return absl::OkStatus();
}

OpSample SampleFft(Rng& rng) {
  const int64_t n = Pick<int64_t>(rng, {1, 2, 8, 12, 15, 20, 31, 64});
  const bool complex = Flip(rng);
  Shape shape = {Draw(rng, 1, 3), complex ? n : 2 * n};
  return {
      {{.type = {complex ? DType::kC64 : DType::kF32, std::move(shape)}}},
      {{"inverse", Flip(rng)}, {"norm", Pick<std::string>(rng, {"backward", "forward", "ortho"})}}};
}

// --- dense_solve, batched_dense_solve

absl::Status InferSolve(InferContext& ctx, int batch_dims) {
  const TensorType &a = ctx.operands[0], &b = ctx.operands[1];
  RLX_TRY(RequireFloats(ctx, 2));
  if (a.rank() != batch_dims + 2)
    return InvalidArgument("a has rank ", a.rank(), " where ", batch_dims + 2, " is needed");
  if (b.rank() != batch_dims + 1 && b.rank() != batch_dims + 2)
    return InvalidArgument("b has rank ", b.rank(), " where ", batch_dims + 1, " or ",
                           batch_dims + 2, " is needed");
  if (batch_dims > 0) RLX_TRY(RequireEqual(ctx, a.shape[0], b.shape[0], "batch"));
  RLX_TRY(RequireEqual(ctx, a.shape[batch_dims], a.shape[batch_dims + 1], "n"));
  RLX_TRY(RequireEqual(ctx, a.shape[batch_dims], b.shape[batch_dims], "n"));
  ctx.results = {b};
  return absl::OkStatus();
}
absl::Status InferDenseSolve(InferContext& ctx) { return InferSolve(ctx, 0); }
absl::Status InferBatchedDenseSolve(InferContext& ctx) { return InferSolve(ctx, 1); }

// Gauss with the greatest pivot of each column; b [n,k] becomes the solution.
absl::Status Eliminate(std::vector<double> a, double* b, int64_t n, int64_t k) {
  for (int64_t c = 0; c < n; ++c) {
    int64_t pivot = c;
    for (int64_t r = c + 1; r < n; ++r)
      if (std::abs(a[r * n + c]) > std::abs(a[pivot * n + c])) pivot = r;
    if (!(std::abs(a[pivot * n + c]) > 0))
      return InvalidArgument("the matrix is singular: column ", c, " has no pivot");
    for (int64_t j = 0; j < n; ++j) std::swap(a[c * n + j], a[pivot * n + j]);
    for (int64_t j = 0; j < k; ++j) std::swap(b[c * k + j], b[pivot * k + j]);
    for (int64_t r = c + 1; r < n; ++r) {
      const double factor = a[r * n + c] / a[c * n + c];
      for (int64_t j = c; j < n; ++j) a[r * n + j] -= factor * a[c * n + j];
      for (int64_t j = 0; j < k; ++j) b[r * k + j] -= factor * b[c * k + j];
    }
  }
  for (int64_t r = n; r-- > 0;) {
    for (int64_t j = 0; j < k; ++j) {
      for (int64_t c = r + 1; c < n; ++c) b[r * k + j] -= a[r * n + c] * b[c * k + j];
      b[r * k + j] /= a[r * n + r];
    }
  }
  return absl::OkStatus();
}

absl::Status EvaluateSolve(EvalContext& ctx) {
  const EvalTensor& a = *ctx.operands[0];
  EvalTensor& out = ctx.results[0];
  out.f = ctx.operands[1]->f;
  const int64_t n = a.dims.back(), batches = a.size() / (n * n), k = out.size() / (batches * n);
  for (int64_t batch = 0; batch < batches; ++batch) {
    const auto first = a.f.begin() + batch * n * n;
    RLX_TRY(Eliminate({first, first + n * n}, out.f.data() + batch * n * k, n, k));
  }
  return absl::OkStatus();
}

OpSample SampleSolveWith(Rng& rng, Shape batch) {
  const int64_t n = Draw(rng, 1, 6);
  Shape a = batch, b = std::move(batch);
  a.insert(a.end(), {Dim(n), Dim(n)});
  b.push_back(n);
  if (Flip(rng)) b.push_back(Draw(rng, 1, 4));
  return {{FloatOperand(std::move(a)), FloatOperand(std::move(b))}, {}};
}
OpSample SampleDenseSolve(Rng& rng) { return SampleSolveWith(rng, {}); }
OpSample SampleBatchedDenseSolve(Rng& rng) { return SampleSolveWith(rng, {Draw(rng, 1, 4)}); }

constexpr std::string_view kNorms[] = {"backward", "forward", "ortho"};
constexpr AttrSpec kFftAttrs[] = {
    {.name = "inverse",
     .type = AttrType::kBool,
     .required = false,
     .fallback = false,
     .doc = "turns the other way"},
    {.name = "norm",
     .type = AttrType::kString,
     .required = false,
     .fallback = std::string_view("backward"),
     .choices = kNorms,
     .doc = "backward: no scaling either way, so that there and back is n·x; forward: 1/n on the "
            "inverse; ortho: 1/√n both ways"},
};

constexpr RunCheck kSolveChecks[] = {{.operand = 0, .safe = RunCheck::Safe::kIdentity}};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kFft,
     .name = "fft",
     .claim = "Fft",
     .op_class = OpClass::kSpecial,
     .min_operands = 1,
     .max_operands = 1,
     .attrs = kFftAttrs,
     .infer = InferFft,
     .evaluate = EvaluateFft,
     .sample = SampleFft,
     .doc = "(x): the discrete Fourier transform along the last axis: of n complex numbers, for a "
            "float x as n real parts followed by n imaginary parts"},
    {.kind = OpKind::kDenseSolve,
     .name = "dense_solve",
     .claim = "DenseSolve",
     .op_class = OpClass::kSpecial,
     .min_operands = 2,
     .max_operands = 2,
     .checks = kSolveChecks,
     .infer = InferDenseSolve,
     .evaluate = EvaluateSolve,
     .sample = SampleDenseSolve,
     .doc = "(a [n,n], b [n] or [n,k]): the x with a·x = b; a singular matrix is an error"},
    {.kind = OpKind::kBatchedDenseSolve,
     .name = "batched_dense_solve",
     .claim = "BatchedDenseSolve",
     .op_class = OpClass::kSpecial,
     .min_operands = 2,
     .max_operands = 2,
     .checks = kSolveChecks,
     .infer = InferBatchedDenseSolve,
     .evaluate = EvaluateSolve,
     .sample = SampleBatchedDenseSolve,
     .doc = "(a [m,n,n], b [m,n] or [m,n,k]): dense_solve for each of m systems"},
};

}  // namespace

std::span<const OpInfo> LinearAlgebraOps() { return kTable; }

}  // namespace rlx
