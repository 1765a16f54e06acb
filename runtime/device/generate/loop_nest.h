// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "runtime/device/program_builder.h"
#include "runtime/kernel/builder.h"

namespace rlx::device {

// How kernels are shaped for a target.
struct Schedule {
  int lanes = 8;          // of a workgroup that walks elements: f32 of one vector, a block of a GPU
  int row_lanes = 0;      // the fewest that walk a row together; 0: as many
  int row_steps = 4;      // that each lane of a wider group would have at least
  int row_registers = 0;  // elements of a row that a lane may keep while it goes over it again
  int64_t subgroup_rows = 0;  // from so many rows on a subgroup takes one, if it can keep it

  int LeastRowLanes() const { return row_lanes > 0 ? row_lanes : lanes; }
  // The workgroup that walks a row of `width` together: up to four times the lanes, so that no sum
  // waits for the one before, and enough steps for each.
  int RowLanes(int64_t width) const {
    int wide = LeastRowLanes();
    while (wide < 4 * lanes && width >= int64_t{2} * row_steps * wide) wide *= 2;
    return wide;
  }
};

// A tensor that a loop nest over `dims` reads or writes: element strides per loop dim, 0 where it
// broadcasts.
struct LoopOperand {
  int32_t buffer = -1;
  DType dtype = DType::kF32;
  std::vector<int64_t> strides;
  int64_t offset = 0;  // elements before the first
};

LoopOperand AsLoopOperand(const ProgramBuilder::Operand& operand,
                          const std::vector<int64_t>& loop_dims);  // right-aligned broadcasting

// Merges neighbouring dims that every operand walks as one, and drops extents of 1. At least one
// dim stays. `strides` holds one list per operand.
void CollapseDims(std::vector<int64_t>& dims, std::span<std::vector<int64_t>*> strides);

// Where the extents, strides and offsets of a nest stand: in the kernel's code, which is the
// faster, or in the launch, so that all nests of one form (rank, dtypes, which strides are 0 or 1)
// are one kernel.
enum class Sizes : uint8_t { kInCode, kInLaunch };

// Emits a kernel that visits every point of `dims`: reads each input there (as its wide type),
// calls `body`, and stores what it returns, one value per output. Contiguous stretches become
// vector loads.
using LoopBody = std::function<std::vector<kernel::Value>(kernel::Builder& b,
                                                          std::span<const kernel::Value> inputs)>;
absl::Status EmitLoopNest(ProgramBuilder& out, const Schedule& schedule, std::vector<int64_t> dims,
                          std::vector<LoopOperand> inputs, std::vector<LoopOperand> outputs,
                          const LoopBody& body, const std::string& label,
                          Sizes sizes = Sizes::kInCode);

// to[i] = from[i] for every point of `from`; `to` says where those lie.
absl::Status EmitCopyInto(ProgramBuilder& out, const Schedule& schedule,
                          const ProgramBuilder::Operand& from, const LoopOperand& to,
                          const std::string& label, Sizes sizes = Sizes::kInCode);

// out[i] = in[i] for a strided input and a dense output of equal extents.
absl::Status EmitStridedCopy(ProgramBuilder& out, const Schedule& schedule,
                             const ProgramBuilder::Operand& from, int32_t to,
                             const std::string& label);

// The operand itself when dense, else a dense copy in scratch.
absl::StatusOr<ProgramBuilder::Operand> Densify(ProgramBuilder& out, const Schedule& schedule,
                                                const ProgramBuilder::Operand& operand);

}  // namespace rlx::device
