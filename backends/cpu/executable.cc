// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/executable.h"

#include <cstring>

#include "backends/cpu/aligned_memory.h"
#include "backends/cpu/codegen/codegen.h"
#include "backends/cpu/routine.h"
#include "backends/cpu/run_steps.h"
#include "runtime/base/check.h"
#include "runtime/base/status.h"
#include "runtime/device/params_read.h"

namespace rlx::cpu {
namespace {

using device::Buffer;
using device::Program;
using device::Step;

// A run that costs less than this many nanoseconds in all leases nobody.
constexpr double kTinyRunNanos = 20'000;
constexpr double kFlopsPerNano = 20, kBytesPerNano = 8;

// Bytes aligned as their elements need: the same, or a copy.
absl::StatusOr<SharedBytes> Aligned(const SharedBytes& bytes) {
  if (reinterpret_cast<uintptr_t>(bytes.data()) % 8 == 0) return bytes;
  RLX_ASSIGN(AlignedMemory memory, AlignedMemory::Allocate(static_cast<int64_t>(bytes.size())));
  std::memcpy(memory.data(), bytes.data(), bytes.size());
  auto owner = std::make_shared<AlignedMemory>(std::move(memory));
  return SharedBytes(owner, owner->data(), bytes.size());
}

class CpuWeights final : public device::Weights {
 public:
  int64_t bytes() const override {
    int64_t total = 0;
    for (const AlignedMemory& slot : slots) total += slot.bytes();
    return total;
  }

  std::vector<SharedBytes> params;
  std::vector<bool> dropped;  // by param: its bytes are gone, being packed or never read
  std::vector<AlignedMemory> slots;
};

class CpuExecutable final : public device::Executable,
                            public std::enable_shared_from_this<CpuExecutable> {
 public:
  CpuExecutable(std::shared_ptr<const Program> program, const Host& host)
      : program_(std::move(program)), host_(host) {}

  absl::Status Load() {
    if (!program_->kernels.empty()) {
      RLX_ASSIGN(code_, LoadedObject::Load(program_->object));
    }
    for (const HostTensor& constant : program_->constants) {
      RLX_ASSIGN(SharedBytes aligned, Aligned(constant.bytes()));
      constants_.push_back(std::move(aligned));
    }
    RLX_TRY(Prepare(program_->weight_steps, weight_steps_));
    RLX_TRY(Prepare(program_->steps, steps_));
    for (const Step& step : program_->weight_steps) {
      FindParams(step, weight_step_params_.emplace_back());
    }
    tiny_ = Nanos(program_->steps) < kTinyRunNanos;
    params_read_ = device::ParamsRead(*program_, program_->steps);
    return absl::OkStatus();
  }

  const Program& program() const override { return *program_; }

  absl::StatusOr<std::shared_ptr<const device::Weights>> BindWeights(
      std::span<const SharedBytes> params, const CancelToken& cancel) const override;
  absl::StatusOr<std::unique_ptr<device::ExecContext>> NewContext() const override;

  // Addresses of all buffers that a phase can use; the others stay null.
  struct Places {
    const CpuWeights* weights = nullptr;
    std::byte* arena = nullptr;
    std::span<const std::span<const uint8_t>> inputs;
    std::span<const std::span<uint8_t>> outputs;
  };
  void Resolve(const Places& places, std::span<void*> addresses) const {
    for (size_t b = 0; b < addresses.size(); ++b) {
      const Buffer& buffer = program_->buffers[b];
      std::byte* base = Base(buffer, places);
      addresses[b] = base == nullptr ? nullptr : base + buffer.offset;
    }
  }

  // Internal where the weights lack a param that a run reads: bound for another program.
  absl::Status CheckHolds(const CpuWeights& weights) const {
    if (weights.params.size() != params_read_.size() ||
        weights.slots.size() != program_->weight_slots.size()) {
      return Internal("the weights are bound for another program");
    }
    for (size_t p = 0; p < params_read_.size(); ++p) {
      if (params_read_[p] && weights.dropped[p]) {
        return Internal("the bound weights lack param \"", program_->params[p].name, "\"");
      }
    }
    return absl::OkStatus();
  }

  const Host& host() const { return host_; }
  bool tiny() const { return tiny_; }
  std::span<const Prepared> steps() const { return steps_; }
  size_t most_buffers() const { return most_buffers_; }
  int64_t routine_scratch() const { return static_cast<int64_t>(routine_scratch_); }

 private:
  std::byte* Base(const Buffer& buffer, const Places& places) const {
    const auto writable = [](const void* p) {
      return static_cast<std::byte*>(const_cast<void*>(p));
    };
    switch (buffer.storage) {
      case Storage::kArena:
        return places.arena;
      case Storage::kConstant:
        return writable(constants_[buffer.index].data());
      case Storage::kParam:
        return writable(places.weights->params[buffer.index].data());
      case Storage::kWeight:
        return places.weights->slots[buffer.index].data();
      case Storage::kInput:
        return places.inputs.empty() ? nullptr : writable(places.inputs[buffer.index].data());
      case Storage::kOutput:
        return places.outputs.empty() ? nullptr : writable(places.outputs[buffer.index].data());
      default:
        return nullptr;
    }
  }

  absl::Status Prepare(const std::vector<Step>& steps, std::vector<Prepared>& out) {
    for (const Step& step : steps) {
      Prepared& prepared = out.emplace_back(Prepared{.step = &step});
      most_buffers_ = std::max(most_buffers_, step.buffers.size());
      if (step.kind == Step::Kind::kLaunch) {
        prepared.kernel = code_->Find(program_->kernels[step.kernel].name);
        if (prepared.kernel == nullptr) {
          return DataLoss("the object lacks kernel ", program_->kernels[step.kernel].name);
        }
      } else if (step.kind == Step::Kind::kCall) {
        prepared.routine = FindRoutine(step.routine);
        if (prepared.routine == nullptr) return DataLoss("unknown routine \"", step.routine, "\"");
        RLX_TRY(CheckCall(*program_, step, *prepared.routine));
        if (prepared.routine->scratch != nullptr) {
          routine_scratch_ = std::max(routine_scratch_,
                                      prepared.routine->scratch(*host_.math, step, host_.threads));
        }
      }
      if (step.kind == Step::Kind::kCopy) {
        prepared.copy_bytes = program_->buffers[step.buffers[1]].bytes;
      }
      for (const auto& body : step.bodies) RLX_TRY(Prepare(body, prepared.bodies.emplace_back()));
    }
    return absl::OkStatus();
  }

  // Buffers that are params and that a step or its bodies read.
  void FindParams(const Step& step, std::vector<int32_t>& out) const {
    for (int32_t number : step.buffers) {
      if (number >= 0 && program_->buffers[number].storage == Storage::kParam) {
        out.push_back(number);
      }
    }
    for (const std::vector<Step>& body : step.bodies) {
      for (const Step& inner : body) FindParams(inner, out);
    }
  }

  absl::Status CheckSizes(std::span<const SharedBytes> params) const;
  absl::Status RunWeightSteps(std::span<const SharedBytes> given, CpuWeights& weights,
                              const Frame& frame, const CancelToken& cancel) const;

  // A step's cost is that of its bodies too.
  static double Nanos(const std::vector<Step>& steps) {
    double nanos = 0;
    for (const Step& step : steps) {
      nanos += static_cast<double>(step.cost_flops) / kFlopsPerNano +
               static_cast<double>(step.cost_bytes) / kBytesPerNano;
    }
    return nanos;
  }

  std::shared_ptr<const Program> program_;
  Host host_;
  std::unique_ptr<LoadedObject> code_;
  std::vector<SharedBytes> constants_;  // the program's, aligned
  std::vector<Prepared> weight_steps_, steps_;
  size_t most_buffers_ = 0;
  size_t routine_scratch_ = 0;
  bool tiny_ = false;
  std::vector<bool> params_read_;  // by a run; the others are only packed when weights are bound
  std::vector<std::vector<int32_t>> weight_step_params_;  // FindParams of each
};

class CpuContext final : public device::ExecContext {
 public:
  explicit CpuContext(std::shared_ptr<const CpuExecutable> executable)
      : executable_(std::move(executable)),
        addresses_(executable_->program().buffers.size()),
        arguments_(executable_->most_buffers()),
        in_(executable_->program().inputs.size()),
        out_(executable_->program().outputs.size()),
        in_staging_(in_.size()),
        out_staging_(out_.size()) {}

  absl::Status Allocate() {
    const Program& program = executable_->program();
    RLX_ASSIGN(arena_, AlignedMemory::Allocate(program.arena_bytes + program.scratch_bytes));
    RLX_ASSIGN(scratch_, AlignedMemory::Allocate(executable_->routine_scratch()));
    return absl::OkStatus();
  }

  absl::Status Run(const device::Weights& weights, std::span<const std::span<const uint8_t>> inputs,
                   std::span<const std::span<uint8_t>> outputs,
                   const CancelToken& cancel) override {
    return Execute(weights, inputs, outputs, cancel, nullptr);
  }

  absl::Status RunTraced(const device::Weights& weights,
                         std::span<const std::span<const uint8_t>> inputs,
                         std::span<const std::span<uint8_t>> outputs, const CancelToken& cancel,
                         std::vector<device::StepTime>& trace) override {
    trace.clear();
    return Execute(weights, inputs, outputs, cancel, &trace);
  }

  int64_t bytes() const override {
    int64_t total = arena_.bytes() + scratch_.bytes();
    for (const AlignedMemory& m : in_staging_) total += m.bytes();
    for (const AlignedMemory& m : out_staging_) total += m.bytes();
    return total;
  }

 private:
  absl::Status Execute(const device::Weights& weights,
                       std::span<const std::span<const uint8_t>> inputs,
                       std::span<const std::span<uint8_t>> outputs, const CancelToken& cancel,
                       std::vector<device::StepTime>* trace) {
    CHECK(inputs.size() == in_.size() && outputs.size() == out_.size(), "a run with ",
          inputs.size(), " inputs and ", outputs.size(), " outputs");
    const auto& bound = static_cast<const CpuWeights&>(weights);
    RLX_TRY(executable_->CheckHolds(bound));
    RLX_TRY(StageInputs(inputs));
    RLX_TRY(StageOutputs(outputs));
    executable_->Resolve({&bound, arena_.data(), in_, out_}, addresses_);
    const Host& host = executable_->host();
    Team team = executable_->tiny() ? Team() : host.pool->Lease(host.threads);
    team.Obey(cancel);
    RLX_TRY(RunSteps(executable_->steps(),
                     {*host.math, team, addresses_, arguments_, scratch_.data(), trace}, cancel));
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (out_[i].data() == outputs[i].data()) continue;
      std::memcpy(outputs[i].data(), out_[i].data(), outputs[i].size());
    }
    return absl::OkStatus();
  }

  static bool IsAligned(const void* data, DType dtype) {
    const auto width = static_cast<uintptr_t>(dtype == DType::kC64 ? 4 : ByteWidth(dtype));
    return reinterpret_cast<uintptr_t>(data) % width == 0;
  }

  absl::Status StageInputs(std::span<const std::span<const uint8_t>> inputs) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      in_[i] = inputs[i];
      if (IsAligned(inputs[i].data(), executable_->program().inputs[i].type.dtype)) continue;
      RLX_TRY(Grow(in_staging_[i], inputs[i].size()));
      std::memcpy(in_staging_[i].data(), inputs[i].data(), inputs[i].size());
      in_[i] = {reinterpret_cast<const uint8_t*>(in_staging_[i].data()), inputs[i].size()};
    }
    return absl::OkStatus();
  }

  absl::Status StageOutputs(std::span<const std::span<uint8_t>> outputs) {
    for (size_t i = 0; i < outputs.size(); ++i) {
      out_[i] = outputs[i];
      if (IsAligned(outputs[i].data(), executable_->program().outputs[i].type.dtype)) continue;
      RLX_TRY(Grow(out_staging_[i], outputs[i].size()));
      out_[i] = {reinterpret_cast<uint8_t*>(out_staging_[i].data()), outputs[i].size()};
    }
    return absl::OkStatus();
  }

  static absl::Status Grow(AlignedMemory& memory, size_t bytes) {
    if (memory.data() != nullptr) return absl::OkStatus();
    RLX_ASSIGN(memory, AlignedMemory::Allocate(static_cast<int64_t>(bytes)));
    return absl::OkStatus();
  }

  std::shared_ptr<const CpuExecutable> executable_;
  AlignedMemory arena_, scratch_;
  std::vector<void*> addresses_, arguments_;
  std::vector<std::span<const uint8_t>> in_;
  std::vector<std::span<uint8_t>> out_;
  std::vector<AlignedMemory> in_staging_, out_staging_;
};

absl::Status CpuExecutable::CheckSizes(std::span<const SharedBytes> params) const {
  CHECK(params.size() == program_->params.size(), params.size(), " weights for ",
        program_->params.size(), " params");
  for (size_t p = 0; p < params.size(); ++p) {
    const device::TensorSpec& spec = program_->params[p];
    const int64_t bytes = spec.type.ByteSize().value_or(0);
    if (static_cast<int64_t>(params[p].size()) != bytes) {
      return Internal("param \"", spec.name, "\" has ", bytes, " bytes, ", params[p].size(),
                      " are bound");
    }
  }
  return absl::OkStatus();
}

// A param is taken, which may copy it, before the first step that reads it, and let go behind the
// last unless runs read it: at no time are there two copies of all of them.
absl::Status CpuExecutable::RunWeightSteps(std::span<const SharedBytes> given, CpuWeights& weights,
                                           const Frame& frame, const CancelToken& cancel) const {
  std::vector<int64_t> readers(given.size());
  for (const std::vector<int32_t>& buffers : weight_step_params_) {
    for (int32_t number : buffers) ++readers[program_->buffers[number].index];
  }
  for (size_t s = 0; s < weight_steps_.size(); ++s) {
    for (int32_t number : weight_step_params_[s]) {
      const Buffer& buffer = program_->buffers[number];
      SharedBytes& param = weights.params[buffer.index];
      if (param.data() == nullptr) {
        RLX_ASSIGN(param, Aligned(given[buffer.index]));
      }
      frame.addresses[number] = Base(buffer, {.weights = &weights}) + buffer.offset;
    }
    RLX_TRY(RunSteps({&weight_steps_[s], 1}, frame, cancel));
    for (int32_t number : weight_step_params_[s]) {
      const auto p = static_cast<size_t>(program_->buffers[number].index);
      if (--readers[p] == 0 && !params_read_[p]) weights.params[p] = SharedBytes();
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const device::Weights>> CpuExecutable::BindWeights(
    std::span<const SharedBytes> params, const CancelToken& cancel) const {
  RLX_TRY(CheckSizes(params));
  auto weights = std::make_shared<CpuWeights>();
  weights->params.resize(params.size());
  for (int64_t bytes : program_->weight_slots) {
    RLX_ASSIGN(AlignedMemory slot, AlignedMemory::Allocate(bytes));
    weights->slots.push_back(std::move(slot));
  }
  RLX_ASSIGN(const AlignedMemory arena, AlignedMemory::Allocate(program_->weight_arena_bytes));
  RLX_ASSIGN(const AlignedMemory scratch, AlignedMemory::Allocate(routine_scratch()));
  std::vector<void*> addresses(program_->buffers.size()), arguments(most_buffers_);
  Resolve({.weights = weights.get(), .arena = arena.data()}, addresses);
  Team team = host_.pool->Lease(host_.threads);
  team.Obey(cancel);
  RLX_TRY(RunWeightSteps(params, *weights,
                         {*host_.math, team, addresses, arguments, scratch.data()}, cancel));
  weights->dropped = params_read_;
  weights->dropped.flip();
  for (size_t p = 0; p < params_read_.size(); ++p) {
    if (params_read_[p] && weights->params[p].data() == nullptr) {
      RLX_ASSIGN(weights->params[p], Aligned(params[p]));
    }
  }
  return weights;
}

absl::StatusOr<std::unique_ptr<device::ExecContext>> CpuExecutable::NewContext() const {
  auto context = std::make_unique<CpuContext>(shared_from_this());
  RLX_TRY(context->Allocate());
  return context;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const device::Executable>> LoadExecutable(
    std::shared_ptr<const Program> program, const Host& host) {
  auto executable = std::make_shared<CpuExecutable>(std::move(program), host);
  RLX_TRY(executable->Load());
  return executable;
}

}  // namespace rlx::cpu
