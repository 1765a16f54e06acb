// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "backends/cpu/routine.h"
#include "backends/cpu/rule.h"
#include "runtime/base/paced_check.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"
#include "runtime/device/generate/loop_nest.h"
#include "runtime/ir/op_info.h"

// topk along an axis: largest first, ties to the smaller index, NaN before every number.
namespace rlx::cpu {
namespace {

using device::ProgramBuilder;
using device::Step;

// Buffers x, values, indices (either absent when nothing reads it); x is [outer, extent, inner].
enum Slot : size_t { kOuter, kExtent, kInner, kK, kType, kIntCount };

// Scratch per member: one index list.
size_t Scratch(const MathKernels&, const Step& step, int threads) {
  return static_cast<size_t>(step.ints[kExtent]) * sizeof(int64_t) * static_cast<size_t>(threads);
}

template <typename T>
bool Before(const T* line, int64_t stride, int64_t a, int64_t b) {
  const T x = line[a * stride], y = line[b * stride];
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(x) != std::isnan(y)) return std::isnan(x);
  }
  return x != y ? x > y : a < b;
}

// The first k of `order` by `before`, in order, through a heap whose top is the last of them.
// Leaves off once the check is done.
template <typename Compare>
void SelectFirst(int64_t* order, int64_t extent, int64_t k, const Compare& before,
                 PacedCheck& check) {
  const int64_t deep = 4 * std::bit_width(static_cast<uint64_t>(k));  // what a heap's change costs
  std::make_heap(order, order + k, before);
  for (int64_t i = k; i < extent; ++i) {
    if (check.Done(1)) return;
    if (!before(order[i], order[0])) continue;
    std::pop_heap(order, order + k, before);
    order[k - 1] = order[i];
    std::push_heap(order, order + k, before);
  }
  for (int64_t left = k; left > 1 && !check.Done(deep); --left) {
    std::pop_heap(order, order + left, before);
  }
}

template <typename T>
void RunTyped(const RoutineCall& call) {
  const auto& ints = call.step.ints;
  const int64_t extent = ints[kExtent], inner = ints[kInner], k = ints[kK];
  const T* x = static_cast<const T*>(call.buffers[0]);
  T* values = static_cast<T*>(call.buffers[1]);
  auto* indices = static_cast<int64_t*>(call.buffers[2]);
  const int64_t grain = std::max<int64_t>(1, (16 << 10) / extent);
  call.team.ParallelFor(
      0, ints[kOuter] * inner, grain, [&](int64_t begin, int64_t end, int member) {
        PacedCheck check(call.cancel);
        int64_t* order = static_cast<int64_t*>(call.scratch) + member * extent;
        for (int64_t l = begin; l < end; ++l) {
          const T* line = x + l / inner * extent * inner + l % inner;
          std::iota(order, order + extent, int64_t{0});
          const auto before = [&](int64_t a, int64_t b) {
            // NaNs are alike: the smaller index first.
            return Before(line, inner, a, b) || (!Before(line, inner, b, a) && a < b);
          };
          SelectFirst(order, extent, k, before, check);
          const int64_t to = l / inner * k * inner + l % inner;
          for (int64_t i = 0; i < k; ++i) {
            if (values != nullptr) values[to + i * inner] = line[order[i] * inner];
            if (indices != nullptr) indices[to + i * inner] = order[i];
          }
        }
      });
}

absl::Status Run(const RoutineCall& call) {
  switch (static_cast<DType>(call.step.ints[kType])) {
    case DType::kF32:
      RunTyped<float>(call);
      break;
    case DType::kF64:
      RunTyped<double>(call);
      break;
    case DType::kI64:
      RunTyped<int64_t>(call);
      break;
    case DType::kI32:
      RunTyped<int32_t>(call);
      break;
    case DType::kU32:
      RunTyped<uint32_t>(call);
      break;
    case DType::kI16:
      RunTyped<int16_t>(call);
      break;
    case DType::kI8:
      RunTyped<int8_t>(call);
      break;
    default:
      RunTyped<uint8_t>(call);
      break;
  }
  return absl::OkStatus();
}

std::string Refuse(const Graph& graph, const Node& node) {
  const DType dtype = graph.type(node.operands[0]).dtype;
  const bool refused = IsNarrowFloat(dtype) || dtype == DType::kC64;
  return refused ? Cat("topk of ", Name(dtype)) : "";
}

absl::Status Lower(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  const Node& node = out.graph().node(id);
  RLX_ASSIGN(const auto x, device::Densify(out, {.lanes = target.lanes}, out.In(node.operands[0])));
  const int64_t axis = node.Int("axis");
  Step step{.kind = Step::Kind::kCall,
            .routine = "topk",
            .buffers = {x.buffer, out.Out({id, 0}).buffer, out.Out({id, 1}).buffer},
            .label = Cat("topk %", id)};
  step.ints.assign(kIntCount, 0);
  step.ints[kExtent] = x.dims[axis];
  step.ints[kInner] = x.strides[axis];
  step.ints[kOuter] = *x.type.NumElements() / (x.dims[axis] * x.strides[axis]);
  step.ints[kK] = node.Int("k");
  step.ints[kType] = static_cast<int64_t>(x.type.dtype);
  step.cost_flops = 8 * *x.type.NumElements();
  step.cost_bytes = *x.type.ByteSize();
  out.Emit(std::move(step));
  return absl::OkStatus();
}

constexpr Rule kRules[] = {{OpKind::kTopK, "partial sort", Refuse, Lower}};
constexpr Routine kRoutines[] = {{"topk", "rWW", kIntCount, 0, Run, Scratch}};

}  // namespace

std::span<const Rule> TopKRules() { return kRules; }
std::span<const Routine> TopKRoutines() { return kRoutines; }

}  // namespace rlx::cpu
