// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/engine/targets.h"
#include "runtime/stages/explain.h"

namespace rlx::engine {

// One kernel in one language.
struct KernelSource {
  std::string kernel;    // "k3"
  std::string language;  // "kernel-ir", "llvm-ir", "x86-64-assembly"
  std::string text;
  std::string label;  // what its first step computes
};

struct Explained {
  stages::Explanation what;
  device::Target target;
  CompileOptions options;             // as resolved, every field set
  std::vector<KernelSource> kernels;  // as kernel IR, by number
};

struct Exported {
  device::Target target;
  FusionTarget fusion_target = FusionTarget::kCpu;
  std::vector<KernelSource> kernels;  // by number, each from high to low
};

// See Engine::Explain and Engine::ExportSource.
absl::StatusOr<Explained> RunExplain(const CompileSpec& spec, const EngineOptions& engine,
                                     const Targets& targets, const CancelToken& cancel,
                                     FusionReport* misses);
absl::StatusOr<Exported> RunExport(const CompileSpec& spec, const EngineOptions& engine,
                                   const Targets& targets, const std::set<std::string>& languages,
                                   const CancelToken& cancel, FusionReport* misses);

}  // namespace rlx::engine
