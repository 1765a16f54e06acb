// SPDX-License-Identifier: Apache-2.0
// Steps as large as a transformer's or an image model's blocks, and steps drawn from the op table
// itself.
#include <algorithm>
#include <cmath>

#include "tests/support/graphs.h"
#include "tests/support/random_draft.h"

namespace rlx::test {
namespace {

// What the projections of a block are made of.
struct Heads {
  int64_t count, kv, width;
  bool first;   // [b,h,s,d]
  Value table;  // cos and sin, invalid without rotation

  int64_t Joint() const { return (count + 2 * kv) * width; }
};

Heads DrawHeads(Draft& g, Value x) {
  Heads heads{
      g.Pick<int64_t>({2, 4}), g.Pick<int64_t>({1, 2}), g.Pick<int64_t>({2, 4}), g.Flip(), {}};
  const Dim& length = g.ShapeOf(x)[1];
  const int64_t rows = length.is_static() ? length.value() + g.Draw(0, 2) : 0;
  if (rows > 0 && g.Flip()) heads.table = g.Param({rows, heads.width / 2});
  return heads;
}

// [b,s,n·d] the way attention takes it.
Value Split(Draft& g, Value v, const Heads& heads, int64_t count, bool rotates) {
  const Shape shape = g.ShapeOf(v);
  if (heads.first) {
    v = g.b.Reshape(v, {shape[0], shape[1], count, heads.width});
    v = g.b.Transpose(v, {0, 2, 1, 3});
  }
  if (!rotates || !heads.table.valid()) return v;
  return g.b.Emit(OpKind::kRope, {v, heads.table, heads.table}, {{"head_dim", heads.width}});
}

// Projections of x as three products, or as slices of one.
std::vector<Value> Projections(Draft& g, Draft::Item x, const Heads& heads) {
  const int64_t q = heads.count * heads.width, kv = heads.kv * heads.width;
  if (g.Flip()) {
    return {g.Linear(x, q, g.Flip()).value, g.Linear(x, kv, g.Flip()).value,
            g.Linear(x, kv, g.Flip()).value};
  }
  const Value joint = g.Linear(x, heads.Joint(), g.Flip()).value;
  return {g.b.Narrow(joint, 2, 0, q), g.b.Narrow(joint, 2, q, kv),
          g.b.Narrow(joint, 2, q + kv, kv)};
}

std::vector<Attr> AttentionAttrs(Draft& g, const Heads& heads) {
  return {{"num_heads", heads.count},
          {"num_kv_heads", heads.kv},
          {"head_dim", heads.width},
          {"mask", g.Pick<std::string>({"none", "causal"})}};
}

// x · qkv, attention, · out: `width` columns. In pieces, or as the fused op.
Value Block(Draft& g, Draft::Item x, int64_t width) {
  const Heads heads = DrawHeads(g, x.value);
  const int64_t hidden = g.LastExtent(x.value), q_width = heads.count * heads.width;
  if (g.Draw(0, 2) == 0) {
    return g.b.Emit(OpKind::kFusedAttentionBlock,
                    {x.value, g.Param({hidden, heads.Joint()}), g.Param({q_width, width})},
                    AttentionAttrs(g, heads));
  }
  const std::vector<Value> parts = Projections(g, x, heads);
  if (g.Draw(0, 7) == 0) g.Keep(parts[1], std::sqrt(hidden) * x.bound + 1);  // someone else reads k
  Value v = g.b.Emit(
      OpKind::kAttention,
      {Split(g, parts[0], heads, heads.count, true), Split(g, parts[1], heads, heads.kv, true),
       Split(g, parts[2], heads, heads.kv, false)},
      AttentionAttrs(g, heads));
  const Shape shape = g.ShapeOf(x.value);
  if (heads.first) {
    v = g.b.Reshape(g.b.Transpose(v, {0, 2, 1, 3}), {shape[0], shape[1], q_width});
  }
  return g.Linear({v, 1}, width, g.Flip()).value;
}

void BlockStep(Draft& g) {
  const Draft::Item x = g.Sequence();
  const double bound = 8 * (g.LastExtent(x.value) * x.bound + 1);
  g.Keep(Block(g, x, g.Draw(1, 9)), bound);
}

// A post-norm encoder layer around a block.
void EncoderStep(Draft& g) {
  const Draft::Item x = g.Sequence();
  const int64_t hidden = g.LastExtent(x.value);
  const auto norm = [&](Value a, Value b) {
    return g.b.LayerNorm(g.b.Add(a, b), g.Param({hidden}), g.Param({hidden}), 1e-5);
  };
  const Value h = norm(x.value, Block(g, x, hidden));
  if (g.Draw(0, 7) == 0) g.Keep(h, 4);  // someone else reads it
  const Value inner = g.Activation(g.Linear({h, 4}, g.Draw(2, 9), g.Flip()).value);
  g.Keep(norm(g.Linear({inner, 4}, hidden, g.Flip()).value, h), 4);
}

// A norm whose rows are read flat.
void FlatNormStep(Draft& g) {
  const Draft::Item x = g.Sequence();
  const Shape shape = g.ShapeOf(x.value);
  const Value norm = g.b.RmsNorm(x.value, g.Param({shape[2]}), 1e-5);
  if (g.Draw(0, 3) == 0) g.Keep(norm, 4);
  const Value flat = g.b.Reshape(norm, {shape[0] * shape[1], shape[2]});
  if (g.Draw(0, 3) == 0) {
    g.Keep(flat, 4);
  } else {
    g.Keep(g.Linear({flat, 4}, g.Draw(1, 7), g.Flip()));
  }
}

// A convolution of `image`, [b,c,h,w] or, as the fused op, [b,h,w,c]; extents stay.
Value Convolve(Draft& g, Value image, int64_t from, int64_t to, int64_t kernel, bool rows) {
  std::vector<Attr> attrs = {{"strides", std::vector<int64_t>{1, 1}},
                             {"pads", std::vector<int64_t>(4, kernel / 2)},
                             {"dilations", std::vector<int64_t>{1, 1}}};
  std::vector<Value> operands = {image, g.Param({to, from, kernel, kernel})};
  const bool bias = g.Flip();
  if (bias) operands.push_back(g.Param({to}));
  if (rows) attrs.push_back({"has_bias", bias});
  return g.b.Emit(rows ? OpKind::kFusedConvBiasAct : OpKind::kConv, std::move(operands), attrs);
}

Value ActivateImage(Draft& g, Value v) {
  if (g.Flip()) return g.Activation(v);
  return g.b.Mul(v, g.b.Unary(OpKind::kSigmoid, v));
}

// A region of the author's own, whose body has the image's type.
Value WrittenRegion(Draft& g, Value image) {
  Graph body;
  GraphBuilder b(body);
  const Value p = b.Input("", g.b.type(image));
  b.Output("", b.Unary(OpKind::kTanh, b.Mul(p, p)));
  return g.b.Emit(OpKind::kElementwiseRegion, {image}, {},
                  {std::make_shared<const Graph>(std::move(body))});
}

// Two convolutions with what stands around them in image models. Images of known extents alone: a
// window mixes places, so what is padded along them is refused.
void ImageStep(Draft& g) {
  const Draft::Item x = g.Sequence();
  const Shape s = g.ShapeOf(x.value);
  if (!s[1].is_static() || !s[2].is_static()) return;
  const int64_t channels = g.Draw(1, 5);
  const bool rows = g.Flip();
  Value v = g.b.Reshape(x.value, rows ? Shape{s[0], s[1], s[2], 1} : Shape{s[0], 1, s[1], s[2]});
  const Value entry = Convolve(g, v, 1, channels, 3, rows);
  v = g.Flip() ? ActivateImage(g, entry) : entry;
  if (g.options.composites && g.Draw(0, 3) == 0) v = WrittenRegion(g, v);
  const Value residual = v;
  v = Convolve(g, v, channels, channels, 1, rows);
  if (g.Flip()) v = g.b.Add(v, residual);
  v = ActivateImage(g, v);
  if (!rows && g.Flip()) {
    v = g.b.Mul(v, g.b.Reduce(OpKind::kReduceMean, v, {2, 3}, true));
  }
  if (!rows && g.Flip()) {
    v = g.b.Emit(OpKind::kPool, {v},
                 {{"mode", g.Pick<std::string>({"max", "mean"})},
                  {"kernel", std::vector<int64_t>{3, 3}},
                  {"strides", std::vector<int64_t>{1, 1}},
                  {"pads", std::vector<int64_t>(4, 1)}});
  }
  if (g.Draw(0, 7) == 0) g.extra_outputs.push_back(entry);  // someone else reads it
  v = g.b.Reshape(
      v, rows ? Shape{s[0], s[1], s[2] * Dim(channels)} : Shape{s[0], s[1] * Dim(channels), s[2]});
  g.Keep(g.b.Unary(OpKind::kTanh, v), 1);
}

const OpInfo& AnyOp(Draft& g) {
  static const std::vector<const OpInfo*> ops = [] {
    std::vector<const OpInfo*> sampled;
    for (const OpInfo* op : AllOps()) {
      if (op->level == Stage::kMir && op->sample != nullptr) sampled.push_back(op);
    }
    return sampled;
  }();
  return *ops[static_cast<size_t>(g.Draw(0, static_cast<int64_t>(ops.size()) - 1))];
}

}  // namespace

std::span<const DraftStep> BlockSteps() {
  static constexpr DraftStep kSteps[] = {BlockStep, EncoderStep, EncoderStep, FlatNormStep,
                                         ImageStep};
  return kSteps;
}

// Operands in the sample's ranges: floats around 0 are inputs, all else is constant. The result
// goes on where it is like what the other steps work on.
void TableStep(Draft& g) {
  const OpInfo& op = AnyOp(g);
  const OpSample sample = op.sample(g.rng);
  std::vector<Value> operands;
  for (const OpSample::Operand& operand : sample.operands) {
    const bool around_zero = !IsExact(operand.type.dtype) && operand.low <= -1 && operand.high >= 1;
    operands.push_back(
        around_zero ? g.Input(operand.type)
                    : g.b.Constant(RandomTensor(operand.type, operand.low, operand.high, g.rng)));
  }
  const auto results = g.b.EmitAll(op.kind, std::move(operands), sample.attrs, sample.subgraphs);
  for (Value result : results) {
    const TensorType& type = g.b.type(result);
    if (type.dtype == g.options.dtype && type.rank() <= 3 && g.Flip()) {
      g.pool.push_back({g.b.Unary(OpKind::kTanh, result), 1});
    } else {
      g.extra_outputs.push_back(result);
    }
  }
}

}  // namespace rlx::test
