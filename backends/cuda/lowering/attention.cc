// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>

#include "backends/cuda/lowering/attention_source.h"
#include "backends/cuda/rule.h"
#include "runtime/base/status.h"
#include "runtime/device/generate/generate.h"
#include "runtime/device/generate/loop_nest.h"
#include "runtime/ir/op_info.h"
#include "runtime/kernel/kernel.h"

// attention in f16 and bf16: one kernel on the tensor cores, scores never stored.
namespace rlx::cuda {
namespace {

using device::ProgramBuilder;
using Operand = ProgramBuilder::Operand;
using Mask = AttentionShape::Mask;

int64_t KvHeadsOf(const Node& node) {
  return node.Find("num_kv_heads") != nullptr ? node.Int("num_kv_heads") : node.Int("num_heads");
}

int64_t ValueDimOf(const Graph& graph, const Node& node) {
  const Shape& v = graph.type(node.operands[2]).shape;
  const int64_t last = v.back().is_static() ? v.back().value() : 0;
  return v.size() == 4 ? last : last / KvHeadsOf(node);
}

std::string Refuse(const Graph& graph, const Node& node) {
  const DType dtype = node.results[0].dtype;
  if (dtype != DType::kF16 && dtype != DType::kBF16) return Cat("fused attention of ", Name(dtype));
  for (size_t i = 0; i < 3; ++i) {
    if (graph.type(node.operands[i]).dtype != dtype) return "fused attention of mixed types";
    for (const Dim& dim : graph.type(node.operands[i]).shape) {
      if (dim.is_static() && dim.value() > std::numeric_limits<int32_t>::max() / 2) {
        return "fused attention over more than 2^30 rows";
      }
    }
  }
  const int64_t widest = std::max(node.Int("head_dim"), ValueDimOf(graph, node));
  if (widest > AttentionShape::kMostHeadDim || ValueDimOf(graph, node) < 1) {
    return Cat("fused attention of heads of ", widest, ", up to ", AttentionShape::kMostHeadDim);
  }
  return "";
}

// [B,S,H·D] and [B,H,S,D] alike.
AttentionShape::Strides StridesOf(const Operand& operand, int64_t head_dim) {
  const auto& s = operand.strides;
  if (operand.dims.size() == 4) return {s[0], s[1], s[2]};
  return {s[0], head_dim, s[1]};
}

int64_t RowsOf(const Operand& operand) { return operand.dims[operand.dims.size() == 4 ? 2 : 1]; }

// A head's features must be neighbours.
absl::StatusOr<Operand> Heads(ProgramBuilder& out, Value value) {
  Operand operand = out.In(value);
  if (operand.strides.back() == 1 || operand.dims.back() == 1) return operand;
  return device::Densify(out, kSchedule, operand);
}

// Of the mask seen as [B,H,Sq,Sk]; a keep mask of rank 2 is [B,Sk].
AttentionShape::MaskStrides StridesOfMask(const Operand& mask, bool keep) {
  std::vector<int64_t> dims = mask.dims, strides = mask.strides;
  if (keep && dims.size() == 2) {
    dims = {dims[0], 1, 1, dims[1]};
    strides = {strides[0], 0, 0, strides[1]};
  }
  int64_t full[4] = {0, 0, 0, 0};
  for (size_t d = 0; d < dims.size(); ++d) {
    if (dims[d] != 1) full[4 - dims.size() + d] = strides[d];
  }
  return {full[0], full[1], full[2], full[3]};
}

void ReadAttributes(const Node& node, AttentionShape& shape) {
  const std::string& mask = node.Str("mask");
  shape.dtype = node.results[0].dtype;
  shape.heads = node.Int("num_heads");
  shape.kv_heads = KvHeadsOf(node);
  shape.head_dim = node.Int("head_dim");
  shape.causal = mask == "causal" || mask == "sliding_window";
  if (mask == "sliding_window") shape.window = node.Int("window");
  if (mask == "keep") shape.mask = Mask::kKeep;
  if (mask == "bias") shape.mask = Mask::kBias;
  shape.scale = node.Find("scale") != nullptr ? node.Float("scale")
                                              : 1 / std::sqrt(static_cast<double>(shape.head_dim));
  shape.softcap = node.Float("softcap");
}

absl::Status Lower(ProgramBuilder& out, NodeId id) {
  const Node& node = out.graph().node(id);
  RLX_ASSIGN(const Operand q, Heads(out, node.operands[0]));
  RLX_ASSIGN(const Operand k, Heads(out, node.operands[1]));
  RLX_ASSIGN(const Operand v, Heads(out, node.operands[2]));
  const Operand y = out.Out({id, 0});
  AttentionShape shape;
  ReadAttributes(node, shape);
  shape.batch = q.dims[0];
  shape.queries = RowsOf(q);
  shape.keys = RowsOf(k);
  shape.value_dim = ValueDimOf(out.graph(), node);
  shape.q = StridesOf(q, shape.head_dim);
  shape.k = StridesOf(k, shape.head_dim);
  shape.v = StridesOf(v, shape.value_dim);
  shape.out = StridesOf(y, shape.value_dim);

  const kernel::Type type = *kernel::FromDType(shape.dtype);
  kernel::Kernel made{.name = "attention",
                      .local = kernel::kSubgroup * shape.Warps(),
                      .buffers = {{type, false}, {type, false}, {type, false}}};
  std::vector<int32_t> buffers = {q.buffer, k.buffer, v.buffer};
  if (shape.mask != Mask::kNone) {
    const Operand mask = out.In(node.operands[3]);
    shape.mask_strides = StridesOfMask(mask, shape.mask == Mask::kKeep);
    buffers.push_back(mask.buffer);
    made.buffers.push_back({*kernel::FromDType(mask.type.dtype), false});
  }
  buffers.push_back(y.buffer);
  made.buffers.push_back({type, true});
  made.source = AttentionSource(shape);
  out.Launch(made, std::move(buffers), {}, shape.Groups(), Cat("attention %", id));
  return absl::OkStatus();
}

constexpr Rule kRules[] = {{OpKind::kAttention, "fused attention", Refuse, Lower}};

}  // namespace

std::span<const Rule> AttentionRules() { return kRules; }

}  // namespace rlx::cuda
