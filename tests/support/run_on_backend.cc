// SPDX-License-Identifier: Apache-2.0
#include "tests/support/run_on_backend.h"

#include "runtime/base/status.h"

namespace rlx::test {
namespace {

absl::StatusOr<std::vector<SharedBytes>> BytesOf(const std::vector<device::TensorSpec>& specs,
                                                 const TensorMap& tensors) {
  std::vector<SharedBytes> out;
  for (const device::TensorSpec& spec : specs) {
    const auto it = tensors.find(spec.name);
    if (it == tensors.end()) return NotFound("no tensor \"", spec.name, "\"");
    if (it->second.type() != spec.type) {
      return InvalidArgument("\"", spec.name, "\" is ", ToString(it->second.type()), ", not ",
                             ToString(spec.type));
    }
    out.push_back(it->second.bytes());
  }
  return out;
}

}  // namespace

absl::StatusOr<BackendRunner> BackendRunner::Create(const device::Backend& backend, int threads,
                                                    std::string_view profile) {
  BackendRunner runner;
  runner.backend_ = &backend;
  for (const device::Target& target : backend.Targets()) {
    if (runner.target_.profile.empty() && (profile.empty() || target.profile == profile)) {
      runner.target_ = target;
    }
  }
  if (runner.target_.profile.empty()) return NotFound("no profile \"", profile, "\"");
  std::string why_none;
  const auto devices = backend.Enumerate(why_none);
  if (devices.empty()) return Unavailable(why_none);
  RLX_ASSIGN(runner.device_, backend.Open(devices[0].id, {.threads = threads}));
  return runner;
}

absl::StatusOr<std::vector<HostTensor>> RunProgram(const device::Device& device,
                                                   std::shared_ptr<const device::Program> program,
                                                   const TensorMap& inputs) {
  RLX_ASSIGN(const auto executable, device.Load(program));
  RLX_ASSIGN(const std::vector<SharedBytes> params, BytesOf(program->params, inputs));
  RLX_ASSIGN(const auto weights, executable->BindWeights(params, {}));
  RLX_ASSIGN(const auto context, executable->NewContext());
  RLX_ASSIGN(const std::vector<SharedBytes> arguments, BytesOf(program->inputs, inputs));
  std::vector<std::span<const uint8_t>> in;
  for (const SharedBytes& bytes : arguments) in.push_back(bytes.span());
  std::vector<std::string> results;
  for (const device::TensorSpec& spec : program->outputs) {
    results.emplace_back(static_cast<size_t>(*spec.type.ByteSize()), '\xA5');
  }
  std::vector<std::span<uint8_t>> out;
  for (std::string& bytes : results) {
    out.emplace_back(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size());
  }
  RLX_TRY(context->Run(*weights, in, out, {}));
  std::vector<HostTensor> tensors;
  for (size_t i = 0; i < results.size(); ++i) {
    const TensorType& type = program->outputs[i].type;
    RLX_ASSIGN(HostTensor tensor, HostTensor::Create(type.dtype, type.StaticDims(),
                                                     SharedBytes(std::move(results[i]))));
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace rlx::test
