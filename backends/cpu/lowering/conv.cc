// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/conv.h"

#include "backends/cpu/lowering/window_ints.h"
#include "backends/cpu/routine.h"
#include "backends/cpu/rule.h"
#include "runtime/base/status.h"
#include "runtime/device/generate/loop_nest.h"
#include "runtime/ir/op_info.h"

// conv and pool in f32 over one or two spatial dims.
namespace rlx::cpu {
namespace {

using device::ProgramBuilder;
using device::Step;
using Operand = ProgramBuilder::Operand;

// Ints of both routines, behind the window's. conv: buffers x, w, bias, y; pool: x, y.
enum Slot : size_t {
  kBatch = kWindowInts,  // pool: planes
  kInChannels,           // pool: PoolKind
  kOutChannels,
  kGroups,
  kIntCount,
};

Conv2d ConvOf(const Step& step) {
  const auto& i = step.ints;
  Conv2d conv{.window = WindowOf(i),
              .batch = i[kBatch],
              .in_channels = i[kInChannels],
              .out_channels = i[kOutChannels],
              .groups = i[kGroups]};
  return conv;
}

absl::Status RunConv(const RoutineCall& call) {
  Conv2d conv = ConvOf(call.step);
  conv.x = call.f32(0);
  conv.w = call.f32(1);
  conv.bias = call.f32(2);
  conv.y = call.out_f32(3);
  Conv(call.math, conv, call.team, call.scratch);
  return absl::OkStatus();
}

size_t ConvScratch(const MathKernels& math, const Step& step, int threads) {
  return ConvScratchBytes(math, ConvOf(step), threads);
}

Pool2d PoolOf(const Step& step) {
  return {.kind = static_cast<PoolKind>(step.ints[kInChannels]),
          .window = WindowOf(step.ints),
          .planes = step.ints[kBatch]};
}

absl::Status RunPool(const RoutineCall& call) {
  Pool2d pool = PoolOf(call.step);
  pool.x = call.f32(0);
  pool.y = call.out_f32(1);
  Pool(call.math, pool, call.team, call.scratch);
  return absl::OkStatus();
}

size_t PoolScratch(const MathKernels& math, const Step& step, int threads) {
  return PoolScratchBytes(math, PoolOf(step), threads);
}

std::string Refuse(const Graph& graph, const Node& node) {
  for (Value v : node.operands) {
    if (graph.type(v).dtype != DType::kF32)
      return Cat(Name(node.op), " of ", Name(graph.type(v).dtype));
  }
  const int rank = graph.type(node.operands[0]).rank();
  return rank == 3 || rank == 4 ? "" : Cat(Name(node.op), " over ", rank - 2, " spatial dims");
}

std::vector<int64_t> WindowInts(const Node& node, const Operand& x, const Operand& y,
                                std::span<const int64_t> kernel,
                                std::span<const int64_t> dilations) {
  std::vector<int64_t> ints(kIntCount, 1);
  const std::span<const int64_t> in(x.dims), out(y.dims), pads(node.Ints("pads"));
  SetPair(ints, kInH, kInW, in.subspan(2), 1);
  SetPair(ints, kOutH, kOutW, out.subspan(2), 1);
  SetPair(ints, kKernelH, kKernelW, kernel, 1);
  SetPair(ints, kStrideH, kStrideW, node.Ints("strides"), 1);
  SetPair(ints, kDilationH, kDilationW, dilations, 1);
  SetPair(ints, kPadTop, kPadLeft, pads.first(kernel.size()), 0);
  return ints;
}

absl::Status LowerConv(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  const Node& node = out.graph().node(id);
  const device::Schedule schedule{.lanes = target.lanes};
  RLX_ASSIGN(const Operand x, device::Densify(out, schedule, out.In(node.operands[0])));
  RLX_ASSIGN(const Operand w, device::Densify(out, schedule, out.In(node.operands[1])));
  int32_t bias = -1;
  if (node.operands.size() > 2) {
    RLX_ASSIGN(const Operand dense, device::Densify(out, schedule, out.In(node.operands[2])));
    bias = dense.buffer;
  }
  const Operand y = out.Out({id, 0});
  const std::span<const int64_t> kernel = std::span<const int64_t>(w.dims).subspan(2);
  Step step{.kind = Step::Kind::kCall,
            .routine = "conv",
            .buffers = {x.buffer, w.buffer, bias, y.buffer},
            .ints = WindowInts(node, x, y, kernel, node.Ints("dilations")),
            .label = Cat("conv %", id)};
  step.ints[kBatch] = x.dims[0];
  step.ints[kInChannels] = x.dims[1];
  step.ints[kOutChannels] = y.dims[1];
  step.ints[kGroups] = node.Int("groups");
  const int64_t taps = *w.type.NumElements() / y.dims[1];
  step.cost_flops = 2 * *y.type.NumElements() * taps;
  step.cost_bytes = *x.type.ByteSize() + *w.type.ByteSize() + *y.type.ByteSize();
  out.Emit(std::move(step));
  return absl::OkStatus();
}

absl::Status LowerPool(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  const Node& node = out.graph().node(id);
  RLX_ASSIGN(const Operand x,
             device::Densify(out, {.lanes = target.lanes}, out.In(node.operands[0])));
  const Operand y = out.Out({id, 0});
  const std::vector<int64_t> ones(y.dims.size() - 2, 1);
  Step step{.kind = Step::Kind::kCall,
            .routine = "pool",
            .buffers = {x.buffer, y.buffer},
            .ints = WindowInts(node, x, y, node.Ints("kernel"), ones),
            .label = Cat("pool %", id)};
  const PoolKind kind = node.Str("mode") == "max"        ? PoolKind::kMax
                        : node.Bool("count_include_pad") ? PoolKind::kMeanOfWindow
                                                         : PoolKind::kMean;
  step.ints[kBatch] = x.dims[0] * x.dims[1];
  step.ints[kInChannels] = static_cast<int64_t>(kind);
  step.cost_bytes = *x.type.ByteSize() + *y.type.ByteSize();
  step.cost_flops = *y.type.NumElements() * step.ints[kKernelH] * step.ints[kKernelW];
  out.Emit(std::move(step));
  return absl::OkStatus();
}

constexpr Rule kRules[] = {{OpKind::kConv, "unfolded gemm, or depthwise planes", Refuse, LowerConv},
                           {OpKind::kPool, "window rows", Refuse, LowerPool}};
constexpr Routine kRoutines[] = {{"conv", "rrRw", kIntCount, 0, RunConv, ConvScratch},
                                 {"pool", "rw", kIntCount, 0, RunPool, PoolScratch}};

}  // namespace

std::span<const Rule> ConvRules() { return kRules; }
std::span<const Routine> ConvRoutines() { return kRoutines; }

}  // namespace rlx::cpu
