// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/ir/graph.h"

// What the passes over quantize and dequantize nodes ask of them.
namespace rlx::passes {

// real = (code - zero)·scale, with one scale and zero point or with one for each index of `axis`.
struct Scaling {
  Value value;  // the node's operand
  DType code = DType::kI8, real = DType::kF32;
  std::optional<int64_t> axis;
  std::vector<double> scales;
  std::vector<int64_t> zeros;

  double scale(size_t channel) const { return scales[scales.size() == 1 ? 0 : channel]; }
  // The zero point of all channels; none where they differ.
  std::optional<int64_t> OneZero() const;
};
std::optional<Scaling> ReadQuantize(const Graph& graph, Value value);
std::optional<Scaling> ReadDequantize(const Graph& graph, Value value);

// Whether quantizing what was dequantized gives back every code: the same numbers on both sides,
// and digits enough between them. Otherwise why not, as the end of a sentence.
std::string WhyNotInverse(const Scaling& dequantize, const Scaling& quantize);

struct CodeRange {
  int64_t low, high;
};
CodeRange RangeOf(DType code);  // i8 or u8

}  // namespace rlx::passes
