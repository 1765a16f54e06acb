// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "backends/cpu/routine.h"
#include "backends/cpu/rule.h"
#include "runtime/base/paced_check.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"
#include "runtime/device/generate/loop_nest.h"
#include "runtime/ir/op_info.h"

// gated_delta_net and selective_scan in f32 and f64: a head, or a channel, walks its sequence
// alone, its state in the result (or in scratch when nobody reads that).
namespace rlx::cpu {
namespace {

using device::ProgramBuilder;
using device::Step;

// Buffers: five operands, the first state or -1, out or -1, the last state. The extents are batch,
// length, heads or channels, state size.
enum Slot : size_t { kBatch, kLength, kHeads, kState, kDouble, kIntCount };
constexpr size_t kFirst = 5, kOut = 6, kLast = 7;

struct Extents {
  int64_t batch, length, heads, n;
  explicit Extents(const RoutineCall& call)
      : batch(call.step.ints[kBatch]),
        length(call.step.ints[kLength]),
        heads(call.step.ints[kHeads]),
        n(call.step.ints[kState]) {}
};

// Of one member: a delta.
size_t DeltaScratch(const MathKernels&, const Step& step, int threads) {
  return static_cast<size_t>(step.ints[kState]) * sizeof(double) * static_cast<size_t>(threads);
}

template <class T>
void InitState(const RoutineCall& call, T* state, int64_t at, int64_t size) {
  if (call.buffers[kFirst] == nullptr)
    std::fill(state, state + size, T(0));
  else
    std::copy_n(static_cast<const T*>(call.buffers[kFirst]) + at, size, state);
}

// A row of S at a time: S is [i][j], so both passes over it are along j.
template <class T>
void DeltaHead(const RoutineCall& call, const Extents& e, int64_t b, int64_t h, T* delta) {
  const auto in = [&](size_t i) { return static_cast<const T*>(call.buffers[i]); };
  T* state = static_cast<T*>(call.buffers[kLast]) + (b * e.heads + h) * e.n * e.n;
  T* out = static_cast<T*>(call.buffers[kOut]);
  const T scale = 1 / std::sqrt(static_cast<T>(e.n));
  InitState(call, state, (b * e.heads + h) * e.n * e.n, e.n * e.n);
  PacedCheck check(call.cancel);
  for (int64_t t = 0; t < e.length && !check.Done(2 * e.n * e.n); ++t) {
    const int64_t gate = (b * e.length + t) * e.heads + h, at = gate * e.n;
    const T decay = std::exp(in(3)[gate]), beta = in(4)[gate];
    const T *q = in(0) + at, *k = in(1) + at, *v = in(2) + at;
    std::fill(delta, delta + e.n, T(0));
    for (int64_t i = 0; i < e.n; ++i) {
      T* row = state + i * e.n;
      for (int64_t j = 0; j < e.n; ++j) {
        row[j] *= decay;
        delta[j] += row[j] * k[i];
      }
    }
    for (int64_t j = 0; j < e.n; ++j) delta[j] = (v[j] - delta[j]) * beta;
    if (out != nullptr) std::fill(out + at, out + at + e.n, T(0));
    for (int64_t i = 0; i < e.n; ++i) {
      T* row = state + i * e.n;
      for (int64_t j = 0; j < e.n; ++j) row[j] += k[i] * delta[j];
      if (out == nullptr) continue;
      for (int64_t j = 0; j < e.n; ++j) out[at + j] += row[j] * (q[i] * scale);
    }
  }
}

template <class T>
void DeltaNet(const RoutineCall& call) {
  const Extents e(call);
  call.team.ParallelFor(0, e.batch * e.heads, 1, [&](int64_t begin, int64_t end, int member) {
    T* delta = reinterpret_cast<T*>(static_cast<double*>(call.scratch) + member * e.n);
    for (int64_t i = begin; i < end; ++i) DeltaHead<T>(call, e, i / e.heads, i % e.heads, delta);
  });
}

template <class T>
void SelectiveChannel(const RoutineCall& call, const Extents& e, int64_t b, int64_t c) {
  const auto in = [&](size_t i) { return static_cast<const T*>(call.buffers[i]); };
  T* state = static_cast<T*>(call.buffers[kLast]) + (b * e.heads + c) * e.n;
  T* out = static_cast<T*>(call.buffers[kOut]);
  InitState(call, state, (b * e.heads + c) * e.n, e.n);
  const T* a = in(2) + c * e.n;
  PacedCheck check(call.cancel);
  for (int64_t t = 0; t < e.length && !check.Done(e.n); ++t) {
    const int64_t token = b * e.length + t, at = token * e.heads + c;
    const T delta = in(1)[at], step = delta * in(0)[at];
    const T *gate = in(3) + token * e.n, *read = in(4) + token * e.n;
    T sum = 0;
    for (int64_t j = 0; j < e.n; ++j) {
      state[j] = std::exp(delta * a[j]) * state[j] + step * gate[j];
      sum += read[j] * state[j];
    }
    if (out != nullptr) out[at] = sum;
  }
}

template <class T>
void Selective(const RoutineCall& call) {
  const Extents e(call);
  call.team.ParallelFor(0, e.batch * e.heads, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) SelectiveChannel<T>(call, e, i / e.heads, i % e.heads);
  });
}

absl::Status RunDeltaNet(const RoutineCall& call) {
  call.step.ints[kDouble] != 0 ? DeltaNet<double>(call) : DeltaNet<float>(call);
  return absl::OkStatus();
}
absl::Status RunSelective(const RoutineCall& call) {
  call.step.ints[kDouble] != 0 ? Selective<double>(call) : Selective<float>(call);
  return absl::OkStatus();
}

std::string Refuse(const Graph&, const Node& node) {
  const DType dtype = node.results[0].dtype;
  const bool runs = dtype == DType::kF32 || dtype == DType::kF64;
  return runs ? "" : Cat(Name(node.op), " of ", Name(dtype));
}

// The state is the last extent of operand `width_of`.
absl::Status LowerWith(ProgramBuilder& out, NodeId id, const LowerTarget& target,
                       std::string_view routine, size_t width_of) {
  const Node& node = out.graph().node(id);
  Step step{.kind = Step::Kind::kCall,
            .routine = std::string(routine),
            .buffers = std::vector<int32_t>(kLast + 1, -1),
            .label = Cat(Name(node.op), " %", id)};
  step.ints.assign(kIntCount, 0);
  for (size_t i = 0; i < node.operands.size(); ++i) {
    RLX_ASSIGN(const auto operand,
               device::Densify(out, {.lanes = target.lanes}, out.In(node.operands[i])));
    step.buffers[i] = operand.buffer;
    if (i == width_of) step.ints[kState] = operand.dims.back();
  }
  const ProgramBuilder::Operand y = out.Out({id, 0}), last = out.Out({id, 1});
  const int64_t state_bytes = *node.results[1].ByteSize();
  step.buffers[kOut] = y.buffer;
  step.buffers[kLast] = last.buffer >= 0 ? last.buffer : out.Scratch(state_bytes);
  const std::vector<int64_t> dims = node.results[0].StaticDims();
  step.ints[kBatch] = dims[0];
  step.ints[kLength] = dims[1];
  step.ints[kHeads] = dims[2];
  step.ints[kDouble] = node.results[0].dtype == DType::kF64 ? 1 : 0;
  step.cost_flops = 6 * dims[1] * state_bytes / ByteWidth(node.results[0].dtype);
  step.cost_bytes = state_bytes + *node.results[0].ByteSize();
  out.Emit(std::move(step));
  return absl::OkStatus();
}

absl::Status LowerDeltaNet(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  return LowerWith(out, id, target, "gated_delta_net", 0);
}
absl::Status LowerSelective(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  return LowerWith(out, id, target, "selective_scan", 2);
}

constexpr Rule kRules[] = {
    {OpKind::kGatedDeltaNet, "recurrence, a head a task", Refuse, LowerDeltaNet},
    {OpKind::kSelectiveScan, "recurrence, a channel a task", Refuse, LowerSelective},
};
constexpr Routine kRoutines[] = {
    {"gated_delta_net", "rrrrrRWw", kIntCount, 0, RunDeltaNet, DeltaScratch},
    {"selective_scan", "rrrrrRWw", kIntCount, 0, RunSelective}};

}  // namespace

std::span<const Rule> RecurrenceRules() { return kRules; }
std::span<const Routine> RecurrenceRoutines() { return kRoutines; }

}  // namespace rlx::cpu
