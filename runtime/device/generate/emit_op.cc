// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/generate/emit_op.h"

#include <array>

#include "runtime/base/check.h"
#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/kernel/op.h"

namespace rlx::device {
namespace {

using kernel::Builder;
using kernel::Op;
using kernel::Type;
using kernel::Value;

Value Number(Builder& b, Value like, double v) {
  const Type t = b.TypeOf(like);
  return Has(kernel::kFloats, t) ? b.Float(t, v) : b.Int(t, static_cast<int64_t>(v));
}

Value Sigmoid(Builder& b, Value x) {
  return b.Div(Number(b, x, 1), b.Add(Number(b, x, 1), b.Unary(Op::kExp, b.Neg(x))));
}

Value Gelu(Builder& b, Value x) {
  const Value erf = b.Unary(Op::kErf, b.Mul(x, Number(b, x, 0.70710678118654752440)));
  return b.Mul(b.Mul(x, Number(b, x, 0.5)), b.Add(Number(b, x, 1), erf));
}

Value GeluTanh(Builder& b, Value x) {
  const Value cube = b.Mul(b.Mul(x, x), x);
  const Value inner =
      b.Mul(Number(b, x, 0.79788456080286535588), b.Add(x, b.Mul(Number(b, x, 0.044715), cube)));
  return b.Mul(b.Mul(x, Number(b, x, 0.5)), b.Add(Number(b, x, 1), b.Unary(Op::kTanh, inner)));
}

// Emits op `node` on operands; a plain function per row of the table below.
using EmitFn = Value (*)(Builder&, const Node&, std::span<const Value>);

template <Op op>
Value EmitUnary(Builder& b, const Node&, std::span<const Value> v) {
  return b.Unary(op, v[0]);
}
template <Op op>
Value EmitBinary(Builder& b, const Node&, std::span<const Value> v) {
  return b.Binary(op, v[0], v[1]);
}
// Of integers by squaring, a bit of the exponent at a time, modulo 2^bits; a negative exponent
// leaves 0 of all but 1 and -1.
Value IntegerPower(Builder& b, DType dtype, Value x, Value y) {
  const int bits = 8 * static_cast<int>(ByteWidth(dtype)) - (Info(dtype).is_signed ? 1 : 0);
  const Value zero = Number(b, x, 0), one = Number(b, x, 1);
  Value power = one, square = x;
  for (int bit = 0; bit < bits; ++bit) {
    if (bit > 0) square = b.Mul(square, square);
    const Value taken = b.And(b.Binary(Op::kShr, y, Number(b, y, bit)), one);
    power = b.Select(b.Ne(taken, zero), b.Mul(power, square), power);
  }
  if (!Info(dtype).is_signed) return power;
  const Value minus_one = Number(b, x, -1);
  const Value sign = b.Select(b.Ne(b.And(y, one), zero), minus_one, one);
  const Value inverse = b.Select(b.Eq(x, one), one, b.Select(b.Eq(x, minus_one), sign, zero));
  return b.Select(b.Lt(y, zero), inverse, power);
}
Value EmitPower(Builder& b, const Node& node, std::span<const Value> v) {
  const DType dtype = node.results[0].dtype;
  return IsFloat(dtype) ? b.Binary(Op::kPow, v[0], v[1]) : IntegerPower(b, dtype, v[0], v[1]);
}
// Bools compare as numbers.
template <Op op>
Value EmitCompare(Builder& b, const Node&, std::span<const Value> v) {
  const bool bools = b.TypeOf(v[0]) == Type::kBool;
  const Value x = bools ? b.Cast(Type::kI32, v[0]) : v[0];
  const Value y = bools ? b.Cast(Type::kI32, v[1]) : v[1];
  return b.Compare(op, x, y);
}
template <Op op>
Value EmitSwapped(Builder& b, const Node& node, std::span<const Value> v) {
  const std::array<Value, 2> swapped = {v[1], v[0]};
  return EmitCompare<op>(b, node, swapped);
}

struct Row {
  OpKind kind;
  EmitFn emit;
  bool floats_only = false;
};

constexpr Row kRows[] = {
    {OpKind::kNeg, EmitUnary<Op::kNeg>},
    {OpKind::kAbs, EmitUnary<Op::kAbs>},
    {OpKind::kExp, EmitUnary<Op::kExp>, true},
    {OpKind::kLog, EmitUnary<Op::kLog>, true},
    {OpKind::kSqrt, EmitUnary<Op::kSqrt>, true},
    {OpKind::kRsqrt, EmitUnary<Op::kRsqrt>, true},
    {OpKind::kSin, EmitUnary<Op::kSin>, true},
    {OpKind::kCos, EmitUnary<Op::kCos>, true},
    {OpKind::kTan, EmitUnary<Op::kTan>, true},
    {OpKind::kAtan, EmitUnary<Op::kAtan>, true},
    {OpKind::kTanh, EmitUnary<Op::kTanh>, true},
    {OpKind::kErf, EmitUnary<Op::kErf>, true},
    {OpKind::kSigmoid,
     [](Builder& b, const Node&, std::span<const Value> v) { return Sigmoid(b, v[0]); }, true},
    {OpKind::kRelu, [](Builder& b, const Node&,
                       std::span<const Value> v) { return b.Max(v[0], Number(b, v[0], 0)); }},
    {OpKind::kGelu, [](Builder& b, const Node&, std::span<const Value> v) { return Gelu(b, v[0]); },
     true},
    {OpKind::kGeluTanh,
     [](Builder& b, const Node&, std::span<const Value> v) { return GeluTanh(b, v[0]); }, true},
    {OpKind::kSilu,
     [](Builder& b, const Node&, std::span<const Value> v) {
       return b.Mul(v[0], Sigmoid(b, v[0]));
     },
     true},
    {OpKind::kRound, EmitUnary<Op::kRound>, true},
    {OpKind::kFloor, EmitUnary<Op::kFloor>, true},
    {OpKind::kCeil, EmitUnary<Op::kCeil>, true},
    {OpKind::kLogicalNot, EmitUnary<Op::kNot>},
    {OpKind::kCast,
     [](Builder& b, const Node& node, std::span<const Value> v) {
       // To the narrow type first: only there does a float saturate where it should.
       const auto stored = kernel::FromDType(node.results[0].dtype);
       return b.Cast(WideType(node.results[0].dtype), b.Cast(*stored, v[0]));
     }},
    {OpKind::kAdd, EmitBinary<Op::kAdd>},
    {OpKind::kSub, EmitBinary<Op::kSub>},
    {OpKind::kMul, EmitBinary<Op::kMul>},
    {OpKind::kDiv, EmitBinary<Op::kDiv>},
    {OpKind::kMax, EmitBinary<Op::kMax>},
    {OpKind::kMin, EmitBinary<Op::kMin>},
    {OpKind::kPow, EmitPower},
    {OpKind::kLogicalAnd, EmitBinary<Op::kAnd>},
    {OpKind::kLogicalOr, EmitBinary<Op::kOr>},
    {OpKind::kEq, EmitCompare<Op::kEq>},
    {OpKind::kNe, EmitCompare<Op::kNe>},
    {OpKind::kLt, EmitCompare<Op::kLt>},
    {OpKind::kLe, EmitCompare<Op::kLe>},
    {OpKind::kGt, EmitSwapped<Op::kLt>},
    {OpKind::kGe, EmitSwapped<Op::kLe>},
    {OpKind::kWhere,
     [](Builder& b, const Node&, std::span<const Value> v) { return b.Select(v[0], v[1], v[2]); }},
};

const Row* FindRow(OpKind kind) {
  static const auto table = [] {
    std::array<const Row*, kOpKindCount> by_kind{};
    for (const Row& row : kRows) by_kind[static_cast<size_t>(row.kind)] = &row;
    return by_kind;
  }();
  return table[static_cast<size_t>(kind)];
}

// About what kernel/legalize makes of them: 23 to 45 instructions, 71 for a power.
int64_t WorkOf(Op op) {
  constexpr int64_t kFunction = 36, kPower = 72;
  if (op == Op::kPow) return kPower;
  if (op >= Op::kExp && op <= Op::kErf) return kFunction;
  return kernel::Info(op).pure && op != Op::kConst ? 1 : 0;
}

// What the narrow result type forces: integers of 8 and 16 bits wrap as if computed in them.
Value Settle(Builder& b, const Node& node, Value v) {
  const auto narrow = kernel::FromDType(node.results[0].dtype);
  CHECK(narrow.has_value(), "elementwise result has no kernel type");
  const bool wraps = IsInteger(node.results[0].dtype) && Has(kernel::kNarrow, *narrow);
  return wraps ? b.Cast(WideType(node.results[0].dtype), b.Cast(*narrow, v)) : v;
}

}  // namespace

Type WideType(DType dtype) {
  const auto type = kernel::FromDType(dtype);
  CHECK(type.has_value(), "dtype ", Name(dtype), " has no kernel type");
  return kernel::WideOf(*type);
}

std::string WhyNotEmitted(const Graph& graph, const Node& node) {
  const Row* row = FindRow(node.op);
  if (row == nullptr) return Cat("no kernel for ", Name(node.op));
  for (rlx::Value v : node.operands) {
    const DType dtype = graph.type(v).dtype;
    if (!kernel::FromDType(dtype)) return Cat(Name(node.op), " of ", Name(dtype));
    if (row->floats_only && !IsFloat(dtype)) return Cat(Name(node.op), " of ", Name(dtype));
  }
  if (!kernel::FromDType(node.results[0].dtype)) {
    return Cat(Name(node.op), " to ", Name(node.results[0].dtype));
  }
  return "";
}

Value EmitOp(Builder& b, const Node& node, std::span<const Value> operands) {
  const Row* row = FindRow(node.op);
  CHECK(row != nullptr, "no kernel for ", Name(node.op));
  return Settle(b, node, row->emit(b, node, operands));
}

int64_t EmittedWork(const Graph& graph, const Node& node) {
  Builder b("probe", 1);
  std::vector<Value> operands;
  for (rlx::Value v : node.operands) {
    operands.push_back(b.LoadWide(b.Input(*kernel::FromDType(graph.type(v).dtype)), b.I64(0)));
  }
  EmitOp(b, node, operands);
  const auto probe = std::move(b).Finish();
  CHECK(probe.ok(), "an op emits a wrong kernel: ", probe.status());
  int64_t work = 0;
  for (const kernel::Inst& inst : probe->body) work += WorkOf(inst.op);
  return work;
}

Value EmitImmediate(Builder& b, const HostTensor& scalar) {
  const Type type = WideType(scalar.dtype());
  if (IsFloat(scalar.dtype())) return b.Float(type, scalar.ToDoubles()[0]);
  return b.Int(type, scalar.ToInts()[0]);
}

Value EmitActivation(Builder& b, std::string_view name, Value x) {
  if (name == "none") return x;
  const OpInfo* info = FindOp(name);
  CHECK(info != nullptr && FindRow(info->kind) != nullptr, "unknown activation ", name);
  const Node node{.op = info->kind};
  const std::array<Value, 1> operand = {x};
  return FindRow(info->kind)->emit(b, node, operand);
}

}  // namespace rlx::device
