// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/attention.h"

#include <cmath>

#include "backends/cpu/routine.h"
#include "backends/cpu/rule.h"
#include "runtime/base/status.h"
#include "runtime/device/generate/loop_nest.h"
#include "runtime/ir/op_info.h"

// attention in f32: fused, scores never stored.
namespace rlx::cpu {
namespace {

using device::ProgramBuilder;
using device::Step;
using Operand = ProgramBuilder::Operand;

std::string Refuse(const Graph& graph, const Node& node) {
  for (size_t i = 0; i < node.operands.size(); ++i) {
    const DType dtype = graph.type(node.operands[i]).dtype;
    const bool mask = i == 3 && dtype == DType::kBool;
    if (dtype != DType::kF32 && !mask) return Cat("fused attention of ", Name(dtype));
  }
  return "";
}

// Step ints, in order; buffers are q, k, v, mask, out; floats scale, softcap.
enum Slot : size_t {
  kBatch,
  kHeads,
  kKvHeads,
  kQueries,
  kKeys,
  kHeadDim,
  kValueDim,
  kCausal,
  kWindow,
  kMaskKind,  // 0 none, 1 keep, 2 additive
  kStrides,   // q, k, v, out: batch, head, row each; then mask: batch, head, query, key
  kIntCount = kStrides + 16,
};

HeadStrides ReadStrides(const std::vector<int64_t>& ints, size_t operand) {
  const int64_t* at = &ints[kStrides + 3 * operand];
  return {at[0], at[1], at[2]};
}

Attention Decode(const Step& step) {
  const auto& i = step.ints;
  Attention a{.batch = i[kBatch],
              .heads = i[kHeads],
              .kv_heads = i[kKvHeads],
              .queries = i[kQueries],
              .keys = i[kKeys],
              .head_dim = i[kHeadDim],
              .value_dim = i[kValueDim]};
  a.q_strides = ReadStrides(i, 0);
  a.k_strides = ReadStrides(i, 1);
  a.v_strides = ReadStrides(i, 2);
  a.out_strides = ReadStrides(i, 3);
  const int64_t* mask = &i[kStrides + 12];
  a.mask_strides = {mask[0], mask[1], mask[2], mask[3]};
  a.causal = i[kCausal] != 0;
  a.window = i[kWindow];
  a.scale = static_cast<float>(step.floats[0]);
  a.softcap = static_cast<float>(step.floats[1]);
  return a;
}

absl::Status Run(const RoutineCall& call) {
  Attention a = Decode(call.step);
  a.q = call.f32(0);
  a.k = call.f32(1);
  a.v = call.f32(2);
  if (call.step.ints[kMaskKind] == 1) a.keep = static_cast<const uint8_t*>(call.buffers[3]);
  if (call.step.ints[kMaskKind] == 2) a.additive = call.f32(3);
  a.out = call.out_f32(4);
  Attend(call.math, a, call.team, call.scratch);
  return absl::OkStatus();
}

size_t Scratch(const MathKernels& math, const Step& step, int threads) {
  Attention a = Decode(step);
  return AttentionScratchBytes(math, a, threads);
}

// [B,S,H·D] and [B,H,S,D] alike as batch, head and row strides.
HeadStrides Strides(const Operand& operand, int64_t head_dim) {
  const auto& s = operand.strides;
  if (operand.dims.size() == 4) return {s[0], s[1], s[2]};
  return {s[0], head_dim, s[1]};
}

int64_t Rows(const Operand& operand) {
  return operand.dims.size() == 4 ? operand.dims[2] : operand.dims[1];
}

// A head's features must be neighbours.
absl::StatusOr<Operand> BindHeads(ProgramBuilder& out, Value value, const LowerTarget& target) {
  Operand operand = out.In(value);
  if (operand.strides.back() == 1) return operand;
  return device::Densify(out, {.lanes = target.lanes}, operand);
}

// Strides of the mask seen as [B,H,Sq,Sk]; a keep mask of rank 2 is [B,Sk].
MaskStrides StridesOfMask(const Operand& mask, bool keep) {
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

absl::Status Lower(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  const Node& node = out.graph().node(id);
  RLX_ASSIGN(const Operand q, BindHeads(out, node.operands[0], target));
  RLX_ASSIGN(const Operand k, BindHeads(out, node.operands[1], target));
  RLX_ASSIGN(const Operand v, BindHeads(out, node.operands[2], target));
  const Operand y = out.Out({id, 0});
  const int64_t heads = node.Int("num_heads"), head_dim = node.Int("head_dim");
  const int64_t kv_heads = node.Find("num_kv_heads") ? node.Int("num_kv_heads") : heads;
  const int64_t value_dim = v.dims.size() == 4 ? v.dims[3] : v.dims[2] / kv_heads;
  const std::string& mask = node.Str("mask");

  Step step{.kind = Step::Kind::kCall, .routine = "attention", .label = Cat("attention %", id)};
  step.ints.assign(kIntCount, 0);
  auto& ints = step.ints;
  ints[kBatch] = q.dims[0];
  ints[kHeads] = heads;
  ints[kKvHeads] = kv_heads;
  ints[kQueries] = Rows(q);
  ints[kKeys] = Rows(k);
  ints[kHeadDim] = head_dim;
  ints[kValueDim] = value_dim;
  ints[kCausal] = mask == "causal" || mask == "sliding_window";
  ints[kWindow] = mask == "sliding_window" ? node.Int("window") : -1;
  const HeadStrides strides[] = {Strides(q, head_dim), Strides(k, head_dim), Strides(v, value_dim),
                                 Strides(y, value_dim)};
  for (size_t i = 0; i < 4; ++i) {
    ints[kStrides + 3 * i] = strides[i].batch;
    ints[kStrides + 3 * i + 1] = strides[i].head;
    ints[kStrides + 3 * i + 2] = strides[i].row;
  }
  int32_t mask_buffer = -1;
  if (node.operands.size() > 3) {
    const Operand operand = out.In(node.operands[3]);
    const MaskStrides s = StridesOfMask(operand, mask == "keep");
    ints[kMaskKind] = mask == "keep" ? 1 : 2;
    ints[kStrides + 12] = s.batch;
    ints[kStrides + 13] = s.head;
    ints[kStrides + 14] = s.query;
    ints[kStrides + 15] = s.key;
    mask_buffer = operand.buffer;
  }
  step.buffers = {q.buffer, k.buffer, v.buffer, mask_buffer, y.buffer};
  step.floats = {
      node.Find("scale") ? node.Float("scale") : 1 / std::sqrt(static_cast<double>(head_dim)),
      node.Float("softcap")};
  const int64_t scores = ints[kBatch] * heads * ints[kQueries] * ints[kKeys];
  step.cost_flops = 2 * scores * (head_dim + value_dim);
  step.cost_bytes = 4 * (*q.type.NumElements() + *k.type.NumElements() + *v.type.NumElements() +
                         *y.type.NumElements());
  out.Emit(std::move(step));
  return absl::OkStatus();
}

constexpr Rule kRules[] = {{OpKind::kAttention, "fused attention", Refuse, Lower}};
constexpr Routine kRoutines[] = {{"attention", "rrrRw", kIntCount, 2, Run, Scratch}};

}  // namespace

std::span<const Rule> AttentionRules() { return kRules; }
std::span<const Routine> AttentionRoutines() { return kRoutines; }

}  // namespace rlx::cpu
