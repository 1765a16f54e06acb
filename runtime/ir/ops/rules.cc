// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/ops/rules.h"

#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"

namespace rlx {

absl::Status RequireEqual(InferContext& ctx, const Dim& a, const Dim& b, std::string_view what) {
  if (RequireEqual(a, b, ctx.constraints)) return absl::OkStatus();
  return InvalidArgument(what, " differs (", a, " vs ", b, ")");
}

absl::Status RequireShape(InferContext& ctx, int i, std::string_view name, const Shape& shape) {
  const TensorType& type = ctx.operands[i];
  auto mismatch = [&] {
    return InvalidArgument(name, " is ", type, " where ", TensorType{type.dtype, shape},
                           " is needed");
  };
  if (type.shape.size() != shape.size()) return mismatch();
  for (size_t d = 0; d < shape.size(); ++d) {
    if (!RequireEqual(ctx, type.shape[d], shape[d], name).ok()) return mismatch();
  }
  return absl::OkStatus();
}

absl::Status RequireBroadcastsTo(InferContext& ctx, int i, std::string_view name, const Shape& from,
                                 const Shape& shape) {
  auto mismatch = [&] {
    return InvalidArgument(name, " is ", ctx.operands[i], ", which does not broadcast to ",
                           ToString(shape));
  };
  if (from.size() > shape.size()) return mismatch();
  const size_t skip = shape.size() - from.size();
  for (size_t d = 0; d < from.size(); ++d) {
    if (from[d] == Dim(1)) continue;
    if (!RequireEqual(ctx, from[d], shape[d + skip], name).ok()) return mismatch();
  }
  return absl::OkStatus();
}

absl::Status RequireOperands(const InferContext& ctx, int count, std::string_view what) {
  const int got = static_cast<int>(ctx.operands.size());
  if (got == count) return absl::OkStatus();
  return InvalidArgument("has ", got, " operands where ", count, " are needed (", what, ")");
}

absl::Status RequireFloats(const InferContext& ctx, int count) {
  const DType dtype = ctx.operands[0].dtype;
  if (!IsFloat(dtype)) return InvalidArgument("operand 0 is ", dtype, " where a float is needed");
  for (int i = 1; i < count; ++i) {
    if (ctx.operands[i].dtype == dtype) continue;
    return InvalidArgument("operand ", i, " is ", ctx.operands[i].dtype, " where operand 0 is ",
                           dtype);
  }
  return absl::OkStatus();
}

absl::Status RequireEpsilon(const Node& node) {
  const double eps = node.Float("eps");
  return eps >= 0 ? absl::OkStatus() : InvalidArgument("eps is ", eps, ", below 0");
}

std::optional<double> MaybeFloat(const Node& node, std::string_view name) {
  return node.Find(name) ? std::optional<double>(node.Float(name)) : std::nullopt;
}

std::optional<int64_t> MaybeInt(const Node& node, std::string_view name) {
  return node.Find(name) ? std::optional<int64_t>(node.Int(name)) : std::nullopt;
}

std::vector<Attr> PickAttrs(const Node& node, std::span<const AttrSpec> specs) {
  std::vector<Attr> attrs;
  for (const AttrSpec& spec : specs) {
    if (const AttrValue* value = node.Find(spec.name)) {
      attrs.push_back({std::string(spec.name), *value});
    }
  }
  return attrs;
}

absl::Status EvaluateDecomposed(EvalContext& ctx) {
  Graph graph;
  GraphBuilder b(graph);
  Node node = ctx.node;
  for (size_t i = 0; i < ctx.operands.size(); ++i) {
    const EvalTensor& operand = *ctx.operands[i];
    node.operands[i] = b.Input("", {operand.dtype, {operand.dims.begin(), operand.dims.end()}});
  }
  RLX_ASSIGN(const std::vector<Value> parts, Info(node.op).decompose(b, node));
  for (Value part : parts) b.Output("", part);
  RLX_TRY(b.status());
  RLX_ASSIGN(ctx.results, EvaluatePositional(graph, ctx.operands));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Value>> Lowered(const GraphBuilder& builder, std::vector<Value> values) {
  RLX_TRY(builder.status());
  return values;
}

int64_t Product(const std::vector<int64_t>& dims, size_t from, size_t to) {
  int64_t product = 1;
  for (size_t d = from; d < std::min(to, dims.size()); ++d) product *= dims[d];
  return product;
}

bool NextIndex(std::vector<int64_t>& index, const std::vector<int64_t>& dims) {
  for (size_t d = dims.size(); d-- > 0;) {
    if (++index[d] < dims[d]) return true;
    index[d] = 0;
  }
  return false;
}

int64_t BroadcastOffset(const std::vector<int64_t>& index, const std::vector<int64_t>& dims) {
  const size_t skip = index.size() - dims.size();
  int64_t offset = 0;
  for (size_t d = 0; d < dims.size(); ++d) {
    offset = offset * dims[d] + (dims[d] == 1 ? 0 : index[d + skip]);
  }
  return offset;
}

int64_t Draw(Rng& rng, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(rng() % static_cast<uint64_t>(high - low + 1));
}

bool Flip(Rng& rng) { return (rng() & 1) != 0; }

OpSample::Operand FloatOperand(Shape shape, double low, double high) {
  return {.type = {DType::kF32, std::move(shape)}, .low = low, .high = high};
}

}  // namespace rlx
