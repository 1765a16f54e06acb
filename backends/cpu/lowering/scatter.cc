// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstring>

#include "backends/cpu/element.h"
#include "backends/cpu/routine.h"
#include "backends/cpu/rule.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"
#include "runtime/device/generate/loop_nest.h"
#include "runtime/ir/op_info.h"

// scatter_add of f32, f64, i32 and i64, every index checked. Each member owns a stretch of columns,
// so equal indices add up in order whatever the number of threads.
namespace rlx::cpu {
namespace {

using device::ProgramBuilder;
using device::Step;

// Buffers updates, indices, out.
enum Slot : size_t { kUpdates, kRows, kWidth, kType, kIndexType, kIntCount };

template <class T>
void Add(const RoutineCall& call) {
  const auto& ints = call.step.ints;
  const int64_t width = ints[kWidth];
  const auto* updates = static_cast<const T*>(call.buffers[0]);
  T* out = static_cast<T*>(call.buffers[2]);
  std::memset(out, 0, static_cast<size_t>(ints[kRows] * width) * sizeof(T));
  call.team.ParallelFor(0, width, 64, [&](int64_t begin, int64_t end, int) {
    for (int64_t u = 0; u < ints[kUpdates]; ++u) {
      const int64_t row = LoadInt(call.buffers[1], static_cast<DType>(ints[kIndexType]), u);
      for (int64_t t = begin; t < end; ++t) {
        T& sum = out[row * width + t];
        if constexpr (std::is_integral_v<T>) {
          using Bits = std::make_unsigned_t<T>;
          sum = static_cast<T>(static_cast<Bits>(sum) + static_cast<Bits>(updates[u * width + t]));
        } else {
          sum += updates[u * width + t];
        }
      }
    }
  });
}

absl::Status Run(const RoutineCall& call) {
  const auto& ints = call.step.ints;
  for (int64_t u = 0; u < ints[kUpdates]; ++u) {
    const int64_t row = LoadInt(call.buffers[1], static_cast<DType>(ints[kIndexType]), u);
    if (row < 0 || row >= ints[kRows])
      return InvalidArgument(call.step.label, ": index ", row, " at position ", u,
                             " is not in [0, ", ints[kRows], ")");
  }
  switch (static_cast<DType>(ints[kType])) {
    case DType::kF32:
      Add<float>(call);
      break;
    case DType::kF64:
      Add<double>(call);
      break;
    case DType::kI64:
      Add<int64_t>(call);
      break;
    default:
      Add<int32_t>(call);
  }
  return absl::OkStatus();
}

std::string Refuse(const Graph&, const Node& node) {
  const DType dtype = node.results[0].dtype;
  const bool runs =
      dtype == DType::kF32 || dtype == DType::kF64 || dtype == DType::kI32 || dtype == DType::kI64;
  return runs ? "" : Cat("scatter_add of ", Name(dtype));
}

absl::Status Lower(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  const Node& node = out.graph().node(id);
  const device::Schedule schedule{.lanes = target.lanes};
  RLX_ASSIGN(const auto updates, device::Densify(out, schedule, out.In(node.operands[0])));
  RLX_ASSIGN(const auto indices, device::Densify(out, schedule, out.In(node.operands[1])));
  const ProgramBuilder::Operand y = out.Out({id, 0});
  Step step{.kind = Step::Kind::kCall,
            .routine = "scatter_add",
            .buffers = {updates.buffer, indices.buffer, y.buffer},
            .label = Cat("scatter_add %", id)};
  step.ints.assign(kIntCount, 0);
  step.ints[kUpdates] = updates.dims[0];
  step.ints[kRows] = y.dims[0];
  step.ints[kWidth] = *y.type.NumElements() / y.dims[0];
  step.ints[kType] = static_cast<int64_t>(y.type.dtype);
  step.ints[kIndexType] = static_cast<int64_t>(indices.type.dtype);
  step.cost_flops = *updates.type.NumElements();
  step.cost_bytes = *updates.type.ByteSize() + 2 * *y.type.ByteSize();
  out.Emit(std::move(step));
  return absl::OkStatus();
}

constexpr Rule kRules[] = {{OpKind::kScatterAdd, "rows added, indices checked", Refuse, Lower}};
constexpr Routine kRoutines[] = {{"scatter_add", "rrw", kIntCount, 0, Run}};

}  // namespace

std::span<const Rule> ScatterRules() { return kRules; }
std::span<const Routine> ScatterRoutines() { return kRoutines; }

}  // namespace rlx::cpu
