// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/dequant_gemm.h"

#include "backends/cpu/element.h"
#include "backends/cpu/routine.h"
#include "backends/cpu/rule.h"
#include "runtime/base/status.h"
#include "runtime/device/generate/loop_nest.h"
#include "runtime/ir/op_info.h"

// dequant_matmul of f32 against int8, int4 and GGUF blocks, which stay packed.
namespace rlx::cpu {
namespace {

using device::ProgramBuilder;
using device::Step;
using Operand = ProgramBuilder::Operand;

// Buffers x, w, scale or -1, zero point or -1, out.
enum Slot : size_t { kM, kN, kK, kScheme, kBlock, kScaleType, kZeroType, kIntCount };

template <DType dtype>
void ReadNumbers(const void* from, int64_t at, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) {
    out[i] = static_cast<float>(LoadNumber(from, dtype, at + i));
  }
}

// Null: floats need no reading.
decltype(QuantWeights::read_scale) ReaderOf(int64_t dtype) {
  switch (static_cast<DType>(dtype)) {
    case DType::kF16:
      return ReadNumbers<DType::kF16>;
    case DType::kBF16:
      return ReadNumbers<DType::kBF16>;
    case DType::kF64:
      return ReadNumbers<DType::kF64>;
    default:
      return nullptr;
  }
}

absl::Status Run(const RoutineCall& call) {
  const auto& ints = call.step.ints;
  const DequantGemm gemm{.m = ints[kM],
                         .n = ints[kN],
                         .k = ints[kK],
                         .a = call.f32(0),
                         .lda = ints[kK],
                         .w = {.scheme = static_cast<QuantScheme>(ints[kScheme]),
                               .bytes = static_cast<const uint8_t*>(call.buffers[1]),
                               .block = ints[kBlock],
                               .scale = call.buffers[2],
                               .zero = call.buffers[3],
                               .read_scale = ReaderOf(ints[kScaleType]),
                               .read_zero = ReaderOf(ints[kZeroType])},
                         .c = call.out_f32(4),
                         .ldc = ints[kN]};
  Gemm(call.math, gemm, call.team, call.scratch);
  return absl::OkStatus();
}

size_t Scratch(const MathKernels& math, const Step&, int threads) {
  return DequantScratchBytes(math, threads);
}

std::string Refuse(const Graph& graph, const Node& node) {
  const DType dtype = graph.type(node.operands[0]).dtype;
  if (dtype != DType::kF32) return Cat("dequant_matmul of ", Name(dtype));
  const QuantScheme scheme = *ParseQuantScheme(node.Str("scheme"));
  return TakesScheme(scheme) ? "" : Cat("dequant_matmul of ", Info(scheme).name);
}

absl::Status Lower(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  const Node& node = out.graph().node(id);
  const QuantSchemeInfo& info = Info(*ParseQuantScheme(node.Str("scheme")));
  const Operand y = out.Out({id, 0});
  Step step{.kind = Step::Kind::kCall,
            .routine = "dequant_gemm",
            .buffers = {-1, -1, -1, -1, y.buffer},
            .label = Cat("dequant_matmul %", id)};
  step.ints.assign(kIntCount, 0);
  for (size_t i = 0; i < node.operands.size(); ++i) {
    RLX_ASSIGN(const Operand operand,
               device::Densify(out, {.lanes = target.lanes}, out.In(node.operands[i])));
    step.buffers[i] = operand.buffer;
    step.cost_bytes += *operand.type.ByteSize();
    if (i == 0) step.ints[kK] = operand.dims.back();
    if (i >= 2) step.ints[kScaleType + i - 2] = static_cast<int64_t>(operand.type.dtype);
  }
  step.ints[kN] = y.dims.back();
  step.ints[kM] = *y.type.NumElements() / y.dims.back();
  step.ints[kScheme] = static_cast<int64_t>(info.scheme);
  step.ints[kBlock] = node.Int("block");
  step.cost_bytes += *y.type.ByteSize();
  step.cost_flops = 2 * step.ints[kM] * step.ints[kN] * step.ints[kK];
  out.Emit(std::move(step));
  return absl::OkStatus();
}

constexpr Rule kRules[] = {
    {OpKind::kDequantMatMul, "gemm that decodes panels of packed weights", Refuse, Lower}};
constexpr Routine kRoutines[] = {{"dequant_gemm", "rrRRw", kIntCount, 0, Run, Scratch}};

}  // namespace

std::span<const Rule> DequantGemmRules() { return kRules; }
std::span<const Routine> DequantGemmRoutines() { return kRoutines; }

}  // namespace rlx::cpu
