// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/engine/context_pool.h"
#include "runtime/engine/module_cache.h"
#include "runtime/engine/session.h"
#include "runtime/engine/signature.h"
#include "runtime/engine/weight_table.h"

namespace rlx::engine {

// What sessions share to become able to run. Thread safe.
class Loader {
 public:
  // Both outlive it and all that it loads.
  Loader(WeightTable& weights, HostMemory& memory, int max_contexts)
      : weights_(weights), memory_(memory), max_contexts_(max_contexts) {}

  // A static module with its weights bound on a device, and a first context made.
  struct Runnable;
  struct Loaded {
    std::shared_ptr<Runnable> runnable;
    bool weights_shared = false;
  };
  // `max_contexts`: concurrent runs; 0: as many as elsewhere.
  absl::StatusOr<Loaded> Load(const ModulePtr& module, const device::Device& device,
                              const OrderedWeights& weights, int max_contexts,
                              const CancelToken& cancel);

  ContextPool::Table& contexts() { return contexts_; }

 private:
  absl::StatusOr<std::shared_ptr<const device::Executable>> Executable(
      const ModulePtr& module, const device::Device& device);

  WeightTable& weights_;
  HostMemory& memory_;
  const int max_contexts_;
  ContextPool::Table contexts_;
  std::mutex mutex_;
  // By module key and device: loaded once as long as a session uses it. Guarded by mutex_.
  std::map<std::pair<Digest256, std::string>, std::weak_ptr<const device::Executable>> loaded_;
};

struct Loader::Runnable {
  ModulePtr module;
  std::shared_ptr<const device::Executable> executable;
  WeightTable::Use weights;
  int64_t weight_bytes = 0;  // of the WeightSet and of params that runs read as they are
  ContextPool contexts;

  // One run; inputs in the program's order, checked. `outputs` are positions among the program's;
  // `trace` as RunSpec's; `stage` says how far it came.
  absl::StatusOr<RunTiming> Run(std::span<const std::span<const uint8_t>> inputs,
                                const std::vector<size_t>& outputs, OutputMemory memory,
                                const CancelToken& cancel, std::vector<TracedStep>* trace,
                                RunStage& stage);
  // The same on one of its contexts, with memory for every output.
  absl::Status Execute(device::ExecContext& context,
                       std::span<const std::span<const uint8_t>> inputs,
                       std::span<const std::span<uint8_t>> outputs, const CancelToken& cancel,
                       std::vector<TracedStep>* trace) const;
};

}  // namespace rlx::engine
