// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/device/program.h"
#include "runtime/ir/options.h"
#include "runtime/ir/report.h"
#include "runtime/ir/verify.h"

namespace rlx::wire {

// A compiled module as caches keep it: no debug names, reports in canonical node numbers. Needs no
// device to make.
struct Artifact {
  device::Target target;
  FusionTarget fusion_target = FusionTarget::kCpu;
  CompileOptions options;  // as resolved
  LirModule lir;
  bool as_given = false;  // it came as LIR, and passes leave it alone
  FusionReport fusion;
  DispatchReport dispatch;
  std::vector<PassTiming> passes;
  std::map<std::string, double, std::less<>> phase_seconds;
  std::shared_ptr<const device::Program> program;  // null: why_no_program
  std::string why_no_program;
};

// Deterministic: equal artifacts encode to equal bytes.
std::string EncodeArtifact(const Artifact& artifact);

// DataLoss for anything malformed: the graph is verified, and every index, offset and size of the
// program is checked against what it refers to, every launch against its kernel's signature. What a
// call to a back end's routine must give it, that back end checks when it loads the program.
absl::StatusOr<Artifact> DecodeArtifact(std::string_view bytes, const Limits& limits);

// The checks on a program by itself.
absl::Status CheckProgram(const device::Program& program);

}  // namespace rlx::wire
