// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backends/cuda/launch_notes.h"

namespace rlx::cuda {

// The compiled kernels of a program, as they lie in Program::object: a cubin after the other, each
// with the names of its kernels, the lanes of their workgroups and what else their launches take.
struct ObjectPart {
  struct Entry {
    std::string name;
    int lanes = 1;
    LaunchNotes notes = {};
  };
  std::vector<Entry> kernels;
  std::string cubin;
};

std::string WriteObject(const std::vector<ObjectPart>& parts);
// DataLoss for what WriteObject did not make. The code itself is the driver's to judge.
absl::StatusOr<std::vector<ObjectPart>> ReadObject(std::string_view object);

}  // namespace rlx::cuda
