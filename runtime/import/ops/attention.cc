// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"
#include "runtime/import/ops/heads.h"

namespace rlx::onnx {
namespace {

// --- ONNX Attention ---

struct Whole {
  AttentionParts parts;
  bool flat = false;  // operands of rank 3
  Dim rows, keys, batch;
};

absl::StatusOr<Whole> OperandsOf(OpNode& n) {
  GraphBuilder& b = n.b;
  Whole out;
  out.flat = n.rank(0) == 3;
  if (n.rank(1) != n.rank(0) || n.rank(2) != n.rank(0) || (n.rank(0) != 3 && n.rank(0) != 4))
    return InvalidArgument("Q, K and V need rank 3 or 4, all the same");
  AttentionParts& p = out.parts;
  p.q = n.In(0);
  p.k = n.In(1);
  p.v = n.In(2);
  if (out.flat) {
    const int64_t kv = n.Int("kv_num_heads", 0);
    RLX_ASSIGN(p.q, SplitHeads(b, p.q, n.Int("q_num_heads", 0)));
    RLX_ASSIGN(p.k, SplitHeads(b, p.k, kv));
    RLX_ASSIGN(p.v, SplitHeads(b, p.v, kv));
  }
  if (n.Has(4) != n.Has(5)) return InvalidArgument("past_key and past_value come together");
  if (n.Has(4)) {
    p.k = b.Concat({n.In(4), p.k}, 2);
    p.v = b.Concat({n.In(5), p.v}, 2);
  }
  RLX_TRY(b.status());
  out.batch = ShapeOf(b, p.q)[0];
  out.rows = ShapeOf(b, p.q)[2];
  out.keys = ShapeOf(b, p.k)[2];
  return out;
}

// The mask, filled up to all keys: with false, or -inf.
absl::StatusOr<Value> MaskOf(OpNode& n, const Dim& keys) {
  GraphBuilder& b = n.b;
  Value mask = n.In(3);
  if (n.rank(3) == 0) return InvalidArgument("the mask is a scalar");
  const Dim more = keys - n.shape(3).back();
  if (more == Dim(0) || !more.is_static() || n.shape(3).back() == Dim(1)) return mask;
  std::vector<int64_t> before(static_cast<size_t>(n.rank(3)), 0), after = before;
  after.back() = std::max<int64_t>(0, more.value());
  const double fill = n.dtype(3) == DType::kBool ? 0 : -INFINITY;
  return PadWith(b, mask, before, after, b.Scalar(n.dtype(3), fill));
}

// What Attention shows of its scores: as they are, capped, masked, or as probabilities.
absl::StatusOr<Value> ScoresOf(OpNode& n, const AttentionParts& p) {
  GraphBuilder& b = n.b;
  const Shape q = ShapeOf(b, p.q), k = ShapeOf(b, p.k);
  const DType dtype = b.type(p.q).dtype;
  Value keys = b.Transpose(p.k, {0, 1, 3, 2});
  if (q[1] != k[1]) {  // heads that several queries share
    const Dim shared = FloorDiv(q[1], k[1]);
    keys = b.Reshape(keys, {k[0], k[1], 1, k[3], k[2]});
    keys = b.Reshape(b.Expand(keys, {k[0], k[1], shared, k[3], k[2]}), {k[0], q[1], k[3], k[2]});
  }
  const double scale = p.scale.value_or(1 / std::sqrt(static_cast<double>(q[3].value())));
  Value scores = To(b, b.MatMul(p.q, keys), Wide(dtype));
  scores = b.Mul(scores, Like(b, scores, scale));
  const int64_t mode = n.Int("qk_matmul_output_mode", 0);
  if (mode == 0 && p.softcap == 0) return To(b, scores, dtype);
  const Value plain = scores;
  if (p.softcap > 0) {
    const Value cap = Like(b, scores, p.softcap);
    scores = b.Mul(b.Unary(OpKind::kTanh, b.Div(scores, cap)), cap);
  }
  if (mode == 0) return To(b, plain, dtype);
  if (mode == 1) return To(b, scores, dtype);
  if (mode != 2 && mode != 3) return Unimplemented("qk_matmul_output_mode is ", mode);
  Value keep = p.keep;
  if (p.causal) {
    const Value past = KeyMinusRow(b, q[2], k[2], EmitDim(b, k[2] - q[2], DType::kI64));
    keep = AndKeep(b, keep, b.Emit(OpKind::kLe, {past, Like(b, past, 0)}));
  }
  if (p.bias.valid()) scores = b.Add(scores, To(b, p.bias, Wide(dtype)));
  if (keep.valid()) scores = b.Where(keep, scores, Like(b, scores, -INFINITY));
  if (mode == 2) return To(b, scores, dtype);
  // A row that sees nothing has no probabilities.
  const Value greatest = b.Reduce(OpKind::kReduceMax, scores, {3}, true);
  const Value none = b.Emit(OpKind::kEq, {greatest, Like(b, scores, -INFINITY)});
  return To(b, b.Where(none, Like(b, scores, 0), b.Softmax(scores, 3)), dtype);
}

Results Attention(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(Whole w, OperandsOf(n));
  AttentionParts& p = w.parts;
  if (n.Has(3)) {
    RLX_ASSIGN(const Value mask, MaskOf(n, w.keys));
    (n.dtype(3) == DType::kBool ? p.keep : p.bias) = mask;
  }
  // Row i stands at position i + offset among the keys.
  Value offset = b.Scalar(DType::kI64, 0);
  if (n.Has(6)) {
    const Value lengths = b.Reshape(To(b, n.In(6), DType::kI64), {w.batch, 1, 1, 1});
    offset = b.Sub(lengths, EmitDim(b, w.rows, DType::kI64));
    const Value key = Along(b, EmitIota(b, w.keys), 3, 4);
    p.keep = AndKeep(b, p.keep, b.Emit(OpKind::kLt, {key, lengths}));
  } else if (n.Has(4)) {
    offset = EmitDim(b, n.shape(4)[2], DType::kI64);
  }
  const int64_t left = n.Int("left_window_size", -1), right = n.Int("right_window_size", -1);
  const bool causal = n.Int("is_causal", 0) != 0;
  // The attention op's own causal mask has the last row see all keys.
  const Dim past = n.Has(4) ? n.shape(4).at(2) : Dim(0);
  const bool plain = causal && !n.Has(6) && left < 0 && right < 0 && past == w.keys - w.rows;
  if (plain) {
    p.causal = true;
  } else if (causal || left >= 0 || right >= 0) {
    const Value distance = KeyMinusRow(b, w.rows, w.keys, offset);
    const auto at_most = [&](double most) {
      p.keep = AndKeep(b, p.keep, b.Emit(OpKind::kLe, {distance, Like(b, distance, most)}));
    };
    if (causal) at_most(0);
    if (right >= 0) at_most(static_cast<double>(right));
    if (left >= 0)
      p.keep =
          AndKeep(b, p.keep,
                  b.Emit(OpKind::kGe, {distance, Like(b, distance, -static_cast<double>(left))}));
  }
  if (n.HasAttr("scale")) p.scale = n.Float("scale", 1);
  p.softcap = n.Float("softcap", 0);
  RLX_ASSIGN(Value y, EmitAttention(b, p));
  std::vector<Value> out = {w.flat ? JoinHeads(b, y) : y, p.k, p.v};
  if (!n.Wants(3)) return out;
  RLX_ASSIGN(const Value scores, ScoresOf(n, p));
  out.push_back(scores);
  return out;
}

// --- Rotary embeddings ---

Results RotaryEmbedding(OpNode& n, int cos, int sin, int positions) {
  GraphBuilder& b = n.b;
  Value x = n.In(0);
  const bool flat = n.rank(0) == 3;
  if (!flat && n.rank(0) != 4)
    return InvalidArgument("operand 0 has rank ", n.rank(0), ", not 3 or 4");
  if (flat) {
    RLX_ASSIGN(x, SplitHeads(b, x, n.Int("num_heads", 0)));
  }
  Value c = n.In(cos), s = n.In(sin);
  const bool by_position = n.Has(positions);
  if (by_position && n.rank(positions) == 1) {
    // com.microsoft: one offset for all rows.
    const Value row = b.Add(EmitIota(b, ShapeOf(b, x)[2]), b.Reshape(n.In(positions), {}));
    c = b.Gather(c, row, 0);
    s = b.Gather(s, row, 0);
  } else if (by_position) {
    c = b.Gather(c, n.In(positions), 0);
    s = b.Gather(s, n.In(positions), 0);
  }
  if (b.type(c).rank() == 2 && !by_position && !(ShapeOf(b, c)[0] == ShapeOf(b, x)[2])) {
    const Value row = EmitIota(b, ShapeOf(b, x)[2]);
    c = b.Gather(c, row, 0);
    s = b.Gather(s, row, 0);
  }
  const int64_t asked = n.Int("rotary_embedding_dim", 0);
  const Dim& half = ShapeOf(b, c).empty() ? Dim(0) : ShapeOf(b, c).back();
  if (asked > 0 && half != Dim(asked / 2))
    return InvalidArgument("rotary_embedding_dim is ", asked, ", the tables have ", half,
                           " columns");
  RLX_ASSIGN(const Value out, Rotate(b, x, c, s, n.Int("interleaved", 0) != 0));
  return One(flat ? JoinHeads(b, out) : out);
}

Results OnnxRotary(OpNode& n) { return RotaryEmbedding(n, 1, 2, 3); }
Results MicrosoftRotary(OpNode& n) {
  if (n.Int("is_packed_batching", 0) != 0) return Unimplemented("is_packed_batching has to be 0");
  if (n.Float("scale", 1) != 1) return Unimplemented("scale has to be 1");
  return RotaryEmbedding(n, 2, 3, 1);
}

// --- com.microsoft ---

// A padding mask of integers as what to keep: [batch, keys], or lengths [batch].
absl::StatusOr<Value> KeepOf(OpNode& n, int operand, const Dim& batch, const Dim& keys) {
  GraphBuilder& b = n.b;
  const Value mask = n.In(operand);
  const Shape& s = n.shape(operand);
  if (s.size() == 2 && s[1] == keys)
    return b.Reshape(b.Cast(mask, DType::kBool), {s[0], 1, 1, s[1]});
  if (s.size() == 3) return b.Reshape(b.Cast(mask, DType::kBool), {s[0], 1, s[1], s[2]});
  if (s.size() == 1 && s[0] == batch) {
    const Value key = Along(b, EmitIota(b, keys), 3, 4);
    const Value lengths = b.Reshape(To(b, mask, DType::kI64), {batch, 1, 1, 1});
    return b.Emit(OpKind::kLt, {key, lengths});
  }
  return Unimplemented("a mask ", n.type(operand),
                       " is not supported; supported are [batch,keys], "
                       "[batch,rows,keys] and lengths [batch]");
}

// Q, K and V from one product with packed weights.
Results PackedAttention(OpNode& n) {
  GraphBuilder& b = n.b;
  const int64_t heads = n.Int("num_heads", 0);
  if (n.Has(4)) return Unimplemented("operand 4 (past) is not supported");
  if (n.Int("do_rotary", 0) != 0) return Unimplemented("do_rotary has to be 0");
  if (n.rank(0) != 3) return InvalidArgument("operand 0 has rank ", n.rank(0), ", not 3");
  Value all = b.MatMul(n.In(0), n.In(1));
  if (n.Has(2)) all = b.Add(all, n.In(2));
  RLX_TRY(b.status());
  const Dim total = ShapeOf(b, all)[2];
  std::vector<int64_t> sizes = n.IntList("qkv_hidden_sizes");
  if (!total.is_static()) return Unimplemented("a symbolic hidden size");
  if (sizes.empty()) sizes.assign(3, total.value() / 3);
  if (sizes.size() != 3 || sizes[0] + sizes[1] + sizes[2] != total.value())
    return InvalidArgument("qkv_hidden_sizes do not add up to ", total);
  AttentionParts p;
  RLX_ASSIGN(p.q, SplitHeads(b, b.Narrow(all, 2, 0, sizes[0]), heads));
  RLX_ASSIGN(p.k, SplitHeads(b, b.Narrow(all, 2, sizes[0], sizes[1]), heads));
  RLX_ASSIGN(p.v, SplitHeads(b, b.Narrow(all, 2, sizes[0] + sizes[1], sizes[2]), heads));
  if (n.Has(3)) {
    RLX_ASSIGN(p.keep, KeepOf(n, 3, n.shape(0)[0], n.shape(0)[1]));
  }
  if (n.Has(5)) p.bias = n.In(5);
  p.causal = n.Int("unidirectional", 0) != 0;
  if (n.Float("scale", 0) != 0) p.scale = n.Float("scale", 0);
  RLX_ASSIGN(const Value y, EmitAttention(b, p));
  return One(JoinHeads(b, y));
}

Results MultiHeadAttention(OpNode& n) {
  GraphBuilder& b = n.b;
  const int64_t heads = n.Int("num_heads", 0);
  if (!n.Has(1) || !n.Has(2) || n.rank(0) != 3)
    return Unimplemented("packed queries, keys and values are not supported");
  Value q = n.In(0), k = n.In(1), v = n.In(2);
  if (n.Has(3) && n.rank(3) != 1) return InvalidArgument("operand 3 has rank ", n.rank(3));
  if (n.Has(3)) {  // one bias for the three
    const Dim &dq = n.shape(0)[2], &dk = n.rank(1) == 3 ? n.shape(1)[2] : dq;
    if (!dq.is_static() || !dk.is_static() || !n.shape(3)[0].is_static())
      return Unimplemented("a symbolic hidden size");
    const Value bias = n.In(3);
    const int64_t rest = n.shape(3)[0].value() - dq.value() - dk.value();
    q = b.Add(q, b.Narrow(bias, 0, 0, dq.value()));
    if (n.rank(1) == 3) k = b.Add(k, b.Narrow(bias, 0, dq.value(), dk.value()));
    if (n.rank(2) == 3) v = b.Add(v, b.Narrow(bias, 0, dq.value() + dk.value(), rest));
  }
  AttentionParts p;
  RLX_ASSIGN(p.q, SplitHeads(b, q, heads));
  p.k = k;
  p.v = v;
  if (n.rank(1) == 3) {
    RLX_ASSIGN(p.k, SplitHeads(b, k, heads));
  }
  if (n.rank(2) == 3) {
    RLX_ASSIGN(p.v, SplitHeads(b, v, heads));
  }
  if (n.Has(6)) p.k = b.Concat({n.In(6), p.k}, 2);
  if (n.Has(7)) p.v = b.Concat({n.In(7), p.v}, 2);
  RLX_TRY(b.status());
  if (n.Has(4)) {
    RLX_ASSIGN(p.keep, KeepOf(n, 4, n.shape(0)[0], ShapeOf(b, p.k)[2]));
  }
  if (n.Has(5)) p.bias = n.In(5);
  p.causal = n.Int("unidirectional", 0) != 0;
  if (n.Float("scale", 0) != 0) p.scale = n.Float("scale", 0);
  RLX_ASSIGN(const Value y, EmitAttention(b, p));
  return std::vector<Value>{JoinHeads(b, y), p.k, p.v};
}

// Keys and values of fewer heads, causal, with a cache that grows by concatenation.
Results GroupQueryAttention(OpNode& n) {
  GraphBuilder& b = n.b;
  if (!n.Has(1) || !n.Has(2) || n.rank(0) != 3)
    return Unimplemented("packed queries, keys and values are not supported");
  const int64_t heads = n.Int("num_heads", 0), kv = n.Int("kv_num_heads", 0);
  AttentionParts p{.causal = true};
  RLX_ASSIGN(p.q, SplitHeads(b, n.In(0), heads));
  RLX_ASSIGN(p.k, SplitHeads(b, n.In(1), kv));
  RLX_ASSIGN(p.v, SplitHeads(b, n.In(2), kv));
  if (n.Has(3) && n.rank(3) != 4) return InvalidArgument("operand 3 has rank ", n.rank(3));
  const Dim past = n.Has(3) ? n.shape(3).at(2) : Dim(0);
  if (n.Int("do_rotary", 0) != 0) {
    if (!n.Has(7) || !n.Has(8)) return InvalidArgument("do_rotary needs cos_cache and sin_cache");
    Value row = EmitIota(b, n.shape(0)[1]);
    if (past != Dim(0)) row = b.Add(row, EmitDim(b, past, DType::kI64));
    const Value cos = b.Gather(n.In(7), row, 0), sin = b.Gather(n.In(8), row, 0);
    const bool interleaved = n.Int("rotary_interleaved", 0) != 0;
    RLX_ASSIGN(p.q, Rotate(b, p.q, cos, sin, interleaved));
    RLX_ASSIGN(p.k, Rotate(b, p.k, cos, sin, interleaved));
  }
  if (n.Has(3)) p.k = b.Concat({n.In(3), p.k}, 2);
  if (n.Has(4)) p.v = b.Concat({n.In(4), p.v}, 2);
  if (n.Int("smooth_softmax", 0) != 0) return Unimplemented("smooth_softmax has to be 0");
  if (n.Has(5)) {  // of each row of the batch the last key that counts
    const Value key = Along(b, EmitIota(b, ShapeOf(b, p.k).at(2)), 3, 4);
    const Value last = b.Reshape(To(b, n.In(5), DType::kI64), {n.shape(0)[0], 1, 1, 1});
    p.keep = b.Emit(OpKind::kLe, {key, last});
  }
  const int64_t window = n.Int("local_window_size", -1);
  if (window > 0) {
    const Dim rows = ShapeOf(b, p.q).at(2), keys = ShapeOf(b, p.k).at(2);
    const Value distance = KeyMinusRow(b, rows, keys, EmitDim(b, keys - rows, DType::kI64));
    const Value near =
        b.Emit(OpKind::kGt, {distance, Like(b, distance, -static_cast<double>(window))});
    p.keep = AndKeep(b, p.keep, near);
  }
  if (n.Float("scale", 0) != 0) p.scale = n.Float("scale", 0);
  p.softcap = n.Float("softcap", 0);
  RLX_ASSIGN(const Value y, EmitAttention(b, p));
  return std::vector<Value>{JoinHeads(b, y), p.k, p.v};
}

Results EmbedLayerNorm(OpNode& n) {
  GraphBuilder& b = n.b;
  if (n.rank(0) != 2) return InvalidArgument("operand 0 has rank ", n.rank(0), ", not 2");
  Value x = b.Gather(n.In(2), n.In(0), 0);
  const Value rows = n.Has(8) ? n.In(8) : EmitIota(b, n.shape(0)[1]);
  x = b.Add(x, b.Gather(n.In(3), rows, 0));
  if (n.Has(1) && n.Has(4)) x = b.Add(x, b.Gather(n.In(4), n.In(1), 0));
  const Value y = b.Emit(OpKind::kLayerNorm, {x, n.In(5), n.In(6)},
                         {{"axis", int64_t{-1}}, {"eps", n.Float("epsilon", 1e-12)}});
  Value lengths;
  if (n.Wants(1)) {
    lengths = n.Has(7) ? b.Reduce(OpKind::kReduceSum, n.In(7), {1}, false)
                       : b.Expand(b.Scalar(DType::kI32, 0), {n.shape(0)[0]});
  }
  return std::vector<Value>{y, lengths, x};
}

constexpr OpRow kRows[] = {
    {kOnnx, "Attention", 23, INT32_MAX, 3, 7,
     "is_causal kv_num_heads left_window_size q_num_heads qk_matmul_output_mode right_window_size "
     "scale softcap softmax_precision",
     Attention},
    {kOnnx, "RotaryEmbedding", 23, INT32_MAX, 3, 4, "interleaved num_heads rotary_embedding_dim",
     OnnxRotary},
    {kMicrosoft, "Attention", 1, INT32_MAX, 2, 7,
     "do_rotary mask_filter_value num_heads past_present_share_buffer qkv_hidden_sizes "
     "rotary_embedding_dim scale unidirectional",
     PackedAttention, nullptr, Carries::kNo, "without past"},
    {kMicrosoft, "EmbedLayerNormalization", 1, INT32_MAX, 7, 9, "epsilon mask_index_type",
     EmbedLayerNorm},
    {kMicrosoft, "GroupQueryAttention", 1, INT32_MAX, 3, 9,
     "do_rotary kv_num_heads local_window_size num_heads rotary_interleaved scale smooth_softmax "
     "softcap",
     GroupQueryAttention, nullptr, Carries::kNo,
     "caches grow by concatenation; every row of the batch has the same length"},
    {kMicrosoft, "MultiHeadAttention", 1, INT32_MAX, 3, 8,
     "mask_filter_value num_heads scale unidirectional", MultiHeadAttention},
    {kMicrosoft, "RotaryEmbedding", 1, INT32_MAX, 4, 4,
     "interleaved is_packed_batching num_heads rotary_embedding_dim scale", MicrosoftRotary},
};

}  // namespace

std::span<const OpRow> AttentionOps() { return kRows; }

}  // namespace rlx::onnx
