// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/ops/carried.h"

#include <cmath>

#include "runtime/import/ops/common.h"

namespace rlx::onnx {
namespace {

// How a small float lays out sign, exponent and mantissa, and what its top codes mean.
struct Layout {
  Element element;
  int bits, mantissa, bias;
  bool is_signed = true;
  bool fnuz = false;        // no negative zero: its code is NaN
  bool infinities = false;  // as IEEE has them
  bool all_finite = false;  // no NaN either
};
constexpr Layout kLayouts[] = {
    {Element::kFloat8E4M3FN, 8, 3, 7},
    {Element::kFloat8E4M3FNUZ, 8, 3, 8, true, true},
    {Element::kFloat8E5M2, 8, 2, 15, true, false, true},
    {Element::kFloat8E5M2FNUZ, 8, 2, 16, true, true},
    {Element::kFloat4E2M1, 4, 1, 1, true, false, false, true},
    {Element::kFloat8E8M0, 8, 0, 127, false},
};

const Layout* LayoutOf(Element element) {
  for (const Layout& layout : kLayouts)
    if (layout.element == element) return &layout;
  return nullptr;
}

int MagnitudeBits(const Layout& l) { return l.is_signed ? l.bits - 1 : l.bits; }

// The value of a code without its sign bit; NaN and infinity where the format has them.
double Magnitude(const Layout& l, int code) {
  const int top = (1 << MagnitudeBits(l)) - 1;
  if (!l.is_signed) return code == top ? NAN : std::ldexp(1.0, code - l.bias);
  const int exponent = code >> l.mantissa, fraction = code & ((1 << l.mantissa) - 1);
  const int last = top >> l.mantissa;
  if (l.infinities && exponent == last) return fraction == 0 ? INFINITY : NAN;
  if (!l.infinities && !l.fnuz && !l.all_finite && code == top) return NAN;
  const double unit = std::ldexp(1.0, -l.mantissa);
  if (exponent == 0) return std::ldexp(fraction * unit, 1 - l.bias);
  return std::ldexp(1 + fraction * unit, exponent - l.bias);
}

std::vector<double> Values(const Layout& l) {
  const int half = 1 << MagnitudeBits(l);
  std::vector<double> values;
  for (int code = 0; code < half; ++code) values.push_back(Magnitude(l, code));
  if (!l.is_signed) return values;
  for (int code = 0; code < half; ++code) values.push_back(-values[static_cast<size_t>(code)]);
  if (l.fnuz) values[static_cast<size_t>(half)] = NAN;
  return values;
}

Value Table(GraphBuilder& b, DType dtype, const std::vector<double>& values) {
  return b.Constant(HostTensor::FromDoubles(dtype, {static_cast<int64_t>(values.size())}, values));
}

// The code after that of the greatest finite magnitude.
int FiniteCodes(const Layout& l) {
  int code = 0;
  while (code < (1 << MagnitudeBits(l)) && std::isfinite(Magnitude(l, code))) ++code;
  return code;
}

// From what magnitude on each code is chosen: [k] for code k. Halfway goes to the even code.
std::vector<double> Thresholds(const Layout& l, const std::string& round) {
  const int finite = FiniteCodes(l);
  std::vector<double> from(static_cast<size_t>(finite), 0);
  for (int code = 1; code < finite; ++code) {
    const double below = Magnitude(l, code - 1), own = Magnitude(l, code);
    const auto after = [](double x) {
      return static_cast<double>(std::nextafter(static_cast<float>(x), INFINITY));
    };
    double& t = from[static_cast<size_t>(code)];
    if (l.is_signed) {
      t = (below + own) / 2;
      if (code % 2 != 0) t = after(t);
    } else if (round == "up") {
      t = after(below);
    } else if (round == "down") {
      t = own;
    } else {
      t = (below + own) / 2;
    }
  }
  return from;
}

// How many of the rising thresholds after the first are not above x, by bisection.
Value CountNotAbove(GraphBuilder& b, Value x, std::vector<double> thresholds) {
  size_t size = 1;
  while (size < thresholds.size()) size *= 2;
  thresholds.resize(size, INFINITY);
  const Value table = Table(b, DType::kF32, thresholds);
  Value count = b.Expand(b.Scalar(DType::kI32, 0), ShapeOf(b, x));
  for (size_t step = size / 2; step > 0; step /= 2) {
    const Value next = b.Add(count, Like(b, count, static_cast<double>(step)));
    const Value above = b.Emit(OpKind::kGe, {x, b.Gather(table, next)});
    count = b.Where(above, next, count);
  }
  return count;
}

// What stands for magnitudes past the greatest, and for NaN.
struct Special {
  int too_large, infinite, nan;
};
Special SpecialsOf(const Layout& l, bool saturate) {
  const int greatest = FiniteCodes(l) - 1;
  const int nan = l.fnuz ? 1 << MagnitudeBits(l) : (1 << MagnitudeBits(l)) - 1;
  if (l.all_finite) return {greatest, greatest, 1 << MagnitudeBits(l)};  // NaN: negative zero
  if (saturate) return {greatest, greatest, nan};
  const int infinite = l.infinities ? greatest + 1 : nan;
  return {infinite, infinite, nan};
}

Value EncodeFloat(GraphBuilder& b, Value x, const Layout& l, const CastMode& mode) {
  x = To(b, x, DType::kF32);
  const Value magnitude = b.Unary(OpKind::kAbs, x);
  Value code = CountNotAbove(b, magnitude, Thresholds(l, mode.round));
  const auto scalar = [&](int v) { return b.Scalar(DType::kI32, v); };
  const auto choose = [&](Value where, Value yes) { code = b.Where(where, yes, code); };
  const Special special = SpecialsOf(l, mode.saturate);
  const int greatest = FiniteCodes(l) - 1;
  // What would round to the code after the greatest, had it one.
  const double step = Magnitude(l, greatest) - Magnitude(l, greatest - 1);
  const double limit = Magnitude(l, greatest) + (l.is_signed ? step / 2 : 0);
  const bool even = greatest % 2 == 0 && l.is_signed;
  const Value beyond = b.Emit(even || !l.is_signed ? OpKind::kGt : OpKind::kGe,
                              {magnitude, b.Scalar(DType::kF32, limit)});
  if (!l.all_finite) choose(beyond, scalar(special.too_large));
  if (l.is_signed) {
    Value negative = b.Emit(OpKind::kLt, {Reciprocal(b, x), b.Scalar(DType::kF32, 0)});
    negative =
        b.Emit(OpKind::kLogicalOr, {negative, b.Emit(OpKind::kLt, {x, b.Scalar(DType::kF32, 0)})});
    if (l.fnuz)  // zero has one code, and NaN that of the other
      negative = b.Emit(OpKind::kLogicalAnd, {negative, b.Emit(OpKind::kNe, {code, scalar(0)})});
    const Value unsigned_nan = b.Emit(OpKind::kEq, {code, scalar(1 << MagnitudeBits(l))});
    const Value flip =
        b.Emit(OpKind::kLogicalAnd, {negative, b.Unary(OpKind::kLogicalNot, unsigned_nan)});
    choose(flip, b.Add(code, scalar(1 << MagnitudeBits(l))));
  }
  choose(b.Emit(OpKind::kNe, {x, x}), scalar(special.nan));
  return b.Cast(code, DType::kU8);
}

// x modulo 2^bits, as a signed or an unsigned integer of that width.
Value Wrap(GraphBuilder& b, Value x, const ElementInfo& info) {
  const double modulus = std::ldexp(1.0, info.bits);
  x = To(b, x, DType::kI32);
  const Value m = Like(b, x, modulus);
  const auto rest = [&](Value v) { return b.Sub(v, b.Mul(b.Div(v, m), m)); };
  Value wrapped = rest(b.Add(rest(x), m));
  if (info.dtype == DType::kI8) {
    const Value high = b.Emit(OpKind::kGe, {wrapped, Like(b, x, modulus / 2)});
    wrapped = b.Where(high, b.Sub(wrapped, m), wrapped);
  }
  return To(b, wrapped, info.dtype);
}

}  // namespace

absl::StatusOr<CastMode> CastModeOf(const OpNode& n) {
  CastMode mode{.saturate = n.Int("saturate", 1) != 0};
  RLX_ASSIGN(mode.round, n.Choice("round_mode", "up", {"up", "down", "nearest"}));
  return mode;
}

Value Decode(GraphBuilder& b, Value x, Element element) {
  if (const Layout* layout = LayoutOf(element))
    return b.Gather(Table(b, DType::kF32, Values(*layout)), b.Cast(x, DType::kI32));
  if (element != Element::kUint64) return x;
  const Value real = b.Cast(x, DType::kF64);
  const Value negative = b.Emit(OpKind::kLt, {x, Like(b, x, 0)});
  return b.Where(negative, b.Add(real, b.Scalar(DType::kF64, std::ldexp(1.0, 64))), real);
}

Value Encode(GraphBuilder& b, Value x, Element element, const CastMode& mode) {
  const Layout* layout = LayoutOf(element);
  if (layout != nullptr) return EncodeFloat(b, x, *layout, mode);
  const ElementInfo& info = *Find(element);
  if (element == Element::kUint64) return To(b, x, DType::kI64);
  return Wrap(b, x, info);
}

}  // namespace rlx::onnx
