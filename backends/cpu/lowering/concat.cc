// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/copy.h"
#include "backends/cpu/routine.h"
#include "backends/cpu/rule.h"
#include "runtime/base/status.h"
#include "runtime/device/generate/generate.h"
#include "runtime/ir/op_info.h"

// concat of any dtype: operands that come in long runs are copied, the others go by generated
// kernels.
namespace rlx::cpu {
namespace {

using device::LoopOperand;
using device::ProgramBuilder;
using device::Step;
using Operand = ProgramBuilder::Operand;

// copy_runs: buffers from, to; ints in order, sizes in bytes.
enum Slot : size_t { kCount, kBytes, kFromStep, kToStep, kToOffset, kIntCount };

// Shorter runs gain nothing by a routine.
constexpr int64_t kLongRun = 4096;

absl::Status Run(const RoutineCall& call) {
  const auto& ints = call.step.ints;
  Copy(call.math,
       {.from = call.buffers[0],
        .to = static_cast<char*>(call.buffers[1]) + ints[kToOffset],
        .count = ints[kCount],
        .bytes = ints[kBytes],
        .from_step = ints[kFromStep],
        .to_step = ints[kToStep]},
       call.team);
  return absl::OkStatus();
}

// Takes operands that are long runs, evenly spaced.
bool EmitRuns(ProgramBuilder& out, const Operand& from, const LoopOperand& to,
              const std::string& label) {
  std::vector<int64_t> dims = from.dims, in = from.strides, at = to.strides;
  std::vector<int64_t>* strides[] = {&in, &at};
  device::CollapseDims(dims, strides);
  const int64_t width = ByteWidth(to.dtype), bytes = dims.back() * width;
  if (bytes < kLongRun || dims.size() > 2 || in.back() != 1 || at.back() != 1) return false;
  const bool one = dims.size() == 1;
  out.Emit({.kind = Step::Kind::kCall,
            .routine = "copy_runs",
            .buffers = {from.buffer, to.buffer},
            .ints = {one ? 1 : dims[0], bytes, one ? 0 : in[0] * width, one ? 0 : at[0] * width,
                     to.offset * width},
            .label = label,
            .cost_bytes = 2 * *from.type.ByteSize()});
  return true;
}

absl::Status Lower(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  return device::GenerateConcat(out, id, {.lanes = target.lanes}, EmitRuns);
}

constexpr Rule kRules[] = {
    {OpKind::kConcat, "long runs copied, else a generated kernel", device::WhyNotMovement, Lower}};
constexpr Routine kRoutines[] = {{"copy_runs", "rw", kIntCount, 0, Run}};

}  // namespace

std::span<const Rule> ConcatRules() { return kRules; }
std::span<const Routine> ConcatRoutines() { return kRoutines; }

}  // namespace rlx::cpu
