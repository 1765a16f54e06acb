// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstring>

#include "backends/cpu/routine.h"
#include "backends/cpu/rule.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"
#include "runtime/device/generate/loop_nest.h"
#include "runtime/ir/op_info.h"

// gather along an axis of any dtype, every index checked.
namespace rlx::cpu {
namespace {

using device::ProgramBuilder;
using device::Step;

// Buffers table, indices, extent or none, out; ints in order: table is [outer, extent] slices of
// `bytes`.
enum Slot : size_t { kOuter, kExtent, kBytes, kCount, kIndexType, kIntCount };

constexpr int64_t kBytesPerTask = 64 << 10;

int64_t IndexAt(const void* indices, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::kI64:
      return static_cast<const int64_t*>(indices)[i];
    case DType::kI32:
      return static_cast<const int32_t*>(indices)[i];
    case DType::kU32:
      return static_cast<const uint32_t*>(indices)[i];
    case DType::kI16:
      return static_cast<const int16_t*>(indices)[i];
    case DType::kI8:
      return static_cast<const int8_t*>(indices)[i];
    default:
      return static_cast<const uint8_t*>(indices)[i];
  }
}

absl::Status Run(const RoutineCall& call) {
  const auto& ints = call.step.ints;
  const int64_t places = ints[kExtent], bytes = ints[kBytes], count = ints[kCount];
  const auto* given = static_cast<const int64_t*>(call.buffers[2]);
  const int64_t extent = given == nullptr ? places : std::min(places, *given);
  const auto dtype = static_cast<DType>(ints[kIndexType]);
  const auto* table = static_cast<const char*>(call.buffers[0]);
  auto* to = static_cast<char*>(call.buffers[3]);
  std::atomic<int64_t> bad{-1};
  const int64_t grain = std::max<int64_t>(1, kBytesPerTask / bytes);
  call.team.ParallelFor(0, ints[kOuter] * count, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t index = IndexAt(call.buffers[1], dtype, r % count);
      if (index < 0 || index >= extent) {
        bad.store(r % count, std::memory_order_relaxed);
        return;
      }
      std::memcpy(to + r * bytes, table + (r / count * places + index) * bytes,
                  static_cast<size_t>(bytes));
    }
  });
  const int64_t at = bad.load(std::memory_order_relaxed);
  if (at < 0) return absl::OkStatus();
  return InvalidArgument(call.step.label, ": index ", IndexAt(call.buffers[1], dtype, at),
                         " at position ", at, " is not in [0, ", extent, ")");
}

std::string Refuse(const Graph&, const Node&) { return ""; }

// Names whose indices they are.
std::string Label(const Node& node, NodeId id) {
  const AttrValue* of = node.Find("of");
  return of == nullptr ? Cat("gather %", id)
                       : Cat(std::get<std::string>(*of), " (gather %", id, ")");
}

absl::Status Lower(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  const Node& node = out.graph().node(id);
  const device::Schedule schedule{.lanes = target.lanes};
  RLX_ASSIGN(const auto table, device::Densify(out, schedule, out.In(node.operands[0])));
  RLX_ASSIGN(const auto indices, device::Densify(out, schedule, out.In(node.operands[1])));
  const ProgramBuilder::Operand y = out.Out({id, 0});
  const int64_t axis = node.Int("axis");
  Step step{.kind = Step::Kind::kCall,
            .routine = "gather",
            .buffers = {table.buffer, indices.buffer, -1, y.buffer},
            .label = Label(node, id)};
  if (node.operands.size() > 2) {
    RLX_ASSIGN(const auto extent, device::Densify(out, schedule, out.In(node.operands[2])));
    step.buffers[2] = extent.buffer;
  }
  step.ints.assign(kIntCount, 0);
  step.ints[kOuter] = 1;
  for (int64_t d = 0; d < axis; ++d) step.ints[kOuter] *= table.dims[d];
  step.ints[kExtent] = table.dims[axis];
  step.ints[kBytes] = table.strides[axis] * ByteWidth(table.type.dtype);
  step.ints[kCount] = *indices.type.NumElements();
  step.ints[kIndexType] = static_cast<int64_t>(indices.type.dtype);
  step.cost_bytes = 2 * *y.type.ByteSize();
  out.Emit(std::move(step));
  return absl::OkStatus();
}

constexpr Rule kRules[] = {{OpKind::kGather, "row copies, indices checked", Refuse, Lower}};
constexpr Routine kRoutines[] = {{"gather", "rrRw", kIntCount, 0, Run}};

}  // namespace

std::span<const Rule> GatherRules() { return kRules; }
std::span<const Routine> GatherRoutines() { return kRoutines; }

}  // namespace rlx::cpu
