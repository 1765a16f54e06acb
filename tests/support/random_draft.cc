// SPDX-License-Identifier: Apache-2.0
#include "tests/support/random_draft.h"

#include <algorithm>
#include <cmath>

namespace rlx::test {

int64_t Draft::Draw(int64_t low, int64_t high) {
  return low + static_cast<int64_t>(rng() % static_cast<uint64_t>(high - low + 1));
}

Draft::Item Draft::Any() {
  const auto last = static_cast<int64_t>(pool.size()) - 1;
  return pool[std::max(Draw(0, last), Draw(0, last))];
}

std::optional<Draft::Item> Draft::AnyOfRank(int rank) {
  for (int tries = 0; tries < 8; ++tries)
    if (const Item item = Any(); b.type(item.value).rank() >= rank) return item;
  return std::nullopt;
}

Draft::Item Draft::Sequence() {
  for (int tries = 0; tries < 4; ++tries)
    if (const Item item = Any(); b.type(item.value).rank() == 3 && LastExtent(item.value) > 1)
      return item;
  return {leaves[0], 1};
}

Value Draft::Capture(Value v) {
  captured.push_back(v);
  return b.Input("", outer->b.type(v));
}

Value Draft::Param(Shape shape) {
  if (outer != nullptr) return Capture(outer->Param(std::move(shape)));
  return b.Param(Cat("p", params_++), {options.dtype, std::move(shape)});
}

Value Draft::Input(TensorType type) {
  if (outer != nullptr) return Capture(outer->Input(std::move(type)));
  return b.Input(Cat("x", inputs_++), std::move(type));
}

int64_t Draft::LastExtent(Value v) {
  const Shape& shape = ShapeOf(v);
  return !shape.empty() && shape.back().is_static() ? shape.back().value() : 0;
}

Value Draft::Keep(Value v, double bound) {
  if (bound > 6) {
    v = Flip() ? b.Unary(OpKind::kTanh, v) : b.Mul(v, Scalar(1 / bound));
    bound = 1;
  }
  pool.push_back({v, bound});
  return v;
}

Draft::Item Draft::Operand(Value x) {
  const Shape shape = ShapeOf(x);
  for (const Item& item : pool)
    if (item.value != x && ShapeOf(item.value) == shape && Flip()) return item;
  if (Flip()) return {Scalar(static_cast<double>(Draw(-4, 4)) / 2), 2};
  Shape part = shape;
  for (Dim& dim : part)
    if (!dim.is_static() || Draw(0, 3) == 0) dim = 1;
  part.erase(part.begin(), part.begin() + Draw(0, static_cast<int64_t>(part.size())));
  return {Param(std::move(part)), 1};
}

// A sum of k products with weights of either sign in [-1, 1] is around √k/3 times x.
Draft::Item Draft::Linear(Item x, int64_t width, bool bias) {
  const int64_t k = LastExtent(x.value);
  const Value y = b.MatMul(x.value, Param({k, width}));
  return {bias ? b.Add(y, Param({width})) : y, std::sqrt(k) * x.bound + 1};
}

Value Draft::Activation(Value x) {
  return b.Unary(Pick({OpKind::kGelu, OpKind::kRelu, OpKind::kSilu, OpKind::kTanh,
                       OpKind::kGeluTanh, OpKind::kSigmoid}),
                 x);
}

Value Draft::Norm(Value x) {
  const int64_t width = LastExtent(x);
  if (Flip()) return b.LayerNorm(x, Param({width}), Param({width}), 1e-5);
  return b.RmsNorm(x, Param({width}), 1e-5);
}

}  // namespace rlx::test
