// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "backends/cuda/object.h"
#include "backends/cuda/run_memory.h"
#include "backends/cuda/run_steps.h"

namespace rlx::cuda {

// Where each storage begins while steps run; null: of no use in this phase.
struct Places {
  CUdeviceptr arena = 0, faults = 0;
  std::span<const CUdeviceptr> inputs, outputs, params, slots;
};

// A program's code and constants on a device. Immutable and thread safe.
class LoadedProgram {
 public:
  static absl::StatusOr<std::unique_ptr<LoadedProgram>> Load(
      std::shared_ptr<const Gpu> gpu, std::shared_ptr<const device::Program> program);
  ~LoadedProgram();
  LoadedProgram(const LoadedProgram&) = delete;
  LoadedProgram& operator=(const LoadedProgram&) = delete;

  const std::shared_ptr<const Gpu>& gpu() const { return gpu_; }
  const device::Program& program() const { return *program_; }
  std::span<const Prepared> steps() const { return steps_; }
  std::span<const Prepared> weight_steps() const { return weight_steps_; }
  int64_t workspace_bytes() const { return workspace_bytes_; }
  bool ReadsParam(size_t position) const { return params_read_[position]; }

  // Addresses of all buffers, by number.
  std::vector<CUdeviceptr> Resolve(const Places& places) const;

  // The words in which steps say that data made them fail.
  int64_t fault_bytes() const { return static_cast<int64_t>(4 * faults_.size()); }
  // InvalidArgument with the label of the first step whose word is not 0.
  absl::Status CheckFaults(const int32_t* words) const;

 private:
  LoadedProgram(std::shared_ptr<const Gpu> gpu, std::shared_ptr<const device::Program> program)
      : gpu_(std::move(gpu)), program_(std::move(program)) {}

  struct Code {
    CUfunction function = nullptr;
    int lanes = 1;
    LaunchNotes notes = {};
  };

  absl::Status LoadCode();
  absl::Status LoadKernel(const ObjectPart::Entry& entry, CUmodule module, Code& code) const;
  absl::Status LoadConstants();
  absl::Status Prepare(const std::vector<device::Step>& steps, std::vector<Prepared>& out);
  absl::Status PrepareLaunch(const device::Step& step, Prepared& out) const;
  absl::Status PrepareCall(const device::Step& step, Prepared& out);

  struct FaultWord {
    int32_t buffer;
    const device::Step* step;
  };

  std::shared_ptr<const Gpu> gpu_;
  std::shared_ptr<const device::Program> program_;
  std::vector<CUmodule> modules_;
  std::vector<Code> kernels_;  // by Step::kernel
  Memory constants_;
  Strip constant_places_;
  std::vector<Prepared> weight_steps_, steps_;
  std::vector<FaultWord> faults_;
  std::vector<bool> params_read_;
  int64_t workspace_bytes_ = 0;
};

}  // namespace rlx::cuda
