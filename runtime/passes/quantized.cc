// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/quantized.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rlx::passes {
namespace {

std::optional<Scaling> Read(const Graph& graph, Value value, OpKind op) {
  const Node& node = graph.node(value.node);
  if (node.op != op) return std::nullopt;
  const DType from = graph.type(node.operands[0]).dtype, to = node.Type("to");
  const bool quantize = op == OpKind::kQuantize;
  Scaling out{.value = node.operands[0],
              .code = quantize ? to : from,
              .real = quantize ? from : to,
              .axis = {},
              .scales = node.Floats("scales"),
              .zeros = node.Ints("zero_points")};
  if (const AttrValue* axis = node.Find("axis")) {
    if (const auto* i = std::get_if<int64_t>(axis)) out.axis = *i;
  }
  return out;
}

// The nodes compute in f32 where they are narrower, and divide what was multiplied: that comes back
// to the same integer while products neither overflow nor lose digits.
bool HasDigits(double scale, DType real) {
  constexpr double kCodes = 512;  // more than any code is away from its zero point
  const bool single = real == DType::kF32;
  const double least = single ? std::numeric_limits<float>::min() : 1e-300;
  const double most = single ? std::numeric_limits<float>::max() : 1e300;
  return scale >= least && scale <= most / kCodes;
}

}  // namespace

std::optional<int64_t> Scaling::OneZero() const {
  const bool same = std::ranges::all_of(zeros, [&](int64_t z) { return z == zeros.front(); });
  return same && !zeros.empty() ? std::optional(zeros.front()) : std::nullopt;
}

std::optional<Scaling> ReadQuantize(const Graph& graph, Value value) {
  return Read(graph, value, OpKind::kQuantize);
}

std::optional<Scaling> ReadDequantize(const Graph& graph, Value value) {
  return Read(graph, value, OpKind::kDequantize);
}

std::string WhyNotInverse(const Scaling& dequantize, const Scaling& quantize) {
  if (dequantize.code != quantize.code) return "has codes of another type";
  if (dequantize.axis != quantize.axis) return "scales along another axis";
  if (dequantize.scales != quantize.scales) return "has other scales";
  if (dequantize.zeros != quantize.zeros) return "has other zero points";
  const DType real = dequantize.real;
  if (real != DType::kF32 && real != DType::kF64) return "has too few digits in between";
  const bool exact =
      std::ranges::all_of(quantize.scales, [real](double s) { return HasDigits(s, real); });
  return exact ? "" : "has scales at the end of the type's range";
}

CodeRange RangeOf(DType code) {
  return code == DType::kU8 ? CodeRange{0, 255} : CodeRange{-128, 127};
}

}  // namespace rlx::passes
