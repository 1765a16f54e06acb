// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

Value Negative(GraphBuilder& b, Value x) { return b.Emit(OpKind::kLt, {x, Like(b, x, 0)}); }

// e^x - 1 for x below zero, 0 above: nothing overflows.
Value ExpBelow(GraphBuilder& b, Value x) {
  const Value below = b.Emit(OpKind::kMin, {x, Like(b, x, 0)});
  return b.Sub(b.Unary(OpKind::kExp, below), Like(b, x, 1));
}

Value SoftplusOf(GraphBuilder& b, Value x) {
  const Value decay = b.Unary(OpKind::kExp, b.Unary(OpKind::kNeg, b.Unary(OpKind::kAbs, x)));
  const Value rest = b.Unary(OpKind::kLog, b.Add(decay, Like(b, x, 1)));
  return b.Add(b.Max(x, Like(b, x, 0)), rest);
}

Results Relu(OpNode& n) {
  if (IsFloat(n.dtype(0))) return One(n.b.Unary(OpKind::kRelu, n.In(0)));
  return One(n.b.Max(n.In(0), Like(n.b, n.In(0), 0)));
}

Results LeakyRelu(OpNode& n) {
  const Value x = n.In(0);
  const Value scaled = n.b.Mul(x, Like(n.b, x, n.Float("alpha", 0.01)));
  return One(n.b.Where(Negative(n.b, x), scaled, x));
}

Results PRelu(OpNode& n) {
  const Value x = n.In(0);
  return One(n.b.Where(Negative(n.b, x), n.b.Mul(x, n.In(1)), x));
}

Results Elu(OpNode& n) {
  const Value x = n.In(0);
  const Value low = n.b.Mul(ExpBelow(n.b, x), Like(n.b, x, n.Float("alpha", 1)));
  return One(n.b.Where(Negative(n.b, x), low, x));
}

Results Celu(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value x = n.In(0), alpha = Like(b, x, n.Float("alpha", 1));
  const Value low = b.Mul(ExpBelow(b, b.Div(x, alpha)), alpha);
  return One(b.Add(b.Max(x, Like(b, x, 0)), b.Emit(OpKind::kMin, {low, Like(b, x, 0)})));
}

Results Selu(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value x = n.In(0);
  const Value low = b.Mul(ExpBelow(b, x), Like(b, x, n.Float("alpha", 1.6732632423543772)));
  const Value gamma = Like(b, x, n.Float("gamma", 1.0507009873554805));
  return One(b.Mul(b.Where(b.Emit(OpKind::kGt, {x, Like(b, x, 0)}), x, low), gamma));
}

Results HardSigmoid(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value x = n.In(0);
  const Value line =
      b.Add(b.Mul(x, Like(b, x, n.Float("alpha", 0.2))), Like(b, x, n.Float("beta", 0.5)));
  return One(Clamp(b, line, 0, 1));
}

Results HardSwish(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value x = n.In(0);
  const Value line = b.Add(b.Mul(x, Like(b, x, 1.0 / 6)), Like(b, x, 0.5));
  return One(b.Mul(x, Clamp(b, line, 0, 1)));
}

Results Softplus(OpNode& n) { return One(SoftplusOf(n.b, n.In(0))); }

Results Softsign(OpNode& n) {
  const Value x = n.In(0);
  return One(n.b.Div(x, n.b.Add(n.b.Unary(OpKind::kAbs, x), Like(n.b, x, 1))));
}

Results Mish(OpNode& n) {
  const Value x = n.In(0);
  return One(n.b.Mul(x, n.b.Unary(OpKind::kTanh, SoftplusOf(n.b, x))));
}

Results ThresholdedRelu(OpNode& n) {
  const Value x = n.In(0);
  const Value above = n.b.Emit(OpKind::kGt, {x, Like(n.b, x, n.Float("alpha", 1))});
  return One(n.b.Where(above, x, Like(n.b, x, 0)));
}

Results Shrink(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value x = n.In(0), bias = Like(b, x, n.Float("bias", 0));
  const double lambda = n.Float("lambd", 0.5);
  const Value above = b.Emit(OpKind::kGt, {x, Like(b, x, lambda)});
  const Value below = b.Emit(OpKind::kLt, {x, Like(b, x, -lambda)});
  const Value low = b.Where(below, b.Add(x, bias), Like(b, x, 0));
  return One(b.Where(above, b.Sub(x, bias), low));
}

Results Gelu(OpNode& n) {
  RLX_ASSIGN(const std::string how, n.Choice("approximate", "none", {"none", "tanh"}));
  return One(n.b.Unary(how == "tanh" ? OpKind::kGeluTanh : OpKind::kGelu, n.In(0)));
}

Results Swish(OpNode& n) {
  const Value x = n.In(0);
  const double alpha = n.Float("alpha", 1);
  if (alpha == 1) return One(n.b.Unary(OpKind::kSilu, x));
  return One(n.b.Mul(x, n.b.Unary(OpKind::kSigmoid, n.b.Mul(x, Like(n.b, x, alpha)))));
}

Results SwiGlu(OpNode& n) {
  RLX_ASSIGN(const std::vector<Value> gate, Swish(n));
  return One(n.b.Mul(gate[0], n.In(1)));
}

// --- com.microsoft ---

Results BiasGelu(OpNode& n) { return One(n.b.Unary(OpKind::kGelu, n.b.Add(n.In(0), n.In(1)))); }

Results FastGelu(OpNode& n) {
  const Value x = n.Has(1) ? n.b.Add(n.In(0), n.In(1)) : n.In(0);
  return One(n.b.Unary(OpKind::kGeluTanh, x));
}

Results QuickGelu(OpNode& n) {
  const Value x = n.In(0);
  const Value gate = n.b.Mul(x, Like(n.b, x, n.Float("alpha", 1.702)));
  return One(n.b.Mul(x, n.b.Unary(OpKind::kSigmoid, gate)));
}

constexpr OpRow kRows[] = {
    {kOnnx, "Celu", 12, INT32_MAX, 1, 1, "alpha", Celu},
    {kOnnx, "Elu", 7, INT32_MAX, 1, 1, "alpha", Elu},
    {kOnnx, "Gelu", 20, INT32_MAX, 1, 1, "approximate", Gelu},
    {kOnnx, "HardSigmoid", 7, INT32_MAX, 1, 1, "alpha beta", HardSigmoid},
    {kOnnx, "HardSwish", 14, INT32_MAX, 1, 1, "", HardSwish},
    {kOnnx, "LeakyRelu", 7, INT32_MAX, 1, 1, "alpha", LeakyRelu},
    {kOnnx, "Mish", 18, INT32_MAX, 1, 1, "", Mish},
    {kOnnx, "PRelu", 7, INT32_MAX, 2, 2, "", PRelu},
    {kOnnx, "Relu", 7, INT32_MAX, 1, 1, "", Relu},
    {kOnnx, "Selu", 7, INT32_MAX, 1, 1, "alpha gamma", Selu},
    {kOnnx, "Shrink", 9, INT32_MAX, 1, 1, "bias lambd", Shrink},
    {kOnnx, "Sigmoid", 7, INT32_MAX, 1, 1, "", Unary<OpKind::kSigmoid>},
    {kOnnx, "Softplus", 7, INT32_MAX, 1, 1, "", Softplus},
    {kOnnx, "Softsign", 7, INT32_MAX, 1, 1, "", Softsign},
    {kOnnx, "SwiGLU", 28, INT32_MAX, 2, 2, "alpha", SwiGlu},
    {kOnnx, "Swish", 24, INT32_MAX, 1, 1, "alpha", Swish},
    {kOnnx, "Tanh", 7, INT32_MAX, 1, 1, "", Unary<OpKind::kTanh>},
    {kOnnx, "ThresholdedRelu", 10, INT32_MAX, 1, 1, "alpha", ThresholdedRelu},
    {kMicrosoft, "BiasGelu", 1, INT32_MAX, 2, 2, "", BiasGelu},
    {kMicrosoft, "FastGelu", 1, INT32_MAX, 1, 2, "", FastGelu},
    {kMicrosoft, "Gelu", 1, INT32_MAX, 1, 1, "", Unary<OpKind::kGelu>},
    {kMicrosoft, "QuickGelu", 1, INT32_MAX, 1, 1, "alpha", QuickGelu},
};

}  // namespace

std::span<const OpRow> ActivationOps() { return kRows; }

}  // namespace rlx::onnx
