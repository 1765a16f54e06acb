// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "runtime/base/checked.h"
#include "runtime/base/status.h"
#include "runtime/wire/artifact.h"

namespace rlx::wire {
namespace {

using device::Buffer;
using device::LoopParts;
using device::Program;
using device::Step;

// How far a buffer may lie from where it says, in the loops around a step.
struct Reach {
  int64_t low = 0, high = 0;
};

struct Checker {
  const Program& program;
  bool weights = false;  // checking the weight steps
  std::map<int32_t, Reach> reaches = {};

  absl::StatusOr<int64_t> Room(const Buffer& buffer) const {
    const auto spec_bytes =
        [&](const std::vector<device::TensorSpec>& specs) -> absl::StatusOr<int64_t> {
      if (buffer.index < 0 || static_cast<size_t>(buffer.index) >= specs.size()) {
        return DataLoss("a buffer names tensor ", buffer.index, " of ", specs.size());
      }
      const auto bytes = specs[buffer.index].type.ByteSize();
      if (!bytes) return DataLoss("tensor \"", specs[buffer.index].name, "\" has no static size");
      return *bytes;
    };
    switch (buffer.storage) {
      case Storage::kInput:
        return spec_bytes(program.inputs);
      case Storage::kOutput:
        return spec_bytes(program.outputs);
      case Storage::kParam:
        return spec_bytes(program.params);
      case Storage::kConstant:
        if (buffer.index < 0 || static_cast<size_t>(buffer.index) >= program.constants.size())
          break;
        return static_cast<int64_t>(program.constants[buffer.index].bytes().size());
      case Storage::kWeight:
        if (buffer.index < 0 || static_cast<size_t>(buffer.index) >= program.weight_slots.size()) {
          break;
        }
        return program.weight_slots[buffer.index];
      case Storage::kArena:
        return std::max(program.arena_bytes + program.scratch_bytes, program.weight_arena_bytes);
      default:
        break;
    }
    return DataLoss("a buffer has no place");
  }

  absl::Status CheckBuffer(const Buffer& buffer) const {
    RLX_ASSIGN(const int64_t room, Room(buffer));
    const auto end = CheckedAdd(buffer.offset, buffer.bytes);
    if (buffer.offset < 0 || buffer.bytes < 0 || !end || *end > room) {
      return DataLoss("a buffer covers [", buffer.offset, ", +", buffer.bytes, ") of ", room,
                      " bytes");
    }
    return absl::OkStatus();
  }

  // An arena buffer must fit the arena of the phase that uses it.
  absl::Status CheckUse(int32_t b) const {
    if (b < -1 || b >= static_cast<int32_t>(program.buffers.size())) {
      return DataLoss("a step names buffer ", b, " of ", program.buffers.size());
    }
    if (b < 0) return absl::OkStatus();
    const Buffer& buffer = program.buffers[b];
    const bool from_caller =
        buffer.storage == Storage::kInput || buffer.storage == Storage::kOutput;
    if (weights && from_caller) return DataLoss("a weight step uses a request's buffer");
    const int64_t arena =
        weights ? program.weight_arena_bytes : program.arena_bytes + program.scratch_bytes;
    if (buffer.storage == Storage::kArena && buffer.offset + buffer.bytes > arena) {
      return DataLoss("a buffer reaches beyond its arena");
    }
    const auto reach = reaches.find(b);
    if (reach == reaches.end()) return absl::OkStatus();
    RLX_ASSIGN(int64_t room, Room(buffer));
    if (buffer.storage == Storage::kArena) room = arena;
    const auto end = CheckedAdd(buffer.offset + buffer.bytes, reach->second.high);
    if (reach->second.low < -buffer.offset || !end || *end > room) {
      return DataLoss("a buffer moves out of its place");
    }
    return absl::OkStatus();
  }

  absl::Status CheckSteps(const std::vector<Step>& steps) {
    for (const Step& step : steps) {
      for (int32_t b : step.buffers) RLX_TRY(CheckUse(b));
      RLX_TRY(CheckForm(step));
      if (step.kind == Step::Kind::kLoop) {
        RLX_TRY(CheckLoop(step));
      } else if (step.kind == Step::Kind::kBranch) {
        for (const auto& body : step.bodies) RLX_TRY(CheckSteps(body));
      } else if (!step.bodies.empty()) {
        return DataLoss("step \"", step.label, "\" has bodies, which its kind has not");
      }
    }
    return absl::OkStatus();
  }

  // Each body with its buffers wherever a turn may put them.
  absl::Status CheckLoop(const Step& step) {
    const LoopParts loop(step);
    const int64_t last[LoopParts::kBodies] = {loop.most - (loop.must_end ? 0 : 1), loop.most - 1,
                                              loop.most};
    for (size_t b = 0; b < LoopParts::kBodies; ++b) {
      const std::map<int32_t, Reach> around = reaches;
      for (size_t m = 0; m < loop.moving.size(); ++m) {
        RLX_TRY(Extend(reaches[loop.moving[m]], loop.strides[m],
                       m < loop.swinging ? std::min<int64_t>(last[b], 1) : last[b]));
      }
      RLX_TRY(CheckSteps(step.bodies[b]));
      reaches = around;
    }
    return absl::OkStatus();
  }

  static absl::Status Extend(Reach& reach, int64_t stride, int64_t times) {
    const auto way = CheckedMul(stride, times);
    const auto low = way ? CheckedAdd(reach.low, std::min<int64_t>(*way, 0)) : std::nullopt;
    const auto high = way ? CheckedAdd(reach.high, std::max<int64_t>(*way, 0)) : std::nullopt;
    if (!low || !high) return DataLoss("a buffer moves too far");
    reach = {*low, *high};
    return absl::OkStatus();
  }

  // Its lists have the lengths and values that LoopParts reads them by.
  absl::Status CheckLoopForm(const Step& step) const {
    if (step.bodies.size() != LoopParts::kBodies || step.buffers.empty() ||
        step.ints.size() != LoopParts::kFixedInts + step.buffers.size() - 1) {
      return DataLoss("a loop without its parts");
    }
    const LoopParts loop(step);
    const int64_t swinging = step.ints[LoopParts::kSwinging];
    if (loop.most < 1 || swinging < 0 || swinging > static_cast<int64_t>(loop.moving.size())) {
      return DataLoss("a loop of ", loop.most, " turns and ", swinging, " swinging buffers");
    }
    if (loop.condition < 0 && (loop.must_end || !step.bodies[LoopParts::kHolds].empty())) {
      return DataLoss("a loop has nowhere to leave its condition");
    }
    std::vector<int32_t> moving(loop.moving.begin(), loop.moving.end());
    std::ranges::sort(moving);
    const bool twice = std::ranges::adjacent_find(moving) != moving.end();
    if (twice || (!moving.empty() && moving.front() < 0) ||
        std::ranges::binary_search(moving, loop.condition)) {
      return DataLoss("a loop moves a buffer twice, or none");
    }
    return loop.condition < 0 ? absl::OkStatus() : CheckHoldsBool(loop.condition);
  }

  absl::Status CheckHoldsBool(int32_t b) const {
    if (program.buffers[b].bytes >= 1) return absl::OkStatus();
    return DataLoss("a condition of no bytes");
  }

  // What a step may write: its own arena, and results of the phase.
  absl::Status CheckWritable(const Step& step, int32_t b) const {
    const Storage storage = program.buffers[b].storage;
    if (storage == Storage::kArena) return absl::OkStatus();
    if (storage == (weights ? Storage::kWeight : Storage::kOutput)) return absl::OkStatus();
    return DataLoss("step \"", step.label, "\" writes to what it may only read");
  }

  // A launch gives its kernel every buffer and scalar that it declares: code has no other way to
  // know.
  absl::Status CheckLaunch(const Step& step) const {
    if (step.kernel < 0 || static_cast<size_t>(step.kernel) >= program.kernels.size()) {
      return DataLoss("a step launches kernel ", step.kernel);
    }
    const device::KernelEntry& kernel = program.kernels[step.kernel];
    if (step.groups < 0) return DataLoss("a step launches ", step.groups, " groups");
    if (step.buffers.size() != kernel.buffers.size() ||
        step.ints.size() != static_cast<size_t>(kernel.scalars)) {
      return DataLoss("step \"", step.label, "\" has ", step.buffers.size(), " buffers and ",
                      step.ints.size(), " scalars for a kernel of ", kernel.buffers.size(), " and ",
                      kernel.scalars);
    }
    for (size_t i = 0; i < step.buffers.size(); ++i) {
      if (step.buffers[i] < 0) return DataLoss("step \"", step.label, "\" lacks buffer ", i);
      if (kernel.buffers[i] == 'w') RLX_TRY(CheckWritable(step, step.buffers[i]));
    }
    return absl::OkStatus();
  }

  absl::Status CheckForm(const Step& step) const {
    const auto present = [&](size_t count) {
      for (size_t i = 0; i < count; ++i) {
        if (i >= step.buffers.size() || step.buffers[i] < 0) return false;
      }
      return true;
    };
    switch (step.kind) {
      case Step::Kind::kLaunch:
        return CheckLaunch(step);
      case Step::Kind::kCopy:
        if (!present(2) ||
            program.buffers[step.buffers[0]].bytes != program.buffers[step.buffers[1]].bytes) {
          return DataLoss("a copy between unequal buffers");
        }
        return CheckWritable(step, step.buffers[1]);
      case Step::Kind::kBranch:
        return present(1) && step.bodies.size() == 2 ? CheckHoldsBool(step.buffers[0])
                                                     : DataLoss("a branch without two bodies");
      case Step::Kind::kLoop:
        return CheckLoopForm(step);
      case Step::Kind::kCall:
        return absl::OkStatus();  // the device knows its routines
    }
    return DataLoss("an unknown step");
  }
};

}  // namespace

absl::Status CheckProgram(const Program& program) {
  Checker checker{program};
  for (const device::KernelEntry& kernel : program.kernels) {
    if (kernel.buffers.find_first_not_of("rw") != std::string::npos || kernel.scalars < 0) {
      return DataLoss("kernel \"", kernel.name, "\" has a signature that is none");
    }
  }
  for (const AliasPair& alias : program.aliases) {
    const bool there = alias.input >= 0 && alias.output >= 0 &&
                       static_cast<size_t>(alias.input) < program.inputs.size() &&
                       static_cast<size_t>(alias.output) < program.outputs.size();
    if (!there) return DataLoss("an alias of input ", alias.input, " and output ", alias.output);
  }
  for (int64_t bytes : {program.arena_bytes, program.scratch_bytes, program.weight_arena_bytes}) {
    if (bytes < 0 || bytes > int64_t{1} << 46) return DataLoss("an arena of ", bytes, " bytes");
  }
  for (int64_t bytes : program.weight_slots) {
    if (bytes < 0 || bytes > int64_t{1} << 46)
      return DataLoss("a weight slot of ", bytes, " bytes");
  }
  for (const Buffer& buffer : program.buffers) RLX_TRY(checker.CheckBuffer(buffer));
  RLX_TRY(checker.CheckSteps(program.steps));
  checker.weights = true;
  return checker.CheckSteps(program.weight_steps);
}

}  // namespace rlx::wire
