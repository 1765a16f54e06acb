// SPDX-License-Identifier: Apache-2.0
// Linear recurrences along a sequence. No hidden state: what a caller wants to carry on is an
// operand and a result.
#include <cmath>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

using Values = std::vector<Value>;

DType Wide(DType dtype) { return ByteWidth(dtype) < 4 ? DType::kF32 : dtype; }

Value To(GraphBuilder& b, Value x, DType dtype) {
  return b.type(x).dtype == dtype ? x : b.Cast(x, dtype);
}

// x with its axis 1, the sequence, first: what scan takes apart.
Value SequenceFirst(GraphBuilder& b, Value x) {
  std::vector<int64_t> perm(b.type(x).shape.size());
  for (size_t d = 0; d < perm.size(); ++d) perm[d] = static_cast<int64_t>(d);
  if (perm.size() > 1) std::swap(perm[0], perm[1]);
  return b.Transpose(x, std::move(perm));
}

Value Zeros(GraphBuilder& b, DType dtype, Shape shape) {
  return b.Expand(b.Scalar(dtype, 0), std::move(shape));
}

// What a step carries: the state of the second result, in a type wide enough to add up in.
TensorType StateType(const Node& node) {
  return {Wide(node.results[0].dtype), node.results[1].shape};
}

// The sixth operand where it is given, else zeros.
Value FirstState(GraphBuilder& b, const Node& node, const TensorType& state) {
  return node.operands.size() > 5 ? To(b, node.operands[5], state.dtype)
                                  : Zeros(b, state.dtype, state.shape);
}

// `body` along the sequence: `operands` are the first state, what every step shares, and then
// `sequences` sequences. A body that could not be built is null.
absl::StatusOr<Values> Walk(GraphBuilder& b, const Node& node, Values operands, int64_t sequences,
                            std::shared_ptr<const Graph> body) {
  if (body == nullptr) return InvalidArgument("a step cannot be written for ", StateType(node));
  const Values made = b.EmitAll(OpKind::kScan, std::move(operands),
                                {{"carries", int64_t{1}},
                                 {"sequences", sequences},
                                 {"length", Shape{node.results[0].shape[1]}}},
                                {std::move(body)});
  RLX_TRY(b.status());
  const DType dtype = node.results[0].dtype;
  return Lowered(b, {To(b, SequenceFirst(b, made[1]), dtype), To(b, made[0], dtype)});
}

// --- gated_delta_net

absl::Status InferGatedDeltaNet(InferContext& ctx) {
  const TensorType& q = ctx.operands[0];
  const int count = static_cast<int>(ctx.operands.size());
  RLX_TRY(RequireFloats(ctx, count));
  if (q.rank() != 4) return InvalidArgument("q has rank ", q.rank(), " where 4 is needed");
  const Shape& s = q.shape;
  RLX_TRY(RequireShape(ctx, 1, "k", s));
  RLX_TRY(RequireShape(ctx, 2, "v", s));
  RLX_TRY(RequireShape(ctx, 3, "g", {s[0], s[1], s[2]}));
  RLX_TRY(RequireShape(ctx, 4, "beta", {s[0], s[1], s[2]}));
  if (!s[3].is_static()) return InvalidArgument("the width of a head is ", s[3], ", not constant");
  const TensorType state{q.dtype, {s[0], s[2], s[3], s[3]}};
  if (count > 5) RLX_TRY(RequireShape(ctx, 5, "state", state.shape));
  ctx.results = {q, state};
  return absl::OkStatus();
}

absl::Status EvaluateGatedDeltaNet(EvalContext& ctx) {
  const auto& in = ctx.operands;
  EvalTensor &out = ctx.results[0], &state = ctx.results[1];
  if (in.size() > 5) state.f = in[5]->f;
  const int64_t batch = in[0]->dims[0], length = in[0]->dims[1], heads = in[0]->dims[2];
  const int64_t n = in[0]->dims[3];
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      double* s = state.f.data() + (b * heads + h) * n * n;
      for (int64_t t = 0; t < length; ++t) {
        const int64_t gate = (b * length + t) * heads + h, at = gate * n;
        const double decay = std::exp(in[3]->f[gate]), beta = in[4]->f[gate];
        for (int64_t i = 0; i < n * n; ++i) s[i] *= decay;
        std::vector<double> delta(n);
        for (int64_t j = 0; j < n; ++j) {
          double u = 0;
          for (int64_t i = 0; i < n; ++i) u += s[i * n + j] * in[1]->f[at + i];
          delta[j] = (in[2]->f[at + j] - u) * beta;
        }
        for (int64_t i = 0; i < n; ++i)
          for (int64_t j = 0; j < n; ++j) s[i * n + j] += in[1]->f[at + i] * delta[j];
        for (int64_t j = 0; j < n; ++j) {
          double sum = 0;
          for (int64_t i = 0; i < n; ++i) sum += s[i * n + j] * in[0]->f[at + i];
          out.f[at + j] = sum / std::sqrt(static_cast<double>(n));
        }
      }
    }
  }
  return absl::OkStatus();
}

// One step: the state [b,h,n,n] and slices q, k, v [b,h,n], g, beta [b,h].
std::shared_ptr<const Graph> DeltaStep(const TensorType& state) {
  auto body = std::make_shared<Graph>();
  GraphBuilder b(*body);
  const Shape& d = state.shape;
  const TensorType row{state.dtype, {d[0], d[1], d[2]}}, gate{state.dtype, {d[0], d[1]}};
  const Value before = b.Input("state", state);
  const Value q = b.Input("q", row), k = b.Input("k", row), v = b.Input("v", row);
  const Value g = b.Input("g", gate), beta = b.Input("beta", gate);
  const Shape column{d[0], d[1], d[2], 1}, line{d[0], d[1], 1, d[2]};
  const Value decay = b.Unary(OpKind::kExp, b.Reshape(g, {d[0], d[1], 1, 1}));
  const Value decayed = b.Mul(before, decay);
  const Value u = b.Reduce(OpKind::kReduceSum, b.Mul(decayed, b.Reshape(k, column)), {2}, false);
  const Value delta = b.Mul(b.Sub(v, u), b.Reshape(beta, {d[0], d[1], 1}));
  const Value after = b.Add(decayed, b.Mul(b.Reshape(k, column), b.Reshape(delta, line)));
  const Value o = b.Reduce(OpKind::kReduceSum, b.Mul(after, b.Reshape(q, column)), {2}, false);
  const double scale = 1 / std::sqrt(static_cast<double>(d[2].value()));
  b.Output("state", after);
  b.Output("o", b.Mul(o, b.Scalar(state.dtype, scale)));
  return b.status().ok() ? body : nullptr;
}

absl::StatusOr<Values> DecomposeGatedDeltaNet(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  const TensorType state = StateType(node);
  Values operands = {FirstState(b, node, state)};
  for (size_t i = 0; i < 5; ++i)
    operands.push_back(SequenceFirst(b, To(b, node.operands[i], state.dtype)));
  return Walk(b, node, std::move(operands), 5, DeltaStep(state));
}

OpSample SampleGatedDeltaNet(Rng& rng) {
  const int64_t b = Draw(rng, 1, 2), s = Draw(rng, 1, 5), h = Draw(rng, 1, 3);
  const int64_t n = Draw(rng, 1, 7);
  const auto row = [&] { return FloatOperand({b, s, h, n}, -1, 1); };
  OpSample sample{
      {row(), row(), row(), FloatOperand({b, s, h}, -1, 0), FloatOperand({b, s, h}, 0, 1)}, {}};
  if (Flip(rng)) sample.operands.push_back(FloatOperand({b, h, n, n}, -1, 1));
  return sample;
}

// --- selective_scan

absl::Status InferSelectiveScan(InferContext& ctx) {
  const TensorType &x = ctx.operands[0], &a = ctx.operands[2];
  const int count = static_cast<int>(ctx.operands.size());
  RLX_TRY(RequireFloats(ctx, count));
  if (x.rank() != 3) return InvalidArgument("x has rank ", x.rank(), " where 3 is needed");
  if (a.rank() != 2) return InvalidArgument("a has rank ", a.rank(), " where 2 is needed");
  const Shape& s = x.shape;
  const Dim n = a.shape[1];
  RLX_TRY(RequireShape(ctx, 1, "delta", s));
  RLX_TRY(RequireShape(ctx, 2, "a", {s[2], n}));
  RLX_TRY(RequireShape(ctx, 3, "b", {s[0], s[1], n}));
  RLX_TRY(RequireShape(ctx, 4, "c", {s[0], s[1], n}));
  const TensorType state{x.dtype, {s[0], s[2], n}};
  if (count > 5) RLX_TRY(RequireShape(ctx, 5, "state", state.shape));
  ctx.results = {x, state};
  return absl::OkStatus();
}

absl::Status EvaluateSelectiveScan(EvalContext& ctx) {
  const auto& in = ctx.operands;
  EvalTensor &out = ctx.results[0], &state = ctx.results[1];
  if (in.size() > 5) state.f = in[5]->f;
  const int64_t batch = in[0]->dims[0], length = in[0]->dims[1], width = in[0]->dims[2];
  const int64_t n = in[2]->dims[1];
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t t = 0; t < length; ++t) {
      for (int64_t c = 0; c < width; ++c) {
        const int64_t at = (b * length + t) * width + c;
        const double x = in[0]->f[at], delta = in[1]->f[at];
        double sum = 0;
        for (int64_t j = 0; j < n; ++j) {
          double& s = state.f[(b * width + c) * n + j];
          s = std::exp(delta * in[2]->f[c * n + j]) * s +
              delta * in[3]->f[(b * length + t) * n + j] * x;
          sum += in[4]->f[(b * length + t) * n + j] * s;
        }
        out.f[at] = sum;
      }
    }
  }
  return absl::OkStatus();
}

// One step: the state [b,h,n], A [h,n], slices x, delta [b,h], B, C [b,n].
std::shared_ptr<const Graph> SelectiveStep(const TensorType& state) {
  auto body = std::make_shared<Graph>();
  GraphBuilder b(*body);
  const Shape& d = state.shape;
  const TensorType row{state.dtype, {d[0], d[1]}}, gate{state.dtype, {d[0], d[2]}};
  const Value before = b.Input("state", state), a = b.Input("a", {state.dtype, {d[1], d[2]}});
  const Value x = b.Input("x", row), delta = b.Input("delta", row);
  const Value in = b.Input("b", gate), read = b.Input("c", gate);
  const Shape column{d[0], d[1], 1}, line{d[0], 1, d[2]};
  const Value decay = b.Unary(OpKind::kExp, b.Mul(b.Reshape(delta, column), a));
  const Value step = b.Mul(b.Reshape(b.Mul(delta, x), column), b.Reshape(in, line));
  const Value after = b.Add(b.Mul(decay, before), step);
  b.Output("state", after);
  b.Output("y", b.Reduce(OpKind::kReduceSum, b.Mul(after, b.Reshape(read, line)), {2}, false));
  return b.status().ok() ? body : nullptr;
}

absl::StatusOr<Values> DecomposeSelectiveScan(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  const TensorType state = StateType(node);
  Values operands = {FirstState(b, node, state)};
  operands.push_back(To(b, node.operands[2], state.dtype));
  for (size_t i : {0, 1, 3, 4})
    operands.push_back(SequenceFirst(b, To(b, node.operands[i], state.dtype)));
  return Walk(b, node, std::move(operands), 4, SelectiveStep(state));
}

OpSample SampleSelectiveScan(Rng& rng) {
  const int64_t b = Draw(rng, 1, 2), s = Draw(rng, 1, 5), h = Draw(rng, 1, 6);
  const int64_t n = Draw(rng, 1, 5);
  OpSample sample{
      {FloatOperand({b, s, h}), FloatOperand({b, s, h}, 0, 1), FloatOperand({h, n}, -2, 0),
       FloatOperand({b, s, n}, -1, 1), FloatOperand({b, s, n}, -1, 1)},
      {}};
  if (Flip(rng)) sample.operands.push_back(FloatOperand({b, h, n}, -1, 1));
  return sample;
}

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kGatedDeltaNet,
     .name = "gated_delta_net",
     .claim = "GatedDeltaNet",
     .op_class = OpClass::kComposite,
     .min_operands = 5,
     .max_operands = 6,
     .results = 2,
     .infer = InferGatedDeltaNet,
     .evaluate = EvaluateGatedDeltaNet,
     .decompose = DecomposeGatedDeltaNet,
     .sample = SampleGatedDeltaNet,
     .doc = "(q, k, v [b,s,h,n], g, beta [b,s,h][, state [b,h,n,n]]): for each token and head "
            "S ← S·exp(g); S ← S + k ⊗ ((v - Sᵀk)·beta); o = Sᵀq/√n; results are o and the last "
            "S; the first S is state, or zero"},
    {.kind = OpKind::kSelectiveScan,
     .name = "selective_scan",
     .claim = "SelectiveScan",
     .op_class = OpClass::kComposite,
     .min_operands = 5,
     .max_operands = 6,
     .results = 2,
     .infer = InferSelectiveScan,
     .evaluate = EvaluateSelectiveScan,
     .decompose = DecomposeSelectiveScan,
     .sample = SampleSelectiveScan,
     .doc = "(x, delta [b,s,h], a [h,n], b, c [b,s,n][, state [b,h,n]]): for each token "
            "S ← exp(delta·a)·S + delta·b·x; y = Σ_n c·S; results are y and the last S; the first "
            "S is state, or zero"},
};

}  // namespace

std::span<const OpInfo> RecurrenceOps() { return kTable; }

}  // namespace rlx
