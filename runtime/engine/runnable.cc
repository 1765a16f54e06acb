// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/runnable.h"

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "runtime/device/params_read.h"
#include "runtime/engine/weight_digest.h"

namespace rlx::engine {
namespace {

using device::Program;
using device::Step;

Digest256 WeightKey(const CompiledModule& module, const device::Device& device,
                    const OrderedWeights& weights) {
  FieldHasher key;
  key.Add(device.info().id).Add(WeightProgramDigest(*module.artifact.program));
  const std::vector<IoEntry>& declared = module.artifact.lir.plan.params;
  for (size_t i = 0; i < declared.size(); ++i) key.Add(declared[i].name).Add(weights.sources[i]);
  return key.Finish();
}

// Bytes of the params that runs read as they are: the others are there while weights are bound.
int64_t ParamBytesRead(const Program& program) {
  const std::vector<bool> read = device::ParamsRead(program, program.steps);
  int64_t bytes = 0;
  for (size_t i = 0; i < read.size(); ++i) {
    if (read[i]) bytes += program.params[i].type.ByteSize().value_or(0);
  }
  return bytes;
}

std::vector<TracedStep> InWords(const std::vector<device::StepTime>& times,
                                const Program& program) {
  std::vector<TracedStep> out;
  for (const device::StepTime& time : times) {
    const Step& step = *time.step;
    out.push_back({.label = step.label,
                   .kind = device::Name(step.kind),
                   .what = step.kernel >= 0 ? program.kernels[step.kernel].name : step.routine,
                   .start = time.start - times.front().start,
                   .seconds = time.end - time.start});
  }
  return out;
}

// The weights of a module in the order of its program's params, which have the same names.
absl::StatusOr<std::vector<SharedBytes>> InProgramOrder(const CompiledModule& module,
                                                        const OrderedWeights& weights) {
  const std::vector<IoEntry>& declared = module.artifact.lir.plan.params;
  const std::vector<device::TensorSpec>& params = module.artifact.program->params;
  std::map<std::string_view, size_t> places;
  for (size_t i = 0; i < declared.size(); ++i) places.emplace(declared[i].name, i);
  std::vector<SharedBytes> out;
  for (const device::TensorSpec& param : params) {
    const auto place = places.find(param.name);
    if (place == places.end()) return Internal("the program has a param \"", param.name, "\" more");
    out.push_back(weights.bytes[place->second]);
  }
  return out;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const device::Executable>> Loader::Executable(
    const ModulePtr& module, const device::Device& device) {
  std::lock_guard lock(mutex_);
  std::erase_if(loaded_, [](const auto& entry) { return entry.second.expired(); });
  auto& place = loaded_[{module->key, device.info().id}];
  std::shared_ptr<const device::Executable> executable = place.lock();
  if (executable == nullptr) {
    RLX_ASSIGN(executable, device.Load(module->artifact.program));
    place = executable;
  }
  return executable;
}

absl::StatusOr<Loader::Loaded> Loader::Load(const ModulePtr& module, const device::Device& device,
                                            const OrderedWeights& weights, int max_contexts,
                                            const CancelToken& cancel) {
  if (max_contexts == 0) max_contexts = max_contexts_;
  const Program& program = *module->artifact.program;
  RLX_ASSIGN(std::shared_ptr<const device::Executable> executable, Executable(module, device));
  RLX_ASSIGN(const std::vector<SharedBytes> params, InProgramOrder(*module, weights));
  int64_t slots = 0;
  for (int64_t bytes : program.weight_slots) slots += bytes;
  const auto bind = [&]() -> absl::StatusOr<WeightSet> {
    WeightSet set;
    // What binding needs beside the result counts as long as it takes.
    RLX_ASSIGN(set.memory, memory_.Reserve(slots + program.weight_arena_bytes));
    RLX_ASSIGN(set.weights, executable->BindWeights(params, cancel));
    set.memory.Resize(set.weights->bytes() + weights.inline_bytes);
    return set;
  };
  RLX_ASSIGN(WeightTable::Bound bound,
             weights_.Get(WeightKey(*module, device, weights), bind, cancel));
  const int64_t weight_bytes = bound.use.weights().bytes() + ParamBytesRead(program);
  auto runnable = std::shared_ptr<Runnable>(
      new Runnable{.module = module,
                   .executable = executable,
                   .weights = std::move(bound.use),
                   .weight_bytes = weight_bytes,
                   .contexts = ContextPool(executable, max_contexts, memory_, contexts_)});
  RLX_TRY(runnable->contexts.Acquire(cancel).status());
  return Loaded{std::move(runnable), bound.shared};
}

absl::StatusOr<RunTiming> Loader::Runnable::Run(std::span<const std::span<const uint8_t>> inputs,
                                                const std::vector<size_t>& wanted,
                                                OutputMemory memory, const CancelToken& cancel,
                                                std::vector<TracedStep>* trace, RunStage& stage) {
  const double began = MonotonicSeconds();
  stage = RunStage::kQueue;
  RLX_ASSIGN(ContextPool::Lease lease, contexts.Acquire(cancel));
  const double acquired = MonotonicSeconds();
  stage = RunStage::kCompute;
  const std::vector<device::TensorSpec>& specs = executable->program().outputs;
  thread_local std::vector<std::span<uint8_t>> outputs;  // kept: a warm run allocates nothing
  outputs.assign(specs.size(), {});
  for (size_t i = 0; i < wanted.size(); ++i) {
    const device::TensorSpec& spec = specs[wanted[i]];
    const size_t bytes = static_cast<size_t>(spec.type.ByteSize().value_or(0));
    uint8_t* const place = memory({i, spec.name, spec.type, bytes});
    if (place == nullptr) {
      return ResourceExhausted("output \"", spec.name, "\" has ", bytes, " bytes");
    }
    outputs[wanted[i]] = {place, bytes};
  }
  for (size_t i = 0; i < specs.size(); ++i) {
    if (outputs[i].data() != nullptr) continue;
    std::string& spare = lease->spare[i];
    const auto bytes = static_cast<size_t>(specs[i].type.ByteSize().value_or(0));
    try {  // what the standard library says of too large a size
      spare.resize(bytes);
    } catch (const std::exception&) {
      return ResourceExhausted("no memory for output \"", specs[i].name, "\" of ", bytes, " bytes");
    }
    outputs[i] = {reinterpret_cast<uint8_t*>(spare.data()), spare.size()};
  }
  RLX_TRY(Execute(*lease->context, inputs, outputs, cancel, trace));
  return RunTiming{acquired - began, MonotonicSeconds() - acquired};
}

absl::Status Loader::Runnable::Execute(device::ExecContext& context,
                                       std::span<const std::span<const uint8_t>> inputs,
                                       std::span<const std::span<uint8_t>> outputs,
                                       const CancelToken& cancel,
                                       std::vector<TracedStep>* trace) const {
  if (trace == nullptr) return context.Run(weights.weights(), inputs, outputs, cancel);
  std::vector<device::StepTime> times;
  RLX_TRY(context.RunTraced(weights.weights(), inputs, outputs, cancel, times));
  *trace = InWords(times, executable->program());
  return absl::OkStatus();
}

}  // namespace rlx::engine
