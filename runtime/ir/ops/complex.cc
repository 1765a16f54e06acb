// SPDX-License-Identifier: Apache-2.0
// What c64 has beyond arithmetic (binary.cc, unary.cc).
#include "runtime/base/status.h"
#include "runtime/ir/ops/elementwise.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

absl::Status RequireComplex(const InferContext& ctx) {
  if (ctx.operands[0].dtype == DType::kC64) return absl::OkStatus();
  return InvalidArgument("x is ", ctx.operands[0].dtype, " where c64 is needed");
}

absl::Status InferSame(InferContext& ctx) {
  RLX_TRY(RequireComplex(ctx));
  ctx.results = {ctx.operands[0]};
  return absl::OkStatus();
}

absl::Status InferPart(InferContext& ctx) {
  RLX_TRY(RequireComplex(ctx));
  ctx.results = {{DType::kF32, ctx.operands[0].shape}};
  return absl::OkStatus();
}

absl::Status InferComplex(InferContext& ctx) {
  for (int i = 0; i < 2; ++i) {
    if (ctx.operands[i].dtype == DType::kF32) continue;
    return InvalidArgument("operand ", i, " is ", ctx.operands[i].dtype, " where f32 is needed");
  }
  return InferBroadcast(ctx, DType::kC64);
}

absl::Status EvaluateConjugate(EvalContext& ctx) {
  ctx.results[0].f = ctx.operands[0]->f;
  for (size_t k = 1; k < ctx.results[0].f.size(); k += 2) ctx.results[0].f[k] *= -1;
  return absl::OkStatus();
}

template <double (*kPart)(double, double)>
absl::Status EvaluatePart(EvalContext& ctx) {
  const std::vector<double>& x = ctx.operands[0]->f;
  for (size_t k = 0; k < ctx.results[0].f.size(); ++k)
    ctx.results[0].f[k] = kPart(x[2 * k], x[2 * k + 1]);
  return absl::OkStatus();
}
double Real(double re, double) { return re; }
double Imaginary(double, double im) { return im; }
double NormSquared(double re, double im) { return re * re + im * im; }

absl::Status EvaluateComplex(EvalContext& ctx) {
  EvalTensor& out = ctx.results[0];
  ForEachBroadcast(out, ctx.operands, [&](int64_t k, const std::vector<int64_t>& at) {
    out.f[2 * k] = ctx.operands[0]->f[at[0]];
    out.f[2 * k + 1] = ctx.operands[1]->f[at[1]];
  });
  return absl::OkStatus();
}

OpSample SampleC64(Rng& rng) { return {{{.type = {DType::kC64, DrawShape(rng, 0, 3)}}}, {}}; }

OpSample SampleComplex(Rng& rng) {
  const Shape shape = DrawShape(rng, 0, 3);
  return {{{.type = {DType::kF32, shape}}, {.type = {DType::kF32, DrawBroadcastable(rng, shape)}}},
          {}};
}

constexpr OpInfo Row(OpKind kind, std::string_view name, std::string_view claim, int operands,
                     absl::Status (*infer)(InferContext&), absl::Status (*evaluate)(EvalContext&),
                     OpSample (*sample)(Rng&), std::string_view doc) {
  return {.kind = kind,
          .name = name,
          .claim = claim,
          .op_class = OpClass::kSpecial,
          .min_operands = operands,
          .max_operands = operands,
          .infer = infer,
          .evaluate = evaluate,
          .sample = sample,
          .doc = doc};
}

constexpr OpInfo kTable[] = {
    Row(OpKind::kComplex, "complex", "Complex", 2, InferComplex, EvaluateComplex, SampleComplex,
        "(re, im): re + i·im, from f32 to c64; broadcasts"),
    Row(OpKind::kReal, "real", "Complex", 1, InferPart, EvaluatePart<Real>, SampleC64,
        "(x c64): the real part, f32"),
    Row(OpKind::kImag, "imag", "Complex", 1, InferPart, EvaluatePart<Imaginary>, SampleC64,
        "(x c64): the imaginary part, f32"),
    Row(OpKind::kConjugate, "conjugate", "Conjugate", 1, InferSame, EvaluateConjugate, SampleC64,
        "(x c64): re - i·im"),
    Row(OpKind::kComplexNormSq, "complex_norm_sq", "ComplexNormSq", 1, InferPart,
        EvaluatePart<NormSquared>, SampleC64, "(x c64): re² + im², f32"),
};

}  // namespace

std::span<const OpInfo> ComplexOps() { return kTable; }

}  // namespace rlx
