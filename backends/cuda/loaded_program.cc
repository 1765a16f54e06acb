// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/loaded_program.h"

#include <limits>
#include <map>

#include "backends/cuda/call.h"
#include "runtime/base/status.h"

namespace rlx::cuda {

using device::Buffer;
using device::Program;
using device::Step;

absl::StatusOr<std::unique_ptr<LoadedProgram>> LoadedProgram::Load(
    std::shared_ptr<const Gpu> gpu, std::shared_ptr<const Program> program) {
  std::unique_ptr<LoadedProgram> loaded(new LoadedProgram(std::move(gpu), std::move(program)));
  RLX_TRY(loaded->gpu_->Enter());
  RLX_TRY(loaded->LoadCode());
  RLX_TRY(loaded->LoadConstants());
  RLX_TRY(loaded->Prepare(loaded->program_->weight_steps, loaded->weight_steps_));
  RLX_TRY(loaded->Prepare(loaded->program_->steps, loaded->steps_));
  loaded->params_read_.resize(loaded->program_->params.size());
  for (const Step& step : loaded->program_->steps) {
    for (int32_t b : step.buffers) {
      if (b < 0) continue;
      const Buffer& buffer = loaded->program_->buffers[b];
      if (buffer.storage == Storage::kParam) loaded->params_read_[buffer.index] = true;
    }
  }
  return loaded;
}

LoadedProgram::~LoadedProgram() {
  if (!gpu_->Enter().ok()) return;
  for (CUmodule module : modules_) gpu_->driver().cuModuleUnload(module);
}

absl::Status LoadedProgram::LoadCode() {
  const Driver& driver = gpu_->driver();
  RLX_ASSIGN(const std::vector<ObjectPart> parts, ReadObject(program_->object));
  std::map<std::string, Code, std::less<>> by_name;
  for (const ObjectPart& part : parts) {
    CUmodule module = nullptr;
    RLX_TRY(gpu_->Check(driver.cuModuleLoadData(&module, part.cubin.data()), "cannot load code"));
    modules_.push_back(module);
    for (const ObjectPart::Entry& entry : part.kernels) {
      RLX_TRY(LoadKernel(entry, module, by_name[entry.name]));
    }
  }
  for (const device::KernelEntry& kernel : program_->kernels) {
    const auto it = by_name.find(kernel.name);
    if (it == by_name.end()) return DataLoss("the object lacks kernel ", kernel.name);
    kernels_.push_back(it->second);
  }
  return absl::OkStatus();
}

absl::Status LoadedProgram::LoadKernel(const ObjectPart::Entry& entry, CUmodule module,
                                       Code& code) const {
  constexpr int64_t kUsual = 48 << 10;  // of shared memory, for which no kernel has to ask
  const Driver& driver = gpu_->driver();
  code.lanes = entry.lanes;
  code.notes = entry.notes;
  RLX_TRY(gpu_->Check(driver.cuModuleGetFunction(&code.function, module, entry.name.c_str()),
                      entry.name));
  if (!entry.notes.maps.empty() && driver.cuTensorMapEncodeTiled == nullptr) {
    return Unavailable(entry.name, " takes a driver of CUDA 12.0 or later");
  }
  if (entry.notes.shared_bytes <= kUsual) return absl::OkStatus();
  return gpu_->Check(
      driver.cuFuncSetAttribute(code.function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                static_cast<int>(entry.notes.shared_bytes)),
      entry.name);
}

absl::Status LoadedProgram::LoadConstants() {
  for (const HostTensor& constant : program_->constants) {
    constant_places_.Append(static_cast<int64_t>(constant.bytes().size()));
  }
  if (constant_places_.bytes == 0) return absl::OkStatus();
  RLX_ASSIGN(constants_, Memory::Allocate(gpu_, Memory::Kind::kDevice, constant_places_.bytes));
  RLX_ASSIGN(const Stream stream, Stream::Create(gpu_));
  RLX_ASSIGN(Upload upload, Upload::Begin(gpu_, stream.get()));
  for (size_t i = 0; i < program_->constants.size(); ++i) {
    const auto to = constants_.address() + static_cast<CUdeviceptr>(constant_places_.offsets[i]);
    RLX_TRY(upload.Copy(to, program_->constants[i].bytes().span()));
  }
  return stream.Wait();
}

absl::Status LoadedProgram::Prepare(const std::vector<Step>& steps, std::vector<Prepared>& out) {
  for (const Step& step : steps) {
    Prepared& prepared = out.emplace_back();
    prepared.step = &step;
    switch (step.kind) {
      case Step::Kind::kLaunch:
        RLX_TRY(PrepareLaunch(step, prepared));
        break;
      case Step::Kind::kCall:
        RLX_TRY(PrepareCall(step, prepared));
        break;
      case Step::Kind::kCopy:
        prepared.copy_bytes = program_->buffers[step.buffers[1]].bytes;
        break;
      default:
        return DataLoss("step \"", step.label, "\" is a ", Name(step.kind),
                        ", which this device does not run");
    }
  }
  return absl::OkStatus();
}

absl::Status LoadedProgram::PrepareLaunch(const Step& step, Prepared& out) const {
  if (step.groups > std::numeric_limits<int32_t>::max()) {
    return FailedPrecondition("step \"", step.label, "\" takes ", step.groups,
                              " workgroups, more than a grid has");
  }
  out.function = kernels_[step.kernel].function;
  out.lanes = kernels_[step.kernel].lanes;
  out.notes = kernels_[step.kernel].notes;
  for (const TensorMap& map : out.notes.maps) {
    const auto bytes = map.Bytes();
    const auto b = static_cast<size_t>(map.buffer);
    if (!bytes || b >= step.buffers.size() || step.buffers[b] < 0 ||
        *bytes > program_->buffers[step.buffers[b]].bytes) {
      return DataLoss("step \"", step.label, "\" maps more than its buffer");
    }
  }
  return absl::OkStatus();
}

absl::Status LoadedProgram::PrepareCall(const Step& step, Prepared& out) {
  if (step.routine == kMatMulRoutine) {
    RLX_ASSIGN(out.product, MatMul::Prepare(gpu_, *program_, step));
    workspace_bytes_ = MatMul::kWorkspaceBytes;
    return absl::OkStatus();
  }
  if (step.routine != kFaultRoutine) return DataLoss("unknown routine \"", step.routine, "\"");
  if (step.buffers.size() != 1 || step.buffers[0] < 0 ||
      program_->buffers[step.buffers[0]].storage != Storage::kArena ||
      program_->buffers[step.buffers[0]].bytes != 4) {
    return DataLoss("step \"", step.label, "\" has no word for faults");
  }
  faults_.push_back({step.buffers[0], &step});
  return absl::OkStatus();
}

std::vector<CUdeviceptr> LoadedProgram::Resolve(const Places& places) const {
  const auto base = [&](const Buffer& buffer) -> CUdeviceptr {
    const auto at = [&](std::span<const CUdeviceptr> list) {
      return list.empty() ? 0 : list[buffer.index];
    };
    switch (buffer.storage) {
      case Storage::kArena:
        return places.arena;
      case Storage::kConstant:
        return constants_.address() +
               static_cast<CUdeviceptr>(constant_places_.offsets[buffer.index]);
      case Storage::kParam:
        return at(places.params);
      case Storage::kWeight:
        return at(places.slots);
      case Storage::kInput:
        return at(places.inputs);
      case Storage::kOutput:
        return at(places.outputs);
      default:
        return 0;
    }
  };
  std::vector<CUdeviceptr> addresses;
  for (const Buffer& buffer : program_->buffers) {
    addresses.push_back(base(buffer) + static_cast<CUdeviceptr>(buffer.offset));
  }
  for (size_t f = 0; f < faults_.size(); ++f) {
    addresses[faults_[f].buffer] = places.faults + 4 * f;
  }
  return addresses;
}

absl::Status LoadedProgram::CheckFaults(const int32_t* words) const {
  for (size_t f = 0; f < faults_.size(); ++f) {
    if (words[f] != 0) return InvalidArgument(faults_[f].step->label);
  }
  return absl::OkStatus();
}

}  // namespace rlx::cuda
