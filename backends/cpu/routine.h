// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "runtime/device/program.h"

namespace rlx {
class CancelToken;
class Team;
}  // namespace rlx

namespace rlx::cpu {

struct MathKernels;

// What a Call step gets: its buffers' addresses in step order (null where absent), and scratch of
// the size it asked for. Once `cancel` is done nobody reads what the routine writes: it ends soon,
// by the team's pieces or by looking itself where a piece may take long.
struct RoutineCall {
  const MathKernels& math;
  Team& team;
  const CancelToken& cancel;
  const device::Step& step;
  std::span<void* const> buffers;
  void* scratch = nullptr;

  const float* f32(size_t i) const { return static_cast<const float*>(buffers[i]); }
  float* out_f32(size_t i) const { return static_cast<float*>(buffers[i]); }
};

// The hand-written part of the CPU back end: a closed table of functions that programs call by
// name. The lowering of an op and the routine it calls stand in one file and agree there on what
// the step's ints and floats mean. Routines allocate nothing and may fail only on what data can do
// (an index out of range).
struct Routine {
  std::string_view name;
  // What a step must give it. A letter a buffer: 'r' read, 'w' written, in capitals where it may
  // be absent.
  std::string_view buffers;
  size_t ints = 0, floats = 0;  // at least; exactly where `more_ints` is null
  absl::Status (*run)(const RoutineCall&) = nullptr;
  // Bytes of scratch for teams of up to `threads`; null: none.
  size_t (*scratch)(const MathKernels&, const device::Step&, int threads) = nullptr;
  // How many ints follow the first; null: none.
  int64_t (*more_ints)(const device::Step&) = nullptr;
};

const Routine* FindRoutine(std::string_view name);

// DataLoss when a step of a program does not give its routine what the row says, or has it write
// where it reads: an artifact is not trusted to call what it names as it should.
absl::Status CheckCall(const device::Program& program, const device::Step& step,
                       const Routine& routine);

// One list per file of lowering/.
std::span<const Routine> GemmRoutines();
std::span<const Routine> IntGemmRoutines();
std::span<const Routine> DequantGemmRoutines();
std::span<const Routine> AttentionRoutines();
std::span<const Routine> ConcatRoutines();
std::span<const Routine> ConvRoutines();
std::span<const Routine> ConvRowsRoutines();
std::span<const Routine> GatherRoutines();
std::span<const Routine> TopKRoutines();
std::span<const Routine> DequantizeRoutines();
std::span<const Routine> SampleRoutines();
std::span<const Routine> LinearAlgebraRoutines();
std::span<const Routine> ComplexRoutines();
std::span<const Routine> RecurrenceRoutines();
std::span<const Routine> ScatterRoutines();

}  // namespace rlx::cpu
