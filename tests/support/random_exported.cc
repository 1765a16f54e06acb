// SPDX-License-Identifier: Apache-2.0
// What raising passes look for: ops as exporters write them out, each spelling drawn anew,
// sometimes with a part that somebody else reads.
#include <cmath>
#include <limits>

#include "tests/support/random_draft.h"

namespace rlx::test {
namespace {

Value Either(Draft& g, OpKind op, Value x, Value y) {
  return g.Flip() ? g.b.Emit(op, {x, y}) : g.b.Emit(op, {y, x});
}

// x times a number, or divided by what it is one over.
Value Times(Draft& g, Value x, double factor) {
  if (g.Flip()) return g.b.Div(x, g.Scalar(1 / factor));
  return Either(g, OpKind::kMul, x, g.Scalar(factor));
}

// Away from 0: the mean of what is centred would be nothing but rounding.
Value Lifted(Draft& g, Value v) { return g.b.Add(v, g.Scalar(0.5)); }

// Now and then a value inside a pattern is read by somebody else as well.
Value Shown(Draft& g, Value v, double bound) {
  if (g.Draw(0, 15) == 0) g.Keep(Lifted(g, v), bound + 1);
  return v;
}

Value MeanOf(Draft& g, Value x, std::vector<int64_t> axes) {
  const int64_t width = g.LastExtent(x);
  if (g.Flip() || axes.size() != 1) return g.b.Reduce(OpKind::kReduceMean, x, axes, true);
  return Times(g, g.b.Reduce(OpKind::kReduceSum, x, axes, true), 1 / static_cast<double>(width));
}

// A layer norm, or without its mean an rms norm.
void NormStep(Draft& g) {
  const Value x = g.Sequence().value;
  const bool centred = g.Flip(), late = centred && g.Draw(0, 3) == 0;
  const int64_t rank = g.b.type(x).rank();
  const std::vector<int64_t> axes = {g.Draw(0, 7) == 0 ? rank - 2 : rank - 1};
  if (axes[0] != rank - 1 && !g.ShapeOf(x)[static_cast<size_t>(axes[0])].is_static()) return;
  const bool last = axes[0] == rank - 1;
  const auto mean_of = [&](Value v) {
    return last ? MeanOf(g, v, axes) : g.b.Reduce(OpKind::kReduceMean, v, axes, true);
  };
  const Value mean = centred ? Shown(g, mean_of(x), 1) : Value{};
  const Value top = centred ? Shown(g, g.b.Sub(x, mean), 2) : x;
  const Value square = g.Flip() ? g.b.Mul(top, top) : g.b.Emit(OpKind::kPow, {top, g.Scalar(2)});
  const Value variance = Either(g, OpKind::kAdd, mean_of(square), g.Scalar(1e-2));
  Value gamma = last ? g.Param({g.LastExtent(x)}) : Value{};
  const Value beta = last && g.Flip() ? g.Param({g.LastExtent(x)}) : Value{};
  Value y;
  if (!late && g.Flip()) {
    y = g.b.Div(top, Shown(g, g.b.Unary(OpKind::kSqrt, variance), 3));
  } else {
    Value inverse = g.Flip() ? g.b.Unary(OpKind::kRsqrt, variance)
                             : g.b.Div(g.Scalar(1), g.b.Unary(OpKind::kSqrt, variance));
    if (gamma.valid() && g.Flip()) {
      inverse = Either(g, OpKind::kMul, inverse, gamma);
      gamma = {};
    }
    if (late) {
      const Value left = Either(g, OpKind::kMul, x, inverse);
      const Value right = Either(g, OpKind::kMul, mean, inverse);
      if (beta.valid() && !gamma.valid()) {
        g.Keep(Either(g, OpKind::kAdd, left, g.b.Sub(beta, right)), 4);
        return;
      }
      y = g.b.Sub(left, right);
    } else {
      y = Either(g, OpKind::kMul, top, inverse);
    }
  }
  if (gamma.valid()) y = Either(g, OpKind::kMul, y, gamma);
  g.Keep(beta.valid() ? Either(g, OpKind::kAdd, y, beta) : Lifted(g, y), 5);
}

Value OnePlus(Draft& g, Value v) { return Either(g, OpKind::kAdd, v, g.Scalar(1)); }

// x·t and a half, in some order.
Value HalfOf(Draft& g, Value x, Value t) {
  switch (g.Draw(0, 2)) {
    case 0:
      return Times(g, Either(g, OpKind::kMul, x, t), 0.5);
    case 1:
      return Either(g, OpKind::kMul, Times(g, x, 0.5), t);
    default:
      return Either(g, OpKind::kMul, x, Times(g, t, 0.5));
  }
}

void ActivationStep(Draft& g) {
  const auto [x, bound] = g.Any();
  const auto sigmoid = [&](Value of) {
    if (g.Flip()) return Shown(g, g.b.Unary(OpKind::kSigmoid, of), 1);
    const Value decay = g.b.Unary(OpKind::kExp, g.b.Unary(OpKind::kNeg, of));
    return g.b.Div(g.Scalar(1), OnePlus(g, decay));
  };
  // One in four has another number, and is another function.
  const double off = g.Draw(0, 3) == 0 ? 1.25 : 1;
  Value y;
  switch (g.Draw(0, 3)) {
    case 0: {
      const Value erf = g.b.Unary(OpKind::kErf, Times(g, x, off * M_SQRT1_2));
      y = HalfOf(g, x, OnePlus(g, Shown(g, erf, 1)));
      break;
    }
    case 1: {
      const Value cube =
          g.Flip() ? g.b.Emit(OpKind::kPow, {x, g.Scalar(3)}) : g.b.Mul(g.b.Mul(x, x), x);
      const Value inner = Either(g, OpKind::kAdd, x, Times(g, cube, 0.044715 * off));
      const Value bent = g.b.Unary(OpKind::kTanh, Times(g, inner, std::sqrt(2 / M_PI)));
      y = HalfOf(g, x, OnePlus(g, bent));
      break;
    }
    case 2:
      y = Either(g, OpKind::kMul, x, sigmoid(off == 1 ? x : Times(g, x, off)));
      break;
    default:
      y = sigmoid(x);
  }
  g.Keep(y, bound + 1);
}

void SoftmaxStep(Draft& g) {
  const auto item = g.AnyOfRank(1);
  if (!item) return;
  const std::vector<int64_t> axes = {g.Draw(-g.b.type(item->value).rank(), -1)};
  const Value top = g.b.Reduce(OpKind::kReduceMax, item->value, axes, true);
  const Value powers = Shown(g, g.b.Unary(OpKind::kExp, g.b.Sub(item->value, top)), 1);
  g.Keep(g.b.Div(powers, g.b.Reduce(OpKind::kReduceSum, powers, axes, true)), 1);
}

// As torch and TensorFlow write one: heads apart or joined with batches, scales anywhere, masks
// that are added or choose, keys and values shared by heads.
void AttentionStep(Draft& g) {
  const Draft::Item x = g.Sequence();
  const Shape shape = g.ShapeOf(x.value);
  const int64_t heads = 2, groups = g.Draw(1, 2), width = 2 * g.Draw(1, 2);
  const auto split = [&](int64_t count, std::vector<int64_t> perm) {
    const Value joined = g.Linear(x, count * width, g.Flip()).value;
    const Value apart = g.b.Reshape(joined, {shape[0], shape[1], count, width});
    return g.b.Transpose(apart, std::move(perm));
  };
  const auto repeat = [&](Value few) {
    if (groups == 1) return few;
    const Dim count = heads / groups;
    const Value lifted = g.b.Reshape(few, {shape[0], count, 1, shape[1], width});
    const Value spread = g.b.Expand(lifted, {shape[0], count, groups, shape[1], width});
    return g.b.Reshape(spread, {shape[0], heads, shape[1], width});
  };
  Value q = split(heads, {0, 2, 1, 3}), v = repeat(split(heads / groups, {0, 2, 1, 3}));
  const bool at_once = groups == 1 && g.Flip();
  Value k = at_once ? split(heads, {0, 2, 3, 1})
                    : g.b.Transpose(repeat(split(heads / groups, {0, 2, 1, 3})), {0, 1, 3, 2});
  const double scale = 1 / std::sqrt(static_cast<double>(width));
  const int64_t where = g.Draw(0, 3);
  if (where == 0) q = Times(g, q, scale);
  if (where == 1) k = Times(g, k, scale);
  Value scores = g.b.MatMul(q, k);
  if (where == 2) scores = Times(g, scores, scale);
  if (g.Draw(0, 3) == 0) {
    const double cap = 4;
    scores = Times(g, g.b.Unary(OpKind::kTanh, Times(g, scores, 1 / cap)), cap);
  }
  scores = Shown(g, scores, 6);
  // The first key counts everywhere, so that no row is empty.
  const auto keep = [&] {
    const Value lengths =
        g.b.Reduce(OpKind::kReduceMax, g.b.Unary(OpKind::kAbs, g.leaves[0]), {2}, false);
    const Value some = g.b.Reshape(lengths, {shape[0], 1, 1, shape[1]});
    const Value top = g.b.Reduce(OpKind::kReduceMax, some, {3}, true);
    return g.b.Emit(OpKind::kGe, {some, g.b.Mul(top, g.Scalar(0.5))});
  };
  const Shape leaf = g.ShapeOf(g.leaves[0]);
  const bool alike = leaf.size() == 3 && leaf[0] == shape[0] && leaf[1] == shape[1];
  if (alike && g.Draw(0, 2) == 0) {
    const double infinity = std::numeric_limits<double>::infinity();
    scores = g.b.Where(keep(), scores, g.Scalar(g.Flip() ? -infinity : -1e9));
  }
  if (g.Flip()) {
    const Dim keys = shape[1].is_static() ? shape[1] : Dim(1);
    scores = Either(g, OpKind::kAdd, scores, g.Param({1, g.Flip() ? heads : 1, 1, keys}));
  }
  const Value weights = Shown(g, g.b.Softmax(scores), 1);
  const Value mixed = g.b.Transpose(g.b.MatMul(weights, v), {0, 2, 1, 3});
  g.Keep(g.b.Reshape(mixed, {shape[0], shape[1], heads * width}),
         std::sqrt(static_cast<double>(g.LastExtent(x.value))) * x.bound + 1);
}

// The op itself, over heads that were taken apart and are joined again.
void HeadsStep(Draft& g) {
  const Draft::Item x = g.Sequence();
  const Shape shape = g.ShapeOf(x.value);
  const int64_t heads = 2, width = 2 * g.Draw(1, 2);
  std::vector<Value> parts;
  if (g.Flip()) {
    for (int i = 0; i < 3; ++i) {
      const Value rows = g.Linear(x, heads * width, g.Flip()).value;
      const Value apart = g.b.Reshape(rows, {shape[0], shape[1], heads, width});
      parts.push_back(g.b.Transpose(apart, {0, 2, 1, 3}));
    }
  } else {  // of one product
    const Value rows = g.Linear(x, 3 * heads * width, g.Flip()).value;
    const Value apart = g.b.Reshape(rows, {shape[0], shape[1], 3, heads, width});
    const Value turned = g.b.Transpose(apart, {2, 0, 3, 1, 4});
    const bool gathers = g.Flip();
    for (int64_t i = 0; i < 3; ++i) {
      if (gathers) {
        parts.push_back(
            g.b.Gather(turned, g.b.Constant(HostTensor::FromInts(DType::kI64, {}, {i}))));
        continue;
      }
      const Value part = g.b.Narrow(turned, 0, i, 1);
      parts.push_back(g.b.Reshape(part, {shape[0], heads, shape[1], width}));
    }
  }
  const double bound = std::sqrt(static_cast<double>(g.LastExtent(x.value))) * x.bound + 1;
  const Value y = Shown(
      g, g.b.Emit(OpKind::kAttention, parts, {{"num_heads", heads}, {"head_dim", width}}), bound);
  const Value rows = g.b.Transpose(y, {0, 2, 1, 3});
  g.Keep(g.b.Reshape(rows, {shape[0], shape[1], heads * width}), bound);
}

// Heads turned by angles, with their halves apart or as a whole.
void RopeStep(Draft& g) {
  const Draft::Item from = g.Sequence();
  const Shape shape = g.ShapeOf(from.value);
  const int64_t heads = 2, half = g.Draw(1, 3), width = 2 * half;
  const Value joined = g.Linear(from, heads * width, g.Flip()).value;
  const Value x =
      g.b.Transpose(g.b.Reshape(joined, {shape[0], shape[1], heads, width}), {0, 2, 1, 3});
  const Value low = g.b.Narrow(x, 3, 0, half), high = g.b.Narrow(x, 3, half, half);
  const Value angles = g.Input({g.Flip() ? shape[0] : Dim(1), shape[1], half});
  const bool whole = g.Flip();
  const auto table = [&](OpKind op) {
    const Value columns = whole ? g.b.Concat({angles, angles}, 2) : angles;
    const Shape own = g.ShapeOf(columns);
    return g.b.Reshape(g.b.Unary(op, columns), {own[0], 1, own[1], own[2]});
  };
  const Value cos = table(OpKind::kCos), sin = table(OpKind::kSin);
  Value y;
  if (whole) {
    const Value turned = g.b.Concat({g.b.Unary(OpKind::kNeg, high), low}, 3);
    y = Either(g, OpKind::kAdd, Either(g, OpKind::kMul, x, cos),
               Shown(g, Either(g, OpKind::kMul, turned, sin), from.bound * 4));
  } else {
    const Value real =
        g.b.Sub(Either(g, OpKind::kMul, low, cos), Either(g, OpKind::kMul, high, sin));
    const Value imaginary = Either(g, OpKind::kAdd, Either(g, OpKind::kMul, high, cos),
                                   Either(g, OpKind::kMul, low, sin));
    y = g.b.Concat({real, imaginary}, 3);
  }
  const Value rows = g.b.Transpose(y, {0, 2, 1, 3});
  g.Keep(g.b.Reshape(rows, {shape[0], shape[1], heads * width}),
         2 * (std::sqrt(static_cast<double>(g.LastExtent(from.value))) * from.bound + 1));
}

// A product or convolution whose channels are scaled and shifted by weights.
void ScaledStep(Draft& g) {
  const Draft::Item x = g.Sequence();
  const Shape shape = g.ShapeOf(x.value);
  const bool conv = shape[1].is_static() && g.Flip();
  const int64_t channels = g.Draw(1, 5);
  Value y;
  if (conv) {
    std::vector<Value> operands = {x.value, g.Param({channels, shape[1], 1})};
    if (g.Flip()) operands.push_back(g.Param({channels}));
    const std::vector<int64_t> ones = {1}, none = {0, 0};
    y = g.b.Emit(OpKind::kConv, operands, {{"strides", ones}, {"pads", none}, {"dilations", ones}});
  } else {
    y = g.Linear(x, channels, g.Flip()).value;
  }
  const Shape along = conv ? Shape{channels, 1} : Shape{channels};
  for (int64_t steps = g.Draw(1, 3); steps > 0; --steps) {
    if (g.Draw(0, 3) == 0) y = Shown(g, y, 6);
    const Value by = g.Draw(0, 7) == 0 ? g.Operand(y).value : g.Param(along);
    switch (g.Draw(0, 2)) {
      case 0:
        y = Either(g, OpKind::kMul, y, by);
        break;
      case 1:
        y = Either(g, OpKind::kAdd, y, by);
        break;
      default:
        y = g.b.Sub(y, by);
    }
  }
  g.Keep(y, 8 * (std::sqrt(16.0) * x.bound + 1));
}

}  // namespace

std::span<const DraftStep> ExportedSteps() {
  static constexpr DraftStep kSteps[] = {NormStep,      NormStep,  ActivationStep, SoftmaxStep,
                                         AttentionStep, HeadsStep, RopeStep,       ScaledStep};
  return kSteps;
}

}  // namespace rlx::test
