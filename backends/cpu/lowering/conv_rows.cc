// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/conv_rows.h"

#include <algorithm>

#include "backends/cpu/lowering/activation_names.h"
#include "backends/cpu/lowering/window_ints.h"
#include "backends/cpu/routine.h"
#include "backends/cpu/rule.h"
#include "runtime/base/status.h"
#include "runtime/device/generate/loop_nest.h"
#include "runtime/ir/op_info.h"

// fused_conv_bias_act and pool_channels_last in f32. Weights are packed once.
namespace rlx::cpu {
namespace {

using device::ProgramBuilder;
using device::Step;
using Operand = ProgramBuilder::Operand;

// Behind the window's ints. conv_rows: buffers x, packed, bias, residual, y; pool_rows: x, y.
enum Slot : size_t {
  kBatch = kWindowInts,
  kInChannels,
  kOutChannels,  // pool: PoolKind
  kGroups,
  kActivation,
  kXStrides,  // four
  kIntCount = kXStrides + 4,
};

ConvRows ConvOf(const Step& step) {
  const auto& i = step.ints;
  ConvRows conv{.window = WindowOf(i),
                .batch = i[kBatch],
                .in_channels = i[kInChannels],
                .out_channels = i[kOutChannels],
                .groups = i[kGroups]};
  conv.activation.kind = static_cast<Act>(i[kActivation]);
  std::copy_n(i.begin() + kXStrides, 4, conv.x_strides);
  return conv;
}

// pack_conv_rows: buffers weights, packed. Nothing of its ints comes from an image, so weights are
// packed alike for all sizes.
enum PackSlot : size_t {
  kPackH,
  kPackW,
  kPackStride,
  kPackDilation,  // the larger of two each
  kPackIn,
  kPackOut,
  kPackGroups,
  kPackIntCount,
};

ConvRows PackingOf(const Step& step) {
  const auto& i = step.ints;
  return {.window = {.kernel_h = i[kPackH],
                     .kernel_w = i[kPackW],
                     .stride_h = i[kPackStride],
                     .dilation_h = i[kPackDilation]},
          .in_channels = i[kPackIn],
          .out_channels = i[kPackOut],
          .groups = i[kPackGroups]};
}

absl::Status RunPack(const RoutineCall& call) {
  PackConvRows(call.math, PackingOf(call.step), call.f32(0), call.out_f32(1), call.team);
  return absl::OkStatus();
}

absl::Status RunConv(const RoutineCall& call) {
  ConvRows conv = ConvOf(call.step);
  conv.x = call.f32(0);
  conv.w = call.f32(1);
  conv.bias = call.f32(2);
  conv.residual = call.f32(3);
  conv.y = call.out_f32(4);
  Convolve(call.math, conv, call.team, call.scratch);
  return absl::OkStatus();
}

size_t ConvScratch(const MathKernels& math, const Step& step, int threads) {
  return ConvRowsScratchBytes(math, ConvOf(step), threads);
}

absl::Status RunPool(const RoutineCall& call) {
  const auto& i = call.step.ints;
  const PoolRows2d pool{.kind = static_cast<PoolKind>(i[kOutChannels]),
                        .window = WindowOf(i),
                        .batch = i[kBatch],
                        .channels = i[kInChannels],
                        .x = call.f32(0),
                        .y = call.out_f32(1)};
  PoolOverRows(call.math, pool, call.team);
  return absl::OkStatus();
}

std::string Refuse(const Graph& graph, const Node& node) {
  for (Value v : node.operands) {
    if (graph.type(v).dtype != DType::kF32)
      return Cat(Name(node.op), " of ", Name(graph.type(v).dtype));
  }
  return "";
}

std::vector<int64_t> IntsOf(const Node& node, const Operand& x, const Operand& y,
                            std::span<const int64_t> kernel, std::span<const int64_t> dilations) {
  std::vector<int64_t> ints(kIntCount, 1);
  const std::span<const int64_t> in(x.dims), out(y.dims), pads(node.Ints("pads"));
  SetPair(ints, kInH, kInW, in.subspan(1, 2), 1);
  SetPair(ints, kOutH, kOutW, out.subspan(1, 2), 1);
  SetPair(ints, kKernelH, kKernelW, kernel, 1);
  SetPair(ints, kStrideH, kStrideW, node.Ints("strides"), 1);
  SetPair(ints, kDilationH, kDilationW, dilations, 1);
  SetPair(ints, kPadTop, kPadLeft, pads.first(2), 0);
  ints[kBatch] = x.dims[0];
  ints[kInChannels] = x.dims[3];
  return ints;
}

absl::StatusOr<int32_t> Dense(ProgramBuilder& out, Value value, const LowerTarget& target) {
  RLX_ASSIGN(const Operand dense, device::Densify(out, {.lanes = target.lanes}, out.In(value)));
  return dense.buffer;
}

// The packed weights: made once where they are fixed, else by a step of each run.
absl::StatusOr<int32_t> Pack(ProgramBuilder& out, NodeId id, const LowerTarget& target,
                             const std::vector<int64_t>& ints) {
  const Value value = out.graph().node(id).operands[1];
  const Operand w = out.In(value);
  Step pack{.kind = Step::Kind::kCall,
            .routine = "pack_conv_rows",
            .buffers = {w.buffer},
            .ints = {ints[kKernelH], ints[kKernelW], std::max(ints[kStrideH], ints[kStrideW]),
                     std::max(ints[kDilationH], ints[kDilationW]), ints[kInChannels],
                     ints[kOutChannels], ints[kGroups]},
            .label = Cat("pack weight of %", id)};
  const int64_t bytes =
      ConvRowsPackedSize(*target.math, PackingOf(pack)) * static_cast<int64_t>(sizeof(float));
  if (w.is_weight && w.dense) {
    return out.Packed(value, Cat("conv_rows/", Join(pack.ints, ",")), bytes, pack);
  }
  const int32_t packed = out.Scratch(bytes);
  RLX_ASSIGN(pack.buffers[0], Dense(out, value, target));
  pack.buffers.push_back(packed);
  out.Emit(std::move(pack));
  return packed;
}

absl::Status LowerConv(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  const Node& node = out.graph().node(id);
  const Operand w = out.In(node.operands[1]), y = out.Out({id, 0});
  const std::span<const int64_t> kernel = std::span<const int64_t>(w.dims).subspan(2);
  std::vector<int64_t> ints =
      IntsOf(node, out.In(node.operands[0]), y, kernel, node.Ints("dilations"));
  ints[kOutChannels] = w.dims[0];
  ints[kGroups] = node.Int("groups");
  ints[kActivation] = static_cast<int64_t>(*ActNamed(node.Str("activation")));
  RLX_ASSIGN(const int32_t packed, Pack(out, id, target, ints));
  const Operand image = out.In(node.operands[0]);
  int32_t x = image.buffer;
  const bool any_order = CopiesImage(ConvOf({.ints = ints}));
  if (!any_order) {
    RLX_ASSIGN(x, Dense(out, node.operands[0], target));
  }
  std::ranges::copy(image.strides, ints.begin() + kXStrides);
  int32_t bias = -1, residual = -1;
  size_t next = 2;
  for (auto [flag, buffer] : {std::pair{"has_bias", &bias}, std::pair{"has_residual", &residual}}) {
    if (!node.Bool(flag)) continue;
    RLX_ASSIGN(*buffer, Dense(out, node.operands[next++], target));
  }
  Step step{.kind = Step::Kind::kCall,
            .routine = "conv_rows",
            .buffers = {x, packed, bias, residual, y.buffer},
            .ints = std::move(ints),
            .label = Cat("conv %", id)};
  step.cost_flops = 2 * *y.type.NumElements() * (*w.type.NumElements() / w.dims[0]);
  step.cost_bytes = *image.type.ByteSize() + *w.type.ByteSize() + *y.type.ByteSize();
  out.Emit(std::move(step));
  return absl::OkStatus();
}

absl::Status LowerPool(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  const Node& node = out.graph().node(id);
  const Operand operand = out.In(node.operands[0]), y = out.Out({id, 0});
  RLX_ASSIGN(const int32_t x, Dense(out, node.operands[0], target));
  const std::vector<int64_t> ones(2, 1);
  Step step{.kind = Step::Kind::kCall,
            .routine = "pool_rows",
            .buffers = {x, y.buffer},
            .ints = IntsOf(node, operand, y, node.Ints("kernel"), ones),
            .label = Cat("pool %", id)};
  const PoolKind kind = node.Str("mode") == "max"        ? PoolKind::kMax
                        : node.Bool("count_include_pad") ? PoolKind::kMeanOfWindow
                                                         : PoolKind::kMean;
  step.ints[kOutChannels] = static_cast<int64_t>(kind);
  step.cost_bytes = *operand.type.ByteSize() + *y.type.ByteSize();
  step.cost_flops = *y.type.NumElements() * step.ints[kKernelH] * step.ints[kKernelW];
  out.Emit(std::move(step));
  return absl::OkStatus();
}

constexpr Rule kRules[] = {
    {OpKind::kFusedConvBiasAct, "gemm over windows, or depthwise; weights packed once", Refuse,
     LowerConv},
    {OpKind::kPoolChannelsLast, "windows of vectors of channels", Refuse, LowerPool}};
constexpr Routine kRoutines[] = {
    {"pack_conv_rows", "rw", kPackIntCount, 0, RunPack},
    {"conv_rows", "rrRRw", kIntCount, 0, RunConv, ConvScratch},
    {"pool_rows", "rw", kIntCount, 0, RunPool},
};

}  // namespace

std::span<const Rule> ConvRowsRules() { return kRules; }
std::span<const Routine> ConvRowsRoutines() { return kRoutines; }

}  // namespace rlx::cpu
