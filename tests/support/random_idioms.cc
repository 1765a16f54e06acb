// SPDX-License-Identifier: Apache-2.0
// Steps of several ops: the patterns that passes look for.
#include <algorithm>
#include <cmath>

#include "tests/support/random_draft.h"

namespace rlx::test {
namespace {

void LinearIdiom(Draft& g) {
  const Draft::Item x = g.Sequence();
  const int64_t width = g.Flip() ? g.LastExtent(x.value) : g.Draw(1, 19);
  const Draft::Item y = g.Linear(x, width, true);
  g.Keep(g.Activation(y.value), y.bound);
}

void ResidualIdiom(Draft& g) {
  const Draft::Item x = g.Sequence(), y = g.Linear(x, g.LastExtent(x.value), g.Flip());
  const Value sum = g.b.Add(x.value, y.value);
  if (g.Flip()) g.Keep(sum, x.bound + y.bound);
  g.Keep(g.Norm(sum), 4);
}

void SharedIdiom(Draft& g) {
  const Draft::Item x = g.Sequence();
  const bool bias = g.Flip();
  for (int64_t count = g.Draw(2, 3); count > 0; --count)
    g.Keep(g.Linear(x, g.Draw(1, g.LastExtent(x.value)), bias));
}

void SwigluIdiom(Draft& g) {
  const Draft::Item x = g.Sequence();
  const int64_t width = g.LastExtent(x.value), inner = g.Draw(2, 2 * width);
  const Draft::Item up = g.Linear(x, inner, false), gate = g.Linear(x, inner, false);
  const Value gated = g.b.Mul(up.value, g.b.Unary(OpKind::kSilu, gate.value));
  g.Keep(g.Linear({gated, up.bound * gate.bound}, width, false));
  if (g.Flip()) g.Keep(gate);
}

// One product whose halves gate each other, in either order.
void GatedHalvesIdiom(Draft& g) {
  const Draft::Item x = g.Sequence();
  const int64_t width = g.LastExtent(x.value), last = g.b.type(x.value).rank() - 1;
  const Draft::Item both = g.Linear(x, 2 * width, g.Flip());
  const int64_t gate_at = g.Flip() ? 0 : width;
  const Value up = g.b.Narrow(both.value, last, width - gate_at, width);
  const Value gate = g.b.Unary(OpKind::kSilu, g.b.Narrow(both.value, last, gate_at, width));
  g.Keep(g.Flip() ? g.b.Mul(up, gate) : g.b.Mul(gate, up), both.bound * both.bound);
}

void GeluIdiom(Draft& g) {
  const auto [x, bound] = g.Any();
  const Value erf = g.b.Unary(OpKind::kErf, g.b.Div(x, g.Scalar(std::sqrt(2.0))));
  const Value one_plus = g.b.Add(erf, g.Scalar(1));
  g.Keep(g.Flip() ? g.b.Mul(g.b.Mul(x, one_plus), g.Scalar(0.5))
                  : g.b.Mul(g.b.Mul(x, g.Scalar(0.5)), one_plus),
         bound);
}

void ChainIdiom(Draft& g) {
  auto [x, bound] = g.Any();
  for (int64_t links = g.Draw(2, 6); links > 0; --links) {
    const Draft::Item other = g.Operand(x);
    x = g.Flip() ? g.Activation(x) : g.b.Mul(g.b.Add(x, other.value), g.Scalar(0.5));
    bound = std::max(bound, other.bound);
  }
  g.Keep(x, bound);
}

void NormIdiom(Draft& g) {  // layer norm in primitives
  const Value x = g.Sequence().value;
  const int64_t width = g.LastExtent(x);
  const Value centred = g.b.Sub(x, g.b.Reduce(OpKind::kReduceMean, x, {-1}, true));
  const Value variance = g.b.Reduce(OpKind::kReduceMean, g.b.Mul(centred, centred), {-1}, true);
  const Value scale = g.b.Unary(OpKind::kRsqrt, g.b.Add(variance, g.Scalar(1e-2)));
  g.Keep(g.b.Add(g.b.Mul(g.b.Mul(centred, scale), g.Param({width})), g.Param({width})), 4);
}

void AttentionIdiom(Draft& g) {  // in primitives, heads split by reshape and transpose
  const Draft::Item x = g.Sequence();
  const int64_t width = g.LastExtent(x.value);
  if (width % 2 != 0) return;
  const Shape shape = g.ShapeOf(x.value);
  const auto heads = [&](std::vector<int64_t> perm) {
    const Value joined = g.Linear(x, width, true).value;
    const Value split = g.b.Reshape(joined, {shape[0], shape[1], 2, width / 2});
    return g.b.Transpose(split, std::move(perm));
  };
  const Value q = heads({0, 2, 1, 3}), k = heads({0, 2, 3, 1}), v = heads({0, 2, 1, 3});
  const Value scores = g.b.Mul(g.b.MatMul(q, k), g.Scalar(1 / std::sqrt(width / 2.0)));
  const Value mixed = g.b.Transpose(g.b.MatMul(g.b.Softmax(scores), v), {0, 2, 1, 3});
  g.Keep(g.b.Reshape(mixed, {shape[0], shape[1], width}), std::sqrt(width) * x.bound + 1);
}

}  // namespace

std::span<const DraftStep> IdiomSteps() {
  static constexpr DraftStep kSteps[] = {LinearIdiom,    ResidualIdiom, SharedIdiom,
                                         SwigluIdiom,    GeluIdiom,     ChainIdiom,
                                         AttentionIdiom, NormIdiom,     GatedHalvesIdiom};
  return kSteps;
}

}  // namespace rlx::test
