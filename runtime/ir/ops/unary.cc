// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <complex>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/elementwise.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

// --- Inference: the result is of the operand's type
// -------------------------------------------------

absl::Status Unchanged(InferContext& ctx) {
  ctx.results = {ctx.operands[0]};
  return absl::OkStatus();
}

absl::Status InferFloat(InferContext& ctx) {
  RLX_TRY(RequireFloats(ctx, 1));
  return Unchanged(ctx);
}

absl::Status InferFloatOrComplex(InferContext& ctx) {
  return ctx.operands[0].dtype == DType::kC64 ? Unchanged(ctx) : InferFloat(ctx);
}

absl::Status InferReal(InferContext& ctx) {
  RLX_TRY(RequireReal(ctx, 0));
  return Unchanged(ctx);
}

absl::Status InferNeg(InferContext& ctx) {
  const DType dtype = ctx.operands[0].dtype;
  if (!IsFloat(dtype) && !Info(dtype).is_signed && dtype != DType::kC64)
    return InvalidArgument("operand 0 is ", dtype, " where a signed type is needed");
  return Unchanged(ctx);
}

absl::Status InferNot(InferContext& ctx) {
  RLX_TRY(RequireBool(ctx, 0));
  return Unchanged(ctx);
}

absl::Status InferCast(InferContext& ctx) {
  const DType to = ctx.node.Type("to");
  if (ctx.operands[0].dtype == DType::kC64 && to != DType::kC64)
    return InvalidArgument("c64 does not convert to ", to);
  ctx.results = {{to, ctx.operands[0].shape}};
  return absl::OkStatus();
}

// --- Evaluation
// -------------------------------------------------------------------------------------

template <double (*kFunction)(double)>
absl::Status EvaluateFloat(EvalContext& ctx) {
  const std::vector<double>& x = ctx.operands[0]->f;
  for (size_t k = 0; k < x.size(); ++k) ctx.results[0].f[k] = kFunction(x[k]);
  return absl::OkStatus();
}

// A float, or a complex number: the principal value, cut along the negative axis.
using Complex = std::complex<double>;
template <double (*kReal)(double), Complex (*kComplex)(const Complex&)>
absl::Status EvaluateFloatOrComplex(EvalContext& ctx) {
  if (ctx.operands[0]->dtype != DType::kC64) return EvaluateFloat<kReal>(ctx);
  const std::vector<double>& x = ctx.operands[0]->f;
  for (size_t k = 0; k < x.size(); k += 2) {
    const Complex y = kComplex({x[k], x[k + 1]});
    ctx.results[0].f[k] = y.real();
    ctx.results[0].f[k + 1] = y.imag();
  }
  return absl::OkStatus();
}

// Floats as they are (complex ones by component), integers modulo 2^bits.
template <class Function>
absl::Status EvaluateReal(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  EvalTensor& y = ctx.results[0];
  for (size_t k = 0; k < x.f.size(); ++k) y.f[k] = Function{}(x.f[k]);
  for (size_t k = 0; k < x.i.size(); ++k) y.i[k] = WrapToInt(y.dtype, Function{}(x.i[k]));
  return absl::OkStatus();
}

struct Negate {
  double operator()(double x) const { return -x; }
  int64_t operator()(int64_t x) const { return static_cast<int64_t>(0 - static_cast<uint64_t>(x)); }
};
struct Absolute {
  double operator()(double x) const { return std::abs(x); }
  int64_t operator()(int64_t x) const { return x < 0 ? Negate{}(x) : x; }
};
struct Rectify {
  double operator()(double x) const { return x < 0 ? 0 : x; }
  int64_t operator()(int64_t x) const { return x < 0 ? 0 : x; }
};
struct Not {
  double operator()(double x) const { return x; }  // never called: bools are exact
  int64_t operator()(int64_t x) const { return x == 0; }
};

double Rsqrt(double x) { return 1 / std::sqrt(x); }
double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double Silu(double x) { return x / (1 + std::exp(-x)); }
double Gelu(double x) { return 0.5 * x * std::erfc(-x * M_SQRT1_2); }
double GeluTanh(double x) {
  return 0.5 * x * (1 + std::tanh(M_2_SQRTPI * M_SQRT1_2 * (x + 0.044715 * x * x * x)));
}

absl::Status CastToFloat(const EvalTensor& x, EvalTensor& y) {
  if (x.dtype == DType::kC64) {
    y.f = x.f;
    return absl::OkStatus();
  }
  // An integer goes to f32 in one rounding, not through double.
  const bool int_to_f32 = IsExact(x.dtype) && (y.dtype == DType::kF32 || y.dtype == DType::kC64);
  const int64_t count = x.size(), step = y.dtype == DType::kC64 ? 2 : 1;
  for (int64_t k = 0; k < count; ++k)
    y.f[k * step] = int_to_f32 ? static_cast<float>(x.i[k]) : RoundTo(y.dtype, x.at(k));
  return absl::OkStatus();
}

absl::Status EvaluateCast(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  EvalTensor& y = ctx.results[0];
  if (!IsExact(y.dtype)) return CastToFloat(x, y);
  const int64_t count = x.size();
  for (int64_t k = 0; k < count; ++k) {
    if (IsExact(x.dtype))
      y.i[k] = WrapToInt(y.dtype, x.i[k]);
    else
      y.i[k] = y.dtype == DType::kBool ? x.f[k] != 0 : SaturateToInt(y.dtype, x.f[k]);
  }
  return absl::OkStatus();
}

// --- Decomposition. 16-bit types go through f32, where constants such as 1/√2 keep their digits.
// -----

using Values = absl::StatusOr<std::vector<Value>>;

template <Value (*kInF32)(GraphBuilder&, Value)>
Values DecomposeFloat(GraphBuilder& b, const Node& node) {
  const DType dtype = b.type(node.operands[0]).dtype;
  const bool narrow = ByteWidth(dtype) < 4;
  const Value x = narrow ? b.Cast(node.operands[0], DType::kF32) : node.operands[0];
  const Value y = kInF32(b, x);
  return Lowered(b, {narrow ? b.Cast(y, dtype) : y});
}

Value LowerSigmoid(GraphBuilder& b, Value x) {
  const Value one = b.Scalar(b.type(x).dtype, 1);
  return b.Div(one, b.Add(one, b.Unary(OpKind::kExp, b.Unary(OpKind::kNeg, x))));
}

Value LowerSilu(GraphBuilder& b, Value x) { return b.Mul(x, b.Unary(OpKind::kSigmoid, x)); }

// x · ½ · (1 + inner)
Value HalfTimesOnePlus(GraphBuilder& b, Value x, Value inner) {
  const DType dtype = b.type(x).dtype;
  return b.Mul(b.Mul(x, b.Scalar(dtype, 0.5)), b.Add(inner, b.Scalar(dtype, 1)));
}

Value LowerGelu(GraphBuilder& b, Value x) {
  const Value scaled = b.Mul(x, b.Scalar(b.type(x).dtype, M_SQRT1_2));
  return HalfTimesOnePlus(b, x, b.Unary(OpKind::kErf, scaled));
}

Value LowerGeluTanh(GraphBuilder& b, Value x) {
  const DType dtype = b.type(x).dtype;
  const Value cube = b.Mul(b.Mul(x, x), x);
  const Value sum = b.Add(x, b.Mul(cube, b.Scalar(dtype, 0.044715)));
  const Value scaled = b.Mul(sum, b.Scalar(dtype, M_2_SQRTPI * M_SQRT1_2));
  return HalfTimesOnePlus(b, x, b.Unary(OpKind::kTanh, scaled));
}

// --- Samples
// ----------------------------------------------------------------------------------------

template <int kLowTenths, int kHighTenths>
OpSample SampleFloat(Rng& rng) {
  return {{FloatOperand(DrawShape(rng, 0, 4), kLowTenths / 10.0, kHighTenths / 10.0)}, {}};
}

// Complex numbers on all sides of the cut along the negative axis.
template <int kLowTenths, int kHighTenths>
OpSample SampleFloatOrComplex(Rng& rng) {
  if (Draw(rng, 0, 3) > 0) return SampleFloat<kLowTenths, kHighTenths>(rng);
  return {{RealOperand(DType::kC64, DrawShape(rng, 0, 4), -3, 3)}, {}};
}

OpSample SampleOf(Rng& rng, DType dtype) {
  const double most = IsExact(dtype) ? 127 : 3;
  return {{RealOperand(dtype, DrawShape(rng, 0, 4), -most, most)}, {}};
}
OpSample SampleReal(Rng& rng) { return SampleOf(rng, DrawReal(rng)); }
OpSample SampleSigned(Rng& rng) {
  DType dtype = DrawNumber(rng);
  while (IsExact(dtype) && !Info(dtype).is_signed) dtype = DrawNumber(rng);
  return SampleOf(rng, dtype);
}

OpSample SampleNot(Rng& rng) {
  return {{{.type = {DType::kBool, DrawShape(rng, 0, 3)}, .low = 0, .high = 1}}, {}};
}

OpSample SampleCast(Rng& rng) {
  const auto any = [&] { return static_cast<DType>(Draw(rng, 0, kDTypeCount - 1)); };
  const DType from = any(), to = from == DType::kC64 ? from : any();
  const double high = from == DType::kBool ? 1 : 100;
  return {{RealOperand(from, DrawShape(rng, 0, 3), -high, high)}, {{"to", to}}};
}

// --- Rows
// -------------------------------------------------------------------------------------------

constexpr AttrSpec kCastAttrs[] = {
    {.name = "to", .type = AttrType::kDType, .doc = "the result's element type"},
};

using InferFn = absl::Status (*)(InferContext&);
using EvaluateFn = absl::Status (*)(EvalContext&);
using SampleFn = OpSample (*)(Rng&);
using DecomposeFn = Values (*)(GraphBuilder&, const Node&);

constexpr OpInfo Row(OpKind kind, std::string_view name, InferFn infer, EvaluateFn evaluate,
                     SampleFn sample, std::string_view doc, DecomposeFn decompose = nullptr) {
  return {.kind = kind,
          .name = name,
          .claim = "Activation",
          .op_class = OpClass::kElementwise,
          .min_operands = 1,
          .max_operands = 1,
          .infer = infer,
          .evaluate = evaluate,
          .decompose = decompose,
          .sample = sample,
          .doc = doc};
}

// Of a float alone; the oracle computes `kFunction` in double.
template <double (*kFunction)(double)>
constexpr OpInfo FloatRow(OpKind kind, std::string_view name, SampleFn sample, std::string_view doc,
                          DecomposeFn decompose = nullptr) {
  return Row(kind, name, InferFloat, EvaluateFloat<kFunction>, sample, doc, decompose);
}

constexpr SampleFn kAround = SampleFloat<-30, 30>, kPositive = SampleFloat<1, 40>;

constexpr OpInfo kTable[] = {
    Row(OpKind::kNeg, "neg", InferNeg, EvaluateReal<Negate>, SampleSigned,
        "(x): -x; integers wrap"),
    Row(OpKind::kAbs, "abs", InferReal, EvaluateReal<Absolute>, SampleReal,
        "(x): |x|; integers wrap"),
    Row(OpKind::kExp, "exp", InferFloatOrComplex,
        EvaluateFloatOrComplex<std::exp, std::exp<double>>, SampleFloatOrComplex<-30, 30>,
        "(x): e^x; of c64 the principal value"),
    Row(OpKind::kLog, "log", InferFloatOrComplex,
        EvaluateFloatOrComplex<std::log, std::log<double>>, SampleFloatOrComplex<1, 40>,
        "(x): ln x; of c64 the principal value"),
    Row(OpKind::kSqrt, "sqrt", InferFloatOrComplex,
        EvaluateFloatOrComplex<std::sqrt, std::sqrt<double>>, SampleFloatOrComplex<1, 40>,
        "(x): √x; of c64 the principal value"),
    FloatRow<Rsqrt>(OpKind::kRsqrt, "rsqrt", kPositive, "(x): 1/√x"),
    FloatRow<std::sin>(OpKind::kSin, "sin", kAround, "(x): sin x, x in radians"),
    FloatRow<std::cos>(OpKind::kCos, "cos", kAround, "(x): cos x, x in radians"),
    FloatRow<std::tan>(OpKind::kTan, "tan", SampleFloat<-12, 12>, "(x): tan x, x in radians"),
    FloatRow<std::atan>(OpKind::kAtan, "atan", kAround, "(x): arctan x, in (-π/2, π/2)"),
    FloatRow<std::tanh>(OpKind::kTanh, "tanh", kAround, "(x): tanh x"),
    FloatRow<std::erf>(OpKind::kErf, "erf", kAround, "(x): 2/√π ∫ e^(-t²) dt from 0 to x"),
    FloatRow<Sigmoid>(OpKind::kSigmoid, "sigmoid", kAround, "(x): 1/(1 + e^-x)",
                      DecomposeFloat<LowerSigmoid>),
    Row(OpKind::kRelu, "relu", InferReal, EvaluateReal<Rectify>, SampleReal, "(x): max(x, 0)"),
    FloatRow<Gelu>(OpKind::kGelu, "gelu", kAround, "(x): x/2·(1 + erf(x/√2))",
                   DecomposeFloat<LowerGelu>),
    FloatRow<GeluTanh>(OpKind::kGeluTanh, "gelu_tanh", kAround,
                       "(x): x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))",
                       DecomposeFloat<LowerGeluTanh>),
    FloatRow<Silu>(OpKind::kSilu, "silu", kAround, "(x): x/(1 + e^-x)", DecomposeFloat<LowerSilu>),
    FloatRow<std::nearbyint>(OpKind::kRound, "round", kAround,
                             "(x): to the nearest integer, halves to the even one"),
    FloatRow<std::floor>(OpKind::kFloor, "floor", kAround, "(x): the greatest integer ≤ x"),
    FloatRow<std::ceil>(OpKind::kCeil, "ceil", kAround, "(x): the least integer ≥ x"),
    Row(OpKind::kLogicalNot, "logical_not", InferNot, EvaluateReal<Not>, SampleNot,
        "(x): true where x is false; bool"),
    {.kind = OpKind::kCast,
     .name = "cast",
     .claim = "Cast",
     .op_class = OpClass::kElementwise,
     .min_operands = 1,
     .max_operands = 1,
     .attrs = kCastAttrs,
     .infer = InferCast,
     .evaluate = EvaluateCast,
     .sample = SampleCast,
     .doc = "(x): x as `to`; to a float rounds to nearest even (to fp8 saturating: e4m3 has no "
            "infinity and takes ±448 for it, e5m2 keeps it), a float to an integer truncates and "
            "saturates (NaN is 0), an integer to a narrower one wraps, to bool is x ≠ 0"},
};

}  // namespace

std::span<const OpInfo> UnaryOps() { return kTable; }

}  // namespace rlx
