// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/device/backend.h"
#include "runtime/ir/evaluate.h"
#include "runtime/ir/options.h"

namespace rlx::test {

// A back end with its first device open: compiles graphs through the stages and runs them.
class BackendRunner {
 public:
  // The profile is one of the back end's targets; empty: its first.
  static absl::StatusOr<BackendRunner> Create(const device::Backend& backend, int threads,
                                              std::string_view profile = "");

  // Compiles a static MIR graph for this back end and runs it once; `inputs` gives every input and
  // param by name. Results in output order.
  absl::StatusOr<std::vector<HostTensor>> Run(const Graph& graph, const TensorMap& inputs,
                                              const CompileOptions& options = {}) const;

  const device::Backend& backend() const { return *backend_; }
  const device::Target& target() const { return target_; }
  const device::Device& device() const { return *device_; }

 private:
  const device::Backend* backend_ = nullptr;
  device::Target target_;
  std::shared_ptr<device::Device> device_;
};

// Loads a program on a device, binds params and runs it once.
absl::StatusOr<std::vector<HostTensor>> RunProgram(const device::Device& device,
                                                   std::shared_ptr<const device::Program> program,
                                                   const TensorMap& inputs);

}  // namespace rlx::test
