// SPDX-License-Identifier: Apache-2.0
// Attention in terms of matmul, softmax, where and movement.
#include <limits>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/attention.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

// n-1, … 1, 0. Counted from the end, causality needs no k_len - q_len, which may be symbolic.
Value FromEnd(GraphBuilder& b, const Dim& n) {
  const Value iota = Iota(b, n, DType::kI32);
  return b.Sub(b.Reduce(OpKind::kReduceMax, iota, {0}, true), iota);
}

// [B,S,H·D] → [B,H,S,D].
Value HeadsFirst(GraphBuilder& b, Value x, int64_t heads, int64_t width) {
  const Shape shape = b.type(x).shape;
  return b.Transpose(b.Reshape(x, {shape[0], shape[1], heads, width}), {0, 2, 1, 3});
}

// Whether query i sees key j, as [S_q, S_k].
Value Sees(GraphBuilder& b, const Node& node, const AttentionDims& dims) {
  const Value query = b.Reshape(FromEnd(b, dims.q_len), {dims.q_len, 1});
  const Value key = FromEnd(b, dims.k_len);
  const Value causal = b.Emit(OpKind::kGe, {key, query});
  if (node.Str("mask") == "causal") return causal;
  const Value oldest = b.Add(query, b.Scalar(DType::kI32, static_cast<double>(node.Int("window"))));
  return b.Emit(OpKind::kLogicalAnd, {causal, b.Emit(OpKind::kLe, {key, oldest})});
}

double Lowest(DType dtype) {
  if (dtype == DType::kF64) return std::numeric_limits<double>::lowest();
  if (dtype == DType::kF16) return -65504;
  if (dtype == DType::kBF16) return -3.3895313892515355e38;
  if (dtype == DType::kFp8E4M3) return -448;
  if (dtype == DType::kFp8E5M2) return -57344;
  return std::numeric_limits<float>::lowest();
}

// Softmax over the scores that `keep` keeps; zeros where it keeps none.
Value MaskedSoftmax(GraphBuilder& b, Value scores, Value keep) {
  const DType dtype = b.type(scores).dtype;
  const Value weights = b.Softmax(b.Where(keep, scores, b.Scalar(dtype, Lowest(dtype))));
  return b.Where(keep, weights, b.Scalar(dtype, 0));
}

Value Weights(GraphBuilder& b, const Node& node, const AttentionDims& dims, Value scores) {
  const std::string& kind = node.Str("mask");
  const DType dtype = b.type(scores).dtype;
  if (kind == "none") return b.Softmax(scores);
  if (kind == "bias") {  // a bias of -inf masks
    scores = b.Add(scores, node.operands[3]);
    const Value masked = b.Emit(OpKind::kLt, {scores, b.Scalar(dtype, Lowest(dtype))});
    return MaskedSoftmax(b, scores, b.Unary(OpKind::kLogicalNot, masked));
  }
  if (kind == "keep") {
    const Shape mask = b.type(node.operands[3]).shape;
    return MaskedSoftmax(b, scores, b.Reshape(node.operands[3], MaskShape4(node, mask)));
  }
  return MaskedSoftmax(b, scores, Sees(b, node, dims));
}

// scale, then softcap.
Value Scores(GraphBuilder& b, const Node& node, Value q, Value k) {
  const DType dtype = b.type(q).dtype;
  Value scores = b.MatMul(q, b.Transpose(k, {0, 1, 3, 2}));
  scores = b.Mul(scores, b.Scalar(dtype, ScoreScale(node)));
  const double cap = node.Float("softcap");
  if (cap == 0) return scores;
  const Value bound = b.Scalar(dtype, cap);
  return b.Mul(b.Unary(OpKind::kTanh, b.Div(scores, bound)), bound);
}

}  // namespace

// A running count of ones.
Value Iota(GraphBuilder& b, const Dim& n, DType dtype) {
  const Value ones = b.Expand(b.Scalar(dtype, 1), {n});
  return b.Emit(OpKind::kCumsum, {ones}, {{"axis", int64_t{0}}, {"exclusive", true}});
}

Value CheckedIndices(GraphBuilder& b, Value indices, const Dim& extent, std::string_view of) {
  return b.Emit(OpKind::kGather, {Iota(b, extent, DType::kI64), indices},
                {{"axis", int64_t{0}}, {"of", std::string(of)}});
}

// Query heads that share a key head are folded into its rows, so nothing is copied:
// [B,H,Sq,D] is [B,Hkv,G·Sq,D].
absl::StatusOr<std::vector<Value>> DecomposeAttention(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  Value q = node.operands[0], k = node.operands[1], v = node.operands[2];
  const AttentionDims dims = ReadAttention(node, b.type(q), b.type(k), b.type(v));
  if (!dims.heads_first) {
    q = HeadsFirst(b, q, dims.heads, dims.head_dim);
    k = HeadsFirst(b, k, dims.kv_heads, dims.head_dim);
    v = HeadsFirst(b, v, dims.kv_heads, dims.v_head_dim);
  }
  const bool grouped = dims.heads != dims.kv_heads;
  const Dim rows = Dim(dims.heads / dims.kv_heads) * dims.q_len;
  auto fold = [&](Value x, const Dim& width) {
    return grouped ? b.Reshape(x, {dims.batch, dims.kv_heads, rows, width}) : x;
  };
  auto unfold = [&](Value x, const Dim& width) {
    return grouped ? b.Reshape(x, {dims.batch, dims.heads, dims.q_len, width}) : x;
  };
  const Value scores = unfold(Scores(b, node, fold(q, dims.head_dim), k), dims.k_len);
  RLX_TRY(b.status());
  const Value weights = fold(Weights(b, node, dims, scores), dims.k_len);
  Value out = unfold(b.MatMul(weights, v), dims.v_head_dim);
  if (!dims.heads_first) {
    out = b.Reshape(b.Transpose(out, {0, 2, 1, 3}), node.results[0].shape);
  }
  return Lowered(b, {out});
}

}  // namespace rlx
