// SPDX-License-Identifier: Apache-2.0
#include "server/infer.h"

#include <algorithm>

#include "runtime/base/fault.h"
#include "server/infer_inputs.h"
#include "server/models/config.h"

namespace rlx::server {
namespace {

using inference::ModelInferRequest;
using inference::ModelInferResponse;

absl::Status OutputsWanted(const ServedModel& model, const ModelInferRequest& request,
                           std::vector<std::string_view>& wanted) {
  for (const auto& output : request.outputs()) {
    const std::string_view name = output.name();
    if (std::ranges::find(model.outputs(), name, &ServedTensor::name) == model.outputs().end()) {
      return InvalidArgument("unexpected inference output '", name.substr(0, 64), "' for model '",
                             model.name(), "'");
    }
    if (std::ranges::count(wanted, name) > 0) {
      return InvalidArgument("output '", name, "' already exists in request");
    }
    for (const char* unserved : {"classification", "shared_memory_region"}) {
      if (!output.parameters().contains(unserved)) continue;
      return Unimplemented(unserved, " is not served: output '", name, "'");
    }
    wanted.push_back(name);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status InferOnWire(Frontend& frontend, const ServedModel& model,
                         const ModelInferRequest& request, const CancelToken& cancel,
                         ModelInferResponse& response) {
  RLX_TRY(CheckInferParameters(request));
  InferInputs inputs;
  RLX_TRY(inputs.Read(model, request));
  std::vector<std::string_view> outputs;
  RLX_TRY(OutputsWanted(model, request, outputs));
  const uint64_t most = frontend.limits.max_message_bytes;
  uint64_t total = 0;
  const auto memory = [&](const engine::OutputSpec& spec) -> uint8_t* {
    total += spec.bytes;  // as in RunOnWire
    if (total > most) return nullptr;
    auto& to = *response.add_outputs();
    to.set_name(std::string(spec.name));
    to.set_datatype(std::string(KserveName(spec.type.dtype)));
    for (const Dim& dim : spec.type.shape) to.add_shape(dim.value());
    std::string& bytes = *response.add_raw_output_contents();
    bytes.resize(spec.bytes);
    return reinterpret_cast<uint8_t*>(bytes.data());
  };
  const auto timing = frontend.engine.Run(
      ServedModel::Owner(), {model.handle(), inputs.all(), outputs, nullptr}, memory, cancel);
  if (!timing.ok()) {
    response.Clear();
    if (total <= most) return timing.status();
    return WithLimit(Annotate(timing.status(), "the outputs exceed max_message_bytes ", most),
                     "max_message_bytes", most);
  }
  response.set_model_name(model.name());
  response.set_model_version(model.version_text());
  response.set_id(request.id());
  return absl::OkStatus();
}

}  // namespace rlx::server
