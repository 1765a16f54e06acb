// SPDX-License-Identifier: Apache-2.0
#include "server/inference_service.h"

#include "runtime/base/clock.h"
#include "server/http.h"
#include "server/infer.h"
#include "server/unary.h"
#include "server/version.h"

namespace rlx::server {
namespace {

using inference::ModelMetadataResponse;

// Triton's names of what is here besides the protocol itself, sorted.
constexpr const char* kExtensions[] = {"binary_tensor_data", "model_configuration",
                                       "model_repository", "parameters"};

void TensorsToWire(const std::vector<ServedTensor>& tensors,
                   google::protobuf::RepeatedPtrField<ModelMetadataResponse::TensorMetadata>& out) {
  for (const ServedTensor& tensor : tensors) {
    auto& to = *out.Add();
    to.set_name(tensor.name);
    to.set_datatype(std::string(tensor.datatype));
    to.mutable_shape()->Add(tensor.dims.begin(), tensor.dims.end());
  }
}

absl::Status CheckRepository(const std::string& name) {
  if (name.empty()) return absl::OkStatus();
  return Unimplemented("there is one repository, and it has no name");
}

std::string_view HandleOf(const ServedModel& model) {
  return {reinterpret_cast<const char*>(model.handle().bytes.data()), model.handle().bytes.size()};
}

}  // namespace

grpc::ServerUnaryReactor* InferenceService::ServerLive(grpc::CallbackServerContext* context,
                                                       const inference::ServerLiveRequest* request,
                                                       inference::ServerLiveResponse* response) {
  const auto handle = [response](Call&) {
    response->set_live(true);
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, server_live_, *context, *request, *response, Where::kHere,
                             handle);
}

grpc::ServerUnaryReactor* InferenceService::ServerReady(
    grpc::CallbackServerContext* context, const inference::ServerReadyRequest* request,
    inference::ServerReadyResponse* response) {
  const auto handle = [this, response](Call&) {
    response->set_ready(readiness_.ready.load(std::memory_order_acquire));
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, server_ready_, *context, *request, *response, Where::kHere,
                             handle);
}

grpc::ServerUnaryReactor* InferenceService::ModelReady(grpc::CallbackServerContext* context,
                                                       const inference::ModelReadyRequest* request,
                                                       inference::ModelReadyResponse* response) {
  const auto handle = [this, request, response](Call&) -> absl::Status {
    const auto found = store_.Find(request->name(), request->version());
    if (absl::IsInvalidArgument(found.status())) return found.status();
    response->set_ready(found.ok() && readiness_.ready.load(std::memory_order_acquire));
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, model_ready_, *context, *request, *response, Where::kHere,
                             handle);
}

grpc::ServerUnaryReactor* InferenceService::ServerMetadata(
    grpc::CallbackServerContext* context, const inference::ServerMetadataRequest* request,
    inference::ServerMetadataResponse* response) {
  const auto handle = [response](Call&) {
    response->set_name("rlxd");
    response->set_version(std::string(kVersion));
    for (const char* extension : kExtensions) response->add_extensions(extension);
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, server_metadata_, *context, *request, *response,
                             Where::kHere, handle);
}

grpc::ServerUnaryReactor* InferenceService::ModelMetadata(
    grpc::CallbackServerContext* context, const inference::ModelMetadataRequest* request,
    inference::ModelMetadataResponse* response) {
  const auto handle = [this, request, response](Call&) -> absl::Status {
    RLX_ASSIGN(const ModelStore::Served model, store_.Find(request->name(), request->version()));
    response->set_name(model->name());
    for (int64_t version : store_.Ready(model->name())) response->add_versions(Cat(version));
    response->set_platform(model->config().platform());
    TensorsToWire(model->inputs(), *response->mutable_inputs());
    TensorsToWire(model->outputs(), *response->mutable_outputs());
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, model_metadata_, *context, *request, *response,
                             Where::kHere, handle);
}

grpc::ServerUnaryReactor* InferenceService::ModelInfer(grpc::CallbackServerContext* context,
                                                       const inference::ModelInferRequest* request,
                                                       inference::ModelInferResponse* response) {
  auto model = store_.Find(request->model_name(), request->model_version());
  const bool quick = model.ok() && quick_.IsQuick(HandleOf(**model));
  const auto handle = [this, request, response,
                       model = std::move(model)](Call& call) -> absl::Status {
    RLX_TRY(model.status());
    const double start = MonotonicSeconds();
    absl::Status status = InferOnWire(call.frontend(), **model, *request, call.cancel(), *response);
    quick_.Ran(HandleOf(**model), status.ok() ? MonotonicSeconds() - start : 1);
    return status;
  };
  if (quick) {
    const QuickGuard guard(frontend_);
    if (guard.held()) {
      return UnaryReactor::Start(frontend_, infer_, *context, *request, *response, Where::kHere,
                                 handle);
    }
  }
  return UnaryReactor::Start(frontend_, infer_, *context, *request, *response, Where::kExecutor,
                             handle);
}

grpc::ServerUnaryReactor* InferenceService::ModelConfig(
    grpc::CallbackServerContext* context, const inference::ModelConfigRequest* request,
    inference::ModelConfigResponse* response) {
  const auto handle = [this, request, response](Call&) -> absl::Status {
    RLX_ASSIGN(const ModelStore::Served model, store_.Find(request->name(), request->version()));
    *response->mutable_config() = model->config();
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, config_, *context, *request, *response, Where::kHere,
                             handle);
}

grpc::ServerUnaryReactor* InferenceService::RepositoryIndex(
    grpc::CallbackServerContext* context, const inference::RepositoryIndexRequest* request,
    inference::RepositoryIndexResponse* response) {
  const auto handle = [this, request, response](Call&) -> absl::Status {
    RLX_TRY(CheckRepository(request->repository_name()));
    std::vector<ModelStatus> models = store_.Index();
    for (const std::string& name : keeper_.List()) {  // those that nobody has loaded
      const auto after = std::ranges::lower_bound(models, name, {}, &ModelStatus::name);
      if (after != models.end() && after->name == name) continue;
      models.insert(after, {.name = name});
    }
    for (const ModelStatus& model : models) {
      if (request->ready() && model.state != ModelState::kReady) continue;
      auto& to = *response->add_models();
      to.set_name(model.name);
      if (model.version) to.set_version(Cat(*model.version));
      to.set_state(std::string(Name(model.state)));
      to.set_reason(model.reason);
    }
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, index_, *context, *request, *response, Where::kExecutor,
                             handle);
}

grpc::ServerUnaryReactor* InferenceService::RepositoryModelLoad(
    grpc::CallbackServerContext* context, const inference::RepositoryModelLoadRequest* request,
    inference::RepositoryModelLoadResponse* response) {
  const auto handle = [this, request](Call& call) -> absl::Status {
    RLX_TRY(CheckRepository(request->repository_name()));
    if (!request->parameters().empty()) {
      return InvalidArgument("load parameter '", request->parameters().begin()->first.substr(0, 64),
                             "' is not known here");
    }
    return keeper_.Load(request->model_name(), call.cancel());
  };
  return UnaryReactor::Start(frontend_, load_, *context, *request, *response, Where::kExecutor,
                             handle);
}

grpc::ServerUnaryReactor* InferenceService::RepositoryModelUnload(
    grpc::CallbackServerContext* context, const inference::RepositoryModelUnloadRequest* request,
    inference::RepositoryModelUnloadResponse* response) {
  const auto handle = [this, request](Call& call) -> absl::Status {
    RLX_TRY(CheckRepository(request->repository_name()));
    for (const auto& [name, value] : request->parameters()) {
      if (name == "unload_dependents" && value.has_bool_param()) continue;
      return InvalidArgument("unload parameter '", name.substr(0, 64), "' is not known here");
    }
    return keeper_.Unload(request->model_name(), call.cancel());
  };
  return UnaryReactor::Start(frontend_, unload_, *context, *request, *response, Where::kExecutor,
                             handle);
}

}  // namespace rlx::server
