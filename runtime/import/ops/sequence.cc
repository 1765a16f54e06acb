// SPDX-License-Identifier: Apache-2.0
// Ops with a state that decoding carries from call to call.
#include <cmath>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

// --- CausalConvWithState ---

Results CausalConv(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const std::string activation,
             n.Choice("activation", "none", {"none", "silu", "swish"}));
  if (n.rank(0) != 3 || n.rank(1) != 3 || !n.shape(1)[2].is_static() || !n.shape(0)[1].is_static())
    return InvalidArgument("operands ", n.type(0), " and ", n.type(1),
                           " are not [batch,channels,length] and [channels,1,k]");
  const Shape& s = n.shape(0);
  const int64_t k = n.shape(1)[2].value();
  Value x = n.In(0);
  if (k > 1) {
    const Value past = n.Has(3) ? n.In(3) : b.Expand(Like(b, x, 0), {s[0], s[1], Dim(k - 1)});
    x = b.Concat({past, x}, 2);
  }
  std::vector<Value> operands = {x, n.In(1)};
  if (n.Has(2)) operands.push_back(n.In(2));
  using Ints = std::vector<int64_t>;
  Value y = b.Emit(OpKind::kConv, operands,
                   {{"strides", Ints{1}},
                    {"pads", Ints{0, 0}},
                    {"dilations", Ints{1}},
                    {"groups", s[1].value()}});
  if (activation != "none") y = b.Unary(OpKind::kSilu, y);
  if (!n.Wants(1)) return One(y);
  if (k == 1) {
    if (!s[0].is_static()) return Unimplemented("a state without elements");
    n.SetEmpty(1, n.dtype(0), {s[0].value(), s[1].value(), 0}, n.element(0));
    return One(y);
  }
  if (s[2].is_static()) return std::vector<Value>{y, b.Narrow(x, 2, s[2].value(), k - 1)};
  const Value last = b.Add(EmitIota(b, Dim(k - 1)), EmitDim(b, s[2], DType::kI64));
  return std::vector<Value>{y, b.Gather(x, last, 2)};
}

// --- LinearAttention ---

// [batch, steps, heads·width] → [steps, batch, heads, width].
Value BySteps(GraphBuilder& b, Value x, int64_t heads) {
  const Shape s = ShapeOf(b, x);
  const Value split = b.Reshape(x, {s[0], s[1], heads, FloorDiv(s[2], Dim(heads))});
  return b.Transpose(split, {1, 0, 2, 3});
}

struct Rule {
  bool gated = false, delta = false;
  double scale = 1;
};

// One step: the state S [batch, heads, k, v], then q, k, v [, decay] [, beta].
std::shared_ptr<const Graph> StepGraph(const TensorType& state, std::vector<TensorType> slices,
                                       const Rule& rule, absl::Status& status) {
  auto graph = std::make_shared<Graph>();
  GraphBuilder b(*graph);
  Value s = b.Input("state", state);
  std::vector<Value> in;
  for (size_t i = 0; i < slices.size(); ++i) in.push_back(b.Input(Cat("v", i), slices[i]));
  const Value q = in[0], k = in[1], v = in[2];
  const auto lift = [&](Value x, bool row) {  // [b, h, d] → [b, h, 1, d] or [b, h, d, 1]
    Shape shape = ShapeOf(b, x);
    shape.insert(row ? shape.end() - 1 : shape.end(), Dim(1));
    return b.Reshape(x, std::move(shape));
  };
  if (rule.gated) s = b.Mul(s, lift(b.Unary(OpKind::kExp, in[3]), false));
  Value fresh = lift(v, true);
  if (rule.delta) {
    fresh = b.Sub(fresh, b.MatMul(lift(k, true), s));
    fresh = b.Mul(fresh, lift(in.back(), true));
  }
  s = b.Add(s, b.Mul(lift(k, false), fresh));
  const Shape qs = ShapeOf(b, q), ss = ShapeOf(b, s);
  if (!b.status().ok() || qs.size() != 3 || ss.size() != 4) {
    status = b.status();
    return graph;
  }
  const Value grouped = b.Reshape(q, {ss[0], ss[1], FloorDiv(qs[1], ss[1]), ss[2]});
  Value o = b.MatMul(grouped, s);
  o = b.Reshape(b.Mul(o, Like(b, o, rule.scale)), {ss[0], qs[1] * ss[3]});
  b.Output("state", s);
  b.Output("o", o);
  status = b.status();
  return graph;
}

Results LinearAttention(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const std::string name,
             n.Choice("update_rule", "gated_delta", {"linear", "gated", "delta", "gated_delta"}));
  Rule rule{name.starts_with("gated"), name.ends_with("delta"), n.Float("scale", 0)};
  const int64_t heads = n.Int("q_num_heads", 0), kv = n.Int("kv_num_heads", 0);
  if (heads < 1 || kv < 1 || heads % kv != 0)
    return InvalidArgument("q_num_heads and kv_num_heads are ", heads, " and ", kv);
  for (int i = 0; i < n.inputs(); ++i)
    if (i != 3 && n.Has(i) && n.rank(i) != 3)
      return InvalidArgument("operand ", i, " has rank ", n.rank(i), ", not 3");
  if (rule.gated != n.Has(4) || rule.delta != n.Has(5))
    return InvalidArgument("decay and beta do not fit update_rule ", name);
  const auto real = [&](int i) { return To(b, n.In(i), DType::kF32); };
  std::vector<Value> sequences = {BySteps(b, real(0), heads), BySteps(b, real(1), kv),
                                  BySteps(b, real(2), kv)};
  RLX_TRY(b.status());
  const Shape k = ShapeOf(b, sequences[1]), v = ShapeOf(b, sequences[2]);
  if (!k[3].is_static()) return Unimplemented("a symbolic head");
  if (rule.scale == 0) rule.scale = 1 / std::sqrt(static_cast<double>(k[3].value()));
  if (rule.gated) sequences.push_back(BySteps(b, real(4), kv));
  if (rule.delta) sequences.push_back(BySteps(b, real(5), n.shape(5)[2] == Dim(1) ? 1 : kv));
  const Shape state = {k[1], Dim(kv), k[3], v[3]};
  const Value start = n.Has(3) ? real(3) : b.Expand(b.Scalar(DType::kF32, 0), state);
  RLX_TRY(b.status());
  std::vector<TensorType> slices;
  for (const Value sequence : sequences) {
    TensorType type = b.type(sequence);
    type.shape.erase(type.shape.begin());
    slices.push_back(std::move(type));
  }
  absl::Status status;
  const auto step = StepGraph({DType::kF32, state}, slices, rule, status);
  RLX_TRY(status);
  std::vector<Value> operands = {start};
  operands.insert(operands.end(), sequences.begin(), sequences.end());
  std::vector<Value> out = b.EmitAll(OpKind::kScan, operands,
                                     {{"carries", int64_t{1}},
                                      {"sequences", static_cast<int64_t>(sequences.size())},
                                      {"length", Shape{k[0]}}},
                                     {step});
  RLX_TRY(b.status());
  const Value y = To(b, b.Transpose(out[1], {1, 0, 2}), n.dtype(0));
  return std::vector<Value>{y, To(b, out[0], n.Has(3) ? n.dtype(3) : n.dtype(0))};
}

// --- TensorScatter: a cache with new rows written into it ---

Results TensorScatter(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const std::string mode, n.Choice("mode", "linear", {"linear", "circular"}));
  const int rank = n.rank(0);
  RLX_ASSIGN(const int64_t axis, n.Axis(n.Int("axis", -2), rank));
  if (axis == 0 || n.rank(1) != rank) return InvalidArgument("operands do not fit axis ", axis);
  std::vector<int64_t> perm = {0, axis};
  for (int i = 1; i < rank; ++i)
    if (i != axis) perm.push_back(i);
  const Value past = b.Transpose(n.In(0), perm), update = b.Transpose(n.In(1), perm);
  RLX_TRY(b.status());
  const Shape s = ShapeOf(b, past), u = ShapeOf(b, update);
  const Value size = EmitDim(b, s[1], DType::kI64), count = EmitDim(b, u[1], DType::kI64);
  const Value zero = Like(b, size, 0);
  Value start = b.Expand(zero, {s[0], 1});
  if (n.Has(2)) start = b.Reshape(To(b, n.In(2), DType::kI64), {s[0], 1});
  // Which new row each row of the cache gets, where it gets one.
  Value row = b.Sub(Along(b, EmitIota(b, s[1]), 1, 2), start);
  if (mode == "circular") {
    row = b.Sub(row, b.Mul(b.Div(row, size), size));
    row = b.Where(b.Emit(OpKind::kLt, {row, zero}), b.Add(row, size), row);
  }
  const Value fresh = b.Emit(OpKind::kLogicalAnd,
                             {b.Emit(OpKind::kGe, {row, zero}), b.Emit(OpKind::kLt, {row, count})});
  const Value safe = b.Where(fresh, row, zero);
  const Value place = b.Add(safe, b.Mul(Along(b, EmitIota(b, s[0]), 0, 2), count));
  const Dim width = Product(s, 2, s.size());
  const Value table = b.Reshape(update, {u[0] * u[1], width});
  const Value picked = b.Reshape(b.Gather(table, b.Reshape(place, {s[0] * s[1]})), s);
  Shape lifted(static_cast<size_t>(rank), Dim(1));
  lifted[0] = s[0];
  lifted[1] = s[1];
  const Value out = b.Where(b.Reshape(fresh, std::move(lifted)), picked, past);
  std::vector<int64_t> back(perm.size());
  for (size_t i = 0; i < perm.size(); ++i)
    back[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  return One(b.Transpose(out, std::move(back)));
}

constexpr OpRow kRows[] = {
    {kOnnx, "CausalConvWithState", 27, INT32_MAX, 2, 4, "activation", CausalConv},
    {kOnnx, "LinearAttention", 27, INT32_MAX, 3, 6,
     "chunk_size kv_num_heads q_num_heads scale update_rule", LinearAttention},
    {kOnnx, "TensorScatter", 24, INT32_MAX, 2, 3, "axis mode", TensorScatter},
};

}  // namespace

std::span<const OpRow> SequenceOps() { return kRows; }

}  // namespace rlx::onnx
