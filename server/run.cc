// SPDX-License-Identifier: Apache-2.0
#include "server/run.h"

#include "runtime/base/fault.h"
#include "runtime/wire/enums.h"
#include "runtime/wire/tensor.h"

namespace rlx::server {
namespace {

absl::StatusOr<engine::NamedInput> InputFromWire(const v1::NamedTensor& from) {
  const v1::Tensor& tensor = from.tensor();
  const absl::Status checked = wire::CheckTensor(tensor);
  if (!checked.ok()) return Annotate(checked, "input \"", from.name(), "\"");
  return engine::NamedInput{
      .name = from.name(),
      .dtype = *wire::FromWire(tensor.dtype()),
      .dims = {tensor.shape().data(), static_cast<size_t>(tensor.shape_size())},
      .bytes = {reinterpret_cast<const uint8_t*>(tensor.data().data()), tensor.data().size()}};
}

// More would crowd out the outputs.
constexpr size_t kMostSteps = 65536;

void StepsToWire(const std::vector<engine::TracedStep>& steps, v1::RunTiming& out) {
  for (size_t i = 0; i < std::min(steps.size(), kMostSteps); ++i) {
    v1::StepTime& to = *out.add_steps();
    to.set_label(steps[i].label);
    to.set_kind(std::string(steps[i].kind));
    to.set_what(steps[i].what);
    to.set_start_seconds(steps[i].start);
    to.set_seconds(steps[i].seconds);
  }
}

}  // namespace

absl::StatusOr<RandomId> HandleFromWire(std::string_view bytes) {
  RandomId handle;
  if (bytes.size() != handle.bytes.size()) return NotFound("no such session");
  std::memcpy(handle.bytes.data(), bytes.data(), bytes.size());
  return handle;
}

absl::Status RunOnWire(Frontend& frontend, const engine::Principal& who,
                       const v1::RunRequest& request, const CancelToken& cancel,
                       v1::RunResponse& response) {
  RLX_ASSIGN(const RandomId handle, HandleFromWire(request.handle()));
  std::vector<engine::NamedInput> inputs;
  inputs.reserve(static_cast<size_t>(request.inputs_size()));
  for (const v1::NamedTensor& from : request.inputs()) {
    RLX_ASSIGN(const engine::NamedInput input, InputFromWire(from));
    inputs.push_back(input);
  }
  const std::vector<std::string_view> outputs(request.outputs().begin(), request.outputs().end());
  const uint64_t most = frontend.limits.max_message_bytes;
  uint64_t total = 0;
  const auto memory = [&](const engine::OutputSpec& spec) -> uint8_t* {
    total += spec.bytes;  // cannot wrap: a tensor is far below 2^63 bytes, and the first too many
                          // ends it
    if (total > most) return nullptr;
    v1::NamedTensor& to = *response.add_outputs();
    to.set_name(std::string(spec.name));
    v1::Tensor& tensor = *to.mutable_tensor();
    tensor.set_dtype(wire::ToWire(spec.type.dtype));
    for (const Dim& dim : spec.type.shape) tensor.add_shape(dim.value());
    tensor.mutable_data()->resize(spec.bytes);
    return reinterpret_cast<uint8_t*>(tensor.mutable_data()->data());
  };
  std::vector<engine::TracedStep> steps;
  auto timing = frontend.engine.Run(
      who, {handle, inputs, outputs, request.trace() ? &steps : nullptr}, memory, cancel);
  if (!timing.ok()) {
    response.Clear();
    if (total <= most) return timing.status();
    return WithLimit(Annotate(timing.status(), "the outputs exceed max_message_bytes ", most),
                     "max_message_bytes", most);
  }
  response.mutable_timing()->set_queue_seconds(timing->queue_seconds);
  response.mutable_timing()->set_compute_seconds(timing->compute_seconds);
  StepsToWire(steps, *response.mutable_timing());
  return absl::OkStatus();
}

}  // namespace rlx::server
