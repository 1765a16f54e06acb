// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/ops/heads.h"

#include <cmath>

#include "runtime/import/ops/common.h"

namespace rlx::onnx {

absl::StatusOr<Value> SplitHeads(GraphBuilder& b, Value x, int64_t heads) {
  const Shape s = ShapeOf(b, x);
  if (s.size() != 3 || heads < 1 || !s[2].is_static() || s[2].value() % heads != 0)
    return InvalidArgument(b.type(x), " does not split into ", heads, " heads");
  return b.Transpose(b.Reshape(x, {s[0], s[1], heads, s[2].value() / heads}), {0, 2, 1, 3});
}

Value JoinHeads(GraphBuilder& b, Value x) {
  const Shape s = ShapeOf(b, x);
  if (s.size() != 4) return x;
  return b.Reshape(b.Transpose(x, {0, 2, 1, 3}), {s[0], s[2], s[1] * s[3]});
}

Value AndKeep(GraphBuilder& b, Value x, Value y) {
  if (!x.valid()) return y;
  return y.valid() ? b.Emit(OpKind::kLogicalAnd, {x, y}) : x;
}

Value KeyMinusRow(GraphBuilder& b, const Dim& rows, const Dim& keys, Value offset) {
  const Value row = Along(b, EmitIota(b, rows), 0, 2), key = Along(b, EmitIota(b, keys), 1, 2);
  return b.Sub(b.Sub(key, row), offset);
}

namespace {

Value Rank4(GraphBuilder& b, Value x) {
  Shape shape = ShapeOf(b, x);
  if (shape.size() >= 4) return x;
  shape.insert(shape.begin(), 4 - shape.size(), Dim(1));
  return b.Reshape(x, std::move(shape));
}

}  // namespace

absl::StatusOr<Value> EmitAttention(GraphBuilder& b, const AttentionParts& p) {
  const Shape &q = ShapeOf(b, p.q), &k = ShapeOf(b, p.k);
  if (q.size() != 4 || k.size() != 4 || b.type(p.v).rank() != 4)
    return InvalidArgument("attention needs operands of rank 4");
  if (!q[1].is_static() || !k[1].is_static() || !q[3].is_static())
    return Unimplemented("attention with symbolic heads");
  std::vector<Attr> attrs = {{"num_heads", q[1].value()}, {"head_dim", q[3].value()}};
  if (k[1] != q[1]) attrs.push_back({"num_kv_heads", k[1].value()});
  if (p.scale) attrs.push_back({"scale", *p.scale});
  if (p.softcap > 0) attrs.push_back({"softcap", p.softcap});
  std::vector<Value> operands = {p.q, p.k, p.v};
  Value keep = p.keep;
  if (p.causal && (keep.valid() || p.bias.valid())) {
    const Value offset = EmitDim(b, k[2] - q[2], DType::kI64);
    const Value past = KeyMinusRow(b, q[2], k[2], offset);
    keep = AndKeep(b, keep, b.Emit(OpKind::kLe, {past, Like(b, past, 0)}));
  }
  if (p.bias.valid()) {
    Value bias = To(b, p.bias, b.type(p.q).dtype);
    if (keep.valid()) bias = b.Where(keep, bias, Like(b, bias, -INFINITY));
    operands.push_back(Rank4(b, bias));
    attrs.push_back({"mask", "bias"});
  } else if (keep.valid()) {
    operands.push_back(Rank4(b, keep));
    attrs.push_back({"mask", "keep"});
  } else if (p.causal) {
    attrs.push_back({"mask", "causal"});
  }
  return b.Emit(OpKind::kAttention, std::move(operands), std::move(attrs));
}

absl::StatusOr<Value> Rotate(GraphBuilder& b, Value x, Value cos, Value sin, bool interleaved) {
  const Shape s = ShapeOf(b, x), table = ShapeOf(b, cos);
  if (s.size() != 4 || !s[3].is_static() || table.empty() || !table.back().is_static())
    return Unimplemented("rotating a symbolic head");
  const int64_t half = table.back().value(), width = s[3].value(), turned = 2 * half;
  if (half < 1 || turned > width)
    return InvalidArgument("cos has ", half, " columns for heads of ", width);
  const auto spread = [&](Value t) {  // [rows, half] or [batch, rows, half]
    Shape shape = ShapeOf(b, t);
    shape.insert(shape.end() - 2, Dim(1));
    if (shape.size() == 3) shape.insert(shape.begin(), Dim(1));
    return b.Reshape(To(b, t, b.type(x).dtype), std::move(shape));
  };
  cos = spread(cos);
  sin = spread(sin);
  Value head = turned == width ? x : b.Narrow(x, 3, 0, turned);
  Value first, second;
  if (interleaved) {
    const Value pairs = b.Reshape(head, {s[0], s[1], s[2], half, 2});
    const Shape one = {s[0], s[1], s[2], half};
    first = b.Reshape(b.Narrow(pairs, 4, 0, 1), one);
    second = b.Reshape(b.Narrow(pairs, 4, 1, 1), one);
  } else {
    first = b.Narrow(head, 3, 0, half);
    second = b.Narrow(head, 3, half, half);
  }
  const Value real = b.Sub(b.Mul(first, cos), b.Mul(second, sin));
  const Value imaginary = b.Add(b.Mul(first, sin), b.Mul(second, cos));
  if (interleaved) {
    const Shape lifted = {s[0], s[1], s[2], half, 1};
    head = b.Concat({b.Reshape(real, lifted), b.Reshape(imaginary, lifted)}, 4);
    head = b.Reshape(head, {s[0], s[1], s[2], turned});
  } else {
    head = b.Concat({real, imaginary}, 3);
  }
  if (turned == width) return head;
  return b.Concat({head, b.Narrow(x, 3, turned, width - turned)}, 3);
}

}  // namespace rlx::onnx
