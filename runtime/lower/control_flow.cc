// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <utility>

#include "runtime/base/checked.h"
#include "runtime/base/status.h"
#include "runtime/ir/op_info.h"
#include "runtime/lower/draft_builder.h"

// if: a Branch step. while and scan: a Loop step. A body reads its operands where they lie, slices
// included, and writes its results where they belong, so that a turn copies nothing:
//
//   carry      two slots that swing: a turn reads one and writes the other
//   capture    the operand's own buffer; packed once when it is a weight
//   sequence   a slice of the operand, further on with each turn
//   stack      a slice of the result, likewise
//
// Before the loop the first carries are copied into their slots, behind it the last ones out.
namespace rlx::lower {

using device::LoopParts;
using device::Step;

namespace {

// How often a `while` is thought to run when its cost is asked for: nobody knows.
constexpr int64_t kLikelyTurns = 16;

int64_t Saturated(std::optional<int64_t> cost) {
  return cost.value_or(std::numeric_limits<int64_t>::max());
}

void AddCosts(Step& step, const std::vector<Step>& body, int64_t times) {
  for (const Step& inner : body) {
    step.cost_flops =
        Saturated(CheckedAdd(step.cost_flops, Saturated(CheckedMul(inner.cost_flops, times))));
    step.cost_bytes =
        Saturated(CheckedAdd(step.cost_bytes, Saturated(CheckedMul(inner.cost_bytes, times))));
  }
}

Step Emptied(const Node& node, NodeId id, Step::Kind kind, size_t bodies) {
  Step step{.kind = kind, .label = Cat(Name(node.op), " %", id)};
  step.bodies.resize(bodies);
  return step;
}

}  // namespace

// Where one carry of a loop is: what a turn reads, and what it writes.
struct DraftBuilder::Carry {
  int32_t now = -1, next = -1;
};

// A loop while its step is made.
struct DraftBuilder::LoopDraft {
  int32_t number = 0;
  BodyIo io;
  std::vector<Carry> carries;
};

absl::Status DraftBuilder::ControlFlow(NodeId id) {
  switch (graph().node(id).op) {
    case OpKind::kIf:
      return LowerIf(id);
    case OpKind::kWhile:
      return LowerWhile(id);
    case OpKind::kScan:
      return LowerScan(id);
    default:
      return Internal(Name(graph().node(id).op), " is no control flow");
  }
}

absl::StatusOr<device::ProgramBuilder::Operand> DraftBuilder::Whole(Value value) {
  Operand operand = In(value);
  if (!operand.dense) return Internal(value, " is a strided view");
  return operand;
}

absl::Status DraftBuilder::Capture(const Node& node, size_t from, size_t to, BodyIo& io) {
  for (size_t i = from; i < to; ++i) {
    RLX_ASSIGN(const Operand operand, Whole(node.operands[i]));
    io.inputs.push_back(operand.buffer);
    io.is_weight.push_back(operand.is_weight);
  }
  return absl::OkStatus();
}

int32_t DraftBuilder::Part(int32_t of, int64_t offset, int64_t bytes) {
  device::Buffer part = program_.buffers[static_cast<size_t>(of)];
  part.offset += offset;
  part.bytes = bytes;
  const int32_t number = Add(part);
  if (const auto moves = motions_.find(of); moves != motions_.end()) {
    for (const Motion& m : moves->second) Move(m.loop, number, m.stride, m.swings);
  }
  return number;
}

void DraftBuilder::Move(int32_t loop, int32_t buffer, int64_t stride, bool swings) {
  const Motion motion{loop, buffer, stride, swings};
  motions_[buffer].push_back(motion);
  moved_[static_cast<size_t>(loop)].push_back(motion);
}

// Slice 0 of a sequence or a stack, which moves on by a slice a turn.
int32_t DraftBuilder::Slices(int32_t loop, const Operand& whole) {
  const int64_t bytes = program_.buffers[static_cast<size_t>(whole.buffer)].bytes / whole.dims[0];
  const int32_t slice = Part(whole.buffer, 0, bytes);
  Move(loop, slice, bytes, false);
  return slice;
}

absl::StatusOr<std::vector<Step>> DraftBuilder::LowerBody(const Graph& body, const BodyIo& io) {
  const int64_t used = scratch_used_;
  RLX_ASSIGN(const BufferPlan plan,
             PlanBuffers(body, {.alignment = lir_.plan.alignment}, &backend_));
  if (!plan.dynamic_symbols.empty()) {
    return FailedPrecondition("symbol \"", plan.dynamic_symbols.front(), "\" is not bound");
  }
  std::vector<Step> steps;
  Scope inner{.graph = &body, .plan = &plan, .steps = &steps, .weight_phase = weight_phase_};
  inner.io = &io;
  if (plan.arena_bytes > 0) {
    inner.arena = program_.buffers[static_cast<size_t>(Scratch(plan.arena_bytes))];
  }
  // What belongs to the node at hand, put aside.
  Scope* const scope = std::exchange(scope_, &inner);
  std::vector<Step>* const sink = sink_;
  const bool weight_phase = weight_phase_;
  const int64_t floor = std::exchange(scratch_floor_, scratch_used_);
  std::vector<int32_t> read = std::exchange(read_, {}), written = std::exchange(written_, {});
  const absl::Status status = LowerNodes();
  scope_ = scope;
  sink_ = sink;
  weight_phase_ = weight_phase;
  scratch_floor_ = floor;
  scratch_used_ = used;  // what a body leaves lies in buffers of its node
  read_ = std::move(read);
  written_ = std::move(written);
  RLX_TRY(status);
  return steps;
}

absl::Status DraftBuilder::LowerIf(NodeId id) {
  const Node& node = graph().node(id);
  RLX_ASSIGN(const Operand predicate, Whole(node.operands[0]));
  BodyIo io;
  RLX_TRY(Capture(node, 1, node.operands.size(), io));
  for (size_t r = 0; r < node.results.size(); ++r) {
    const Operand result = Out({id, static_cast<int32_t>(r)});
    io.outputs.push_back(result.buffer >= 0 ? result.buffer : Scratch(*result.type.ByteSize()));
  }
  Step step = Emptied(node, id, Step::Kind::kBranch, 2);
  step.buffers = {predicate.buffer};
  Step other = step;
  for (size_t branch : {0, 1}) {
    RLX_ASSIGN(step.bodies[branch], LowerBody(*node.subgraphs[branch], io));
    AddCosts(branch == 0 ? step : other, step.bodies[branch], 1);
  }
  step.cost_flops = std::max(step.cost_flops, other.cost_flops);
  step.cost_bytes = std::max(step.cost_bytes, other.cost_bytes);
  Emit(std::move(step));
  return absl::OkStatus();
}

// The first operands as carries, with their first values in place; then captures up to `captures`.
absl::StatusOr<DraftBuilder::LoopDraft> DraftBuilder::BeginLoop(const Node& node, size_t captures) {
  LoopDraft loop{.number = static_cast<int32_t>(moved_.size())};
  moved_.emplace_back();
  const auto carries = static_cast<size_t>(node.Int("carries"));
  const int64_t alignment = lir_.plan.alignment;
  for (size_t i = 0; i < carries; ++i) {
    RLX_ASSIGN(const Operand first, Whole(node.operands[i]));
    const int64_t bytes = *first.type.ByteSize();
    const int64_t stride = (bytes + alignment - 1) & ~(alignment - 1);
    const int32_t slots = Scratch(stride + bytes);
    const Carry carry{Part(slots, 0, bytes), Part(slots, stride, bytes)};
    Move(loop.number, carry.now, stride, true);
    Move(loop.number, carry.next, -stride, true);
    Copy(first.buffer, carry.now);
    loop.carries.push_back(carry);
    loop.io.inputs.push_back(carry.now);
    loop.io.is_weight.push_back(false);
    loop.io.outputs.push_back(carry.next);
  }
  RLX_TRY(Capture(node, carries, captures, loop.io));
  return loop;
}

// The last carries go where they are read, and the step out.
void DraftBuilder::EndLoop(NodeId id, const LoopDraft& loop, Step step, int64_t likely_turns) {
  std::vector<Step>* const sink = std::exchange(sink_, &step.bodies[LoopParts::kLeave]);
  for (size_t r = 0; r < loop.carries.size(); ++r) {
    const Operand result = Out({id, static_cast<int32_t>(r)});
    if (result.buffer >= 0) Copy(loop.carries[r].now, result.buffer);
  }
  sink_ = sink;
  std::vector<Motion>& moved = moved_[static_cast<size_t>(loop.number)];
  std::ranges::stable_partition(moved, &Motion::swings);
  step.ints[LoopParts::kSwinging] = std::ranges::count(moved, true, &Motion::swings);
  for (const Motion& motion : moved) {
    step.buffers.push_back(motion.buffer);
    step.ints.push_back(motion.stride);
  }
  AddCosts(step, step.bodies[LoopParts::kHolds], likely_turns);
  AddCosts(step, step.bodies[LoopParts::kTurn], likely_turns);
  AddCosts(step, step.bodies[LoopParts::kLeave], 1);
  Emit(std::move(step));
}

absl::Status DraftBuilder::LowerWhile(NodeId id) {
  const Node& node = graph().node(id);
  RLX_ASSIGN(LoopDraft loop, BeginLoop(node, node.operands.size()));
  const int64_t most = node.Int("max_iterations");
  Step step = Emptied(node, id, Step::Kind::kLoop, LoopParts::kBodies);
  step.buffers = {Scratch(1)};
  step.ints = {most, node.Bool("must_end") ? 1 : 0, 0};
  BodyIo condition = loop.io;
  condition.outputs = {step.buffers[0]};
  RLX_ASSIGN(step.bodies[LoopParts::kHolds], LowerBody(*node.subgraphs[0], condition));
  RLX_ASSIGN(step.bodies[LoopParts::kTurn], LowerBody(*node.subgraphs[1], loop.io));
  EndLoop(id, loop, std::move(step), std::min(most, kLikelyTurns));
  return absl::OkStatus();
}

absl::Status DraftBuilder::LowerScan(NodeId id) {
  const Node& node = graph().node(id);
  const size_t first = node.operands.size() - static_cast<size_t>(node.Int("sequences"));
  RLX_ASSIGN(LoopDraft loop, BeginLoop(node, first));
  for (size_t i = first; i < node.operands.size(); ++i) {
    RLX_ASSIGN(const Operand sequence, Whole(node.operands[i]));
    loop.io.inputs.push_back(Slices(loop.number, sequence));
    loop.io.is_weight.push_back(false);
  }
  for (size_t r = loop.carries.size(); r < node.results.size(); ++r) {
    const Operand stack = Out({id, static_cast<int32_t>(r)});
    loop.io.outputs.push_back(stack.buffer >= 0 ? Slices(loop.number, stack)
                                                : Scratch(*stack.type.ByteSize() / stack.dims[0]));
  }
  const int64_t length = node.Dims("length")[0].value();
  Step step = Emptied(node, id, Step::Kind::kLoop, LoopParts::kBodies);
  step.buffers = {-1};
  step.ints = {length, 0, 0};
  RLX_ASSIGN(step.bodies[LoopParts::kTurn], LowerBody(*node.subgraphs[0], loop.io));
  EndLoop(id, loop, std::move(step), length);
  return absl::OkStatus();
}

}  // namespace rlx::lower
