// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/ops/hir_block.h"

#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/hir_emit.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {

BlockOperands& BlockOperands::Add(std::initializer_list<std::string_view> names, bool when) {
  if (when) names_.insert(names_.end(), names);
  return *this;
}

int BlockOperands::At(std::string_view name) const {
  const auto found = std::find(names_.begin(), names_.end(), name);
  return found == names_.end() ? -1 : static_cast<int>(found - names_.begin());
}

Value BlockOperands::Of(const Node& node, std::string_view name) const {
  const int at = At(name);
  return at < 0 ? Value{} : node.operands[at];
}

absl::Status BlockOperands::RequireCount(const InferContext& ctx) const {
  if (ctx.operands.size() == names_.size()) return absl::OkStatus();
  return RequireOperands(ctx, static_cast<int>(names_.size()), Join(names_, ", "));
}

absl::Status BlockOperands::RequireFloats(const InferContext& ctx,
                                          std::initializer_list<std::string_view> except) const {
  const DType dtype = ctx.operands[0].dtype;
  if (!IsFloat(dtype)) {
    return InvalidArgument(names_[0], " is ", dtype, " where a float is needed");
  }
  for (size_t i = 1; i < names_.size(); ++i) {
    if (ctx.operands[i].dtype == dtype) continue;
    if (std::find(except.begin(), except.end(), names_[i]) != except.end()) continue;
    return InvalidArgument(names_[i], " is ", ctx.operands[i].dtype, " where ", names_[0], " is ",
                           dtype);
  }
  return absl::OkStatus();
}

absl::Status BlockOperands::RequireShapes(
    InferContext& ctx, std::initializer_list<std::pair<std::string_view, Shape>> shapes) const {
  for (const auto& [name, shape] : shapes) {
    const int at = At(name);
    if (at >= 0) RLX_TRY(RequireShape(ctx, at, name, shape));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> HiddenSize(const InferContext& ctx, int x) {
  const TensorType& type = ctx.operands[x];
  if (type.rank() == 3 && type.shape[2].is_static()) return type.shape[2].value();
  return InvalidArgument("x is ", type,
                         " where [batch, seq, hidden] with a constant hidden is needed");
}

AttentionDims BlockAttention(const Node& node, const Shape& x, const Dim& k_len) {
  return {.heads_first = false,
          .batch = x[0],
          .q_len = x[1],
          .k_len = k_len,
          .heads = node.Int("num_heads"),
          .kv_heads = KvHeads(node),
          .head_dim = node.Int("head_dim"),
          .v_head_dim = node.Int("head_dim")};
}

Value EmitRope(GraphBuilder& b, const Node& node, Value x, Value cos, Value sin, Value positions) {
  std::vector<Value> operands = {x, cos, sin};
  if (positions.valid()) operands.push_back(positions);
  return b.Emit(OpKind::kRope, std::move(operands), PickAttrs(node, kRopeAttrs));
}

Value EmitHeadNorm(GraphBuilder& b, Value x, int64_t head_dim, Value gamma, Value beta,
                   double eps) {
  if (!b.status().ok()) return {};
  const Shape shape = b.type(x).shape;
  const Shape heads = {shape[0], shape[1], Dim(shape[2].value() / head_dim), Dim(head_dim)};
  const Value normed = EmitNorm(b, OpKind::kRmsNorm, b.Reshape(x, heads), gamma, beta, eps);
  return b.Reshape(normed, shape);
}

}  // namespace rlx
