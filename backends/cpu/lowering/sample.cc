// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>

#include "backends/cpu/element.h"
#include "backends/cpu/routine.h"
#include "backends/cpu/rule.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"
#include "runtime/device/generate/loop_nest.h"
#include "runtime/ir/op_info.h"
#include "runtime/tensor/philox.h"

// sample: a row a task, in double, so that the index drawn is the oracle's.
namespace rlx::cpu {
namespace {

using device::ProgramBuilder;
using device::Step;

// Buffers logits, seeds or -1, out.
enum Slot : size_t { kRows, kWidth, kType, kSeedType, kTopK, kSeed, kIntCount };
enum FloatSlot : size_t { kTopP, kTemperature, kFloatCount };

// Scratch of one member: an order and a probability for each logit.
size_t Scratch(const MathKernels&, const Step& step, int threads) {
  const auto width = static_cast<size_t>(step.ints[kWidth]);
  return width * (sizeof(int64_t) + sizeof(double)) * static_cast<size_t>(threads);
}

struct RowScratch {
  int64_t* order;
  double* p;
};

// Drops what top-k and top-p leave out of p, which holds logits, and turns the rest into weights.
// Returns their sum.
double Weigh(const RoutineCall& call, RowScratch scratch) {
  const int64_t width = call.step.ints[kWidth], k = call.step.ints[kTopK];
  const auto [order, p] = scratch;
  std::iota(order, order + width, int64_t{0});
  const auto before = [p = p](int64_t a, int64_t b) { return p[a] != p[b] ? p[a] > p[b] : a < b; };
  std::sort(order, order + width, before);
  const double temperature = std::max(call.step.floats[kTemperature], 1e-6);
  const double top = p[order[0]], least = k > 0 && k < width ? p[order[k - 1]] : -INFINITY;
  double sum = 0;
  for (int64_t i = 0; i < width; ++i) {
    p[i] = p[i] >= least ? std::exp((p[i] - top) / temperature) : 0;
    sum += p[i];
  }
  double kept = 0, total = 0;
  for (int64_t i = 0; i < width; ++i) {
    double& weight = p[order[i]];
    if (kept >= call.step.floats[kTopP] * sum) weight = 0;
    kept += weight;
  }
  for (int64_t i = 0; i < width; ++i) total += p[i];
  return total;
}

int64_t Draw(const double* p, int64_t width, double target) {
  double cumulative = 0;
  int64_t last = 0;
  for (int64_t i = 0; i < width; ++i) {
    if (p[i] == 0) continue;
    last = i;
    cumulative += p[i];
    if (cumulative > target) break;
  }
  return last;
}

absl::Status Run(const RoutineCall& call) {
  const auto& ints = call.step.ints;
  const int64_t width = ints[kWidth];
  std::atomic<int64_t> bad{-1};
  call.team.ParallelFor(0, ints[kRows], 1, [&](int64_t begin, int64_t end, int member) {
    auto* at = static_cast<char*>(call.scratch) + member * width * 16;
    const RowScratch scratch{reinterpret_cast<int64_t*>(at),
                             reinterpret_cast<double*>(at + width * 8)};
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t i = 0; i < width; ++i) {
        scratch.p[i] =
            LoadNumber(call.buffers[0], static_cast<DType>(ints[kType]), row * width + i);
        if (std::isnan(scratch.p[i])) bad.store(row, std::memory_order_relaxed);
      }
      if (bad.load(std::memory_order_relaxed) >= 0) return;
      const bool own = call.buffers[1] != nullptr;
      const int64_t seed =
          own ? LoadInt(call.buffers[1], static_cast<DType>(ints[kSeedType]), row) : ints[kSeed];
      const double uniform = PhiloxUniform({own ? 0U : static_cast<uint32_t>(row), 0, 0, 0},
                                           static_cast<uint64_t>(seed));
      const double total = Weigh(call, scratch);
      StoreAs(call.buffers[2], row, Draw(scratch.p, width, uniform * total));
    }
  });
  const int64_t row = bad.load(std::memory_order_relaxed);
  if (row < 0) return absl::OkStatus();
  return InvalidArgument(call.step.label, ": a logit of row ", row, " is NaN");
}

std::string Refuse(const Graph&, const Node&) { return ""; }

absl::Status Lower(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  const Node& node = out.graph().node(id);
  const device::Schedule schedule{.lanes = target.lanes};
  RLX_ASSIGN(const auto logits, device::Densify(out, schedule, out.In(node.operands[0])));
  Step step{.kind = Step::Kind::kCall,
            .routine = "sample",
            .buffers = {logits.buffer, -1, out.Out({id, 0}).buffer},
            .floats = {node.Float("top_p"), node.Float("temperature")},
            .label = Cat("sample %", id)};
  step.ints.assign(kIntCount, 0);
  step.ints[kRows] = logits.dims[0];
  step.ints[kWidth] = logits.dims[1];
  step.ints[kType] = static_cast<int64_t>(logits.type.dtype);
  step.ints[kTopK] = node.Int("top_k");
  step.ints[kSeed] = node.Int("seed");
  if (node.operands.size() > 1) {
    RLX_ASSIGN(const auto seeds, device::Densify(out, schedule, out.In(node.operands[1])));
    step.buffers[1] = seeds.buffer;
    step.ints[kSeedType] = static_cast<int64_t>(seeds.type.dtype);
  }
  step.cost_flops = 40 * *logits.type.NumElements();
  step.cost_bytes = *logits.type.ByteSize();
  out.Emit(std::move(step));
  return absl::OkStatus();
}

constexpr Rule kRules[] = {{OpKind::kSample, "sorted draw", Refuse, Lower}};
constexpr Routine kRoutines[] = {{"sample", "rRw", kIntCount, kFloatCount, Run, Scratch}};

}  // namespace

std::span<const Rule> SampleRules() { return kRules; }
std::span<const Routine> SampleRoutines() { return kRoutines; }

}  // namespace rlx::cpu
