// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/int_gemm.h"

#include "backends/cpu/routine.h"
#include "backends/cpu/rule.h"
#include "runtime/base/status.h"
#include "runtime/device/generate/generate.h"
#include "runtime/ir/op_info.h"

// matmul of i32 against a weight that is packed once, which is what products of 8-bit codes come
// as; other matmuls of i32 are generated.
namespace rlx::cpu {
namespace {

using device::ProgramBuilder;
using device::Step;
using Operand = ProgramBuilder::Operand;

// pack_int_b: buffers b, packed. int_gemm: buffers a, packed, c.
enum PackSlot : size_t { kPackK, kPackN, kPackInts };
enum Slot : size_t { kM, kN, kK, kInts };

const int32_t* I32(const RoutineCall& call, size_t i) {
  return static_cast<const int32_t*>(call.buffers[i]);
}

absl::Status RunPack(const RoutineCall& call) {
  const auto& ints = call.step.ints;
  PackIntB(call.math, ints[kPackK], ints[kPackN], I32(call, 0), ints[kPackN], false,
           call.buffers[1], call.team);
  return absl::OkStatus();
}

IntGemm Decode(const Step& step) {
  const auto& ints = step.ints;
  return {.m = ints[kM], .n = ints[kN], .k = ints[kK], .lda = ints[kK], .ldc = ints[kN]};
}

absl::Status Run(const RoutineCall& call) {
  IntGemm gemm = Decode(call.step);
  gemm.a = I32(call, 0);
  gemm.b = call.buffers[1];
  gemm.c = static_cast<int32_t*>(call.buffers[2]);
  Gemm(call.math, gemm, call.team, call.scratch);
  return absl::OkStatus();
}

size_t Scratch(const MathKernels&, const Step& step, int) {
  return IntGemmScratchBytes(Decode(step));
}

std::string Refuse(const Graph& graph, const Node& node) {
  const DType dtype = graph.type(node.operands[0]).dtype;
  if (dtype != DType::kI32) return Cat("product of codes of ", Name(dtype));
  return device::WhyNotMatMul(graph, node);
}

absl::Status Lower(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  const device::Schedule schedule{.lanes = target.lanes};
  const Node& node = out.graph().node(id);
  Operand w = out.In(node.operands[1]);
  const Operand y = out.Out({id, 0});
  if (!w.is_weight || w.dims.size() != 2 || w.dims[0] == 0 || *y.type.NumElements() == 0) {
    return device::GenerateMatMul(out, id, schedule);
  }
  RLX_ASSIGN(const Operand x, device::Densify(out, schedule, out.In(node.operands[0])));
  const int64_t k = w.dims[0], n = w.dims[1], m = *y.type.NumElements() / n;
  RLX_ASSIGN(w, device::Densify(out, schedule, w));
  const Step pack{.kind = Step::Kind::kCall,
                  .routine = "pack_int_b",
                  .buffers = {w.buffer},
                  .ints = {k, n},
                  .label = Cat("pack weight of %", id)};
  const int32_t packed =
      out.Packed(node.operands[1], "int_gemm_b", PackedIntSize(*target.math, k, n), pack);
  out.Emit({.kind = Step::Kind::kCall,
            .routine = "int_gemm",
            .buffers = {x.buffer, packed, y.buffer},
            .ints = {m, n, k},
            .label = Cat(Name(node.op), " %", id),
            .cost_flops = 2 * m * n * k,
            .cost_bytes = 4 * (m * k + m * n) + k * n});
  return absl::OkStatus();
}

constexpr Rule kRules[] = {
    {OpKind::kMatMul, "product of codes, weights packed once", Refuse, Lower}};
constexpr Routine kRoutines[] = {{"pack_int_b", "rw", kPackInts, 0, RunPack},
                                 {"int_gemm", "rrw", kInts, 0, Run, Scratch}};

}  // namespace

std::span<const Rule> IntGemmRules() { return kRules; }
std::span<const Routine> IntGemmRoutines() { return kRoutines; }

}  // namespace rlx::cpu
