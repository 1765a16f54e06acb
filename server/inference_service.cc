// SPDX-License-Identifier: Apache-2.0
#include "server/inference_service.h"

#include <algorithm>

#include "runtime/base/clock.h"
#include "server/http.h"
#include "server/infer.h"
#include "server/infer_queue.h"
#include "server/infer_stream.h"
#include "server/models/load_override.h"
#include "server/settings.h"
#include "server/unary.h"
#include "server/version.h"

namespace rlx::server {
namespace {

using inference::ModelMetadataResponse;

// Triton's names of what is here besides the protocol itself, sorted.
constexpr const char* kExtensions[] = {"binary_tensor_data", "logging",    "model_configuration",
                                       "model_repository",   "parameters", "schedule_policy",
                                       "sequence",           "statistics", "trace"};
constexpr const char* kSharedMemoryExtension = "system_shared_memory";

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

uint64_t CountOf(const ModelStats::Time& time) {
  return time.count.load(std::memory_order_relaxed);
}

void ToWire(const ModelStats::Time& from, uint64_t count, inference::StatisticDuration& out) {
  out.set_count(count);
  out.set_ns(from.ns.load(std::memory_order_relaxed));
}

void StatsToWire(const ServedModel& model, inference::ModelStatistics& out) {
  const ModelStats& stats = model.stats();
  // A run adds to each of these in turn, maybe just now, and clients hold them to be equal.
  const uint64_t runs = std::min(
      {CountOf(stats.queue), CountOf(stats.input), CountOf(stats.infer), CountOf(stats.output)});
  out.set_name(model.name());
  out.set_version(model.version_text());
  out.set_last_inference(stats.last_ms.load(std::memory_order_relaxed));
  out.set_inference_count(stats.inferences.load(std::memory_order_relaxed));
  out.set_execution_count(std::min(runs, stats.executions.load(std::memory_order_relaxed)));
  inference::InferStatistics& times = *out.mutable_inference_stats();
  ToWire(stats.success, CountOf(stats.success), *times.mutable_success());
  ToWire(stats.fail, CountOf(stats.fail), *times.mutable_fail());
  ToWire(stats.queue, runs, *times.mutable_queue());
  ToWire(stats.input, runs, *times.mutable_compute_input());
  ToWire(stats.infer, runs, *times.mutable_compute_infer());
  ToWire(stats.output, runs, *times.mutable_compute_output());
  times.mutable_cache_hit();
  times.mutable_cache_miss();
  std::map<int64_t, const ModelStats::BatchTimes*> by_size;
  for (const ModelStats::BatchTimes& row : stats.batches) {
    const int64_t size = row.size.load(std::memory_order_relaxed);
    if (size > 0) by_size.emplace(size, &row);
  }
  for (const auto& [size, row] : by_size) {
    inference::InferBatchStatistics& to = *out.add_batch_stats();
    to.set_batch_size(static_cast<uint64_t>(size));
    const uint64_t of_size =
        std::min({CountOf(row->input), CountOf(row->infer), CountOf(row->output)});
    ToWire(row->input, of_size, *to.mutable_compute_input());
    ToWire(row->infer, of_size, *to.mutable_compute_infer());
    ToWire(row->output, of_size, *to.mutable_compute_output());
  }
}

}  // namespace

InferenceService::InferenceService(Frontend& frontend, const ModelStore& store, ModelKeeper& keeper,
                                   const Readiness& readiness, bool system_shared_memory)
    : frontend_(frontend),
      store_(store),
      keeper_(keeper),
      readiness_(readiness),
      memory_(system_shared_memory) {}
InferenceService::~InferenceService() = default;

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
  const auto handle = [this, response](Call&) {
    response->set_name("rlxd");
    response->set_version(std::string(kVersion));
    for (const char* extension : kExtensions) response->add_extensions(extension);
    if (memory_.enabled()) response->add_extensions(kSharedMemoryExtension);
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
  if (model.ok() && (*model)->queue() != nullptr) {
    const auto begin = [&](Call& call, UnaryReactor::Done done) {
      QueueInfer(frontend_,
                 {*std::move(model), memory_, *request, *response, call.cancel(), std::move(done)});
    };
    return UnaryReactor::Begin(frontend_, infer_, *context, *request, *response, begin);
  }
  const bool quick = model.ok() && quick_.IsQuick(SessionName(**model));
  const auto handle = [this, request, response,
                       model = std::move(model)](Call& call) -> absl::Status {
    RLX_TRY(model.status());
    const double start = MonotonicSeconds();
    absl::Status status =
        InferOnWire(call.frontend(), **model, memory_, *request, call.cancel(), *response);
    quick_.Ran(SessionName(**model), status.ok() ? MonotonicSeconds() - start : 1);
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

grpc::ServerBidiReactor<inference::ModelInferRequest, inference::ModelStreamInferResponse>*
InferenceService::ModelStreamInfer(grpc::CallbackServerContext* context) {
  return InferStreamReactor::Start(std::make_shared<InferStreamReactor>(
      frontend_, stream_infer_, infer_, quick_, store_, memory_, *context));
}

grpc::ServerUnaryReactor* InferenceService::ModelStatistics(
    grpc::CallbackServerContext* context, const inference::ModelStatisticsRequest* request,
    inference::ModelStatisticsResponse* response) {
  const auto handle = [this, request, response](Call&) -> absl::Status {
    std::vector<ModelStore::Served> models = store_.AllReady();
    if (!request->name().empty()) {
      RLX_ASSIGN(const ModelStore::Served one, store_.Find(request->name(), request->version()));
      const bool all = request->version().empty();
      std::erase_if(models, [&](const ModelStore::Served& model) {
        return model->name() != one->name() || !(all || model->version() == one->version());
      });
    }
    for (const auto& model : models) StatsToWire(*model, *response->add_model_stats());
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, statistics_, *context, *request, *response, Where::kHere,
                             handle);
}

grpc::ServerUnaryReactor* InferenceService::ModelConfig(
    grpc::CallbackServerContext* context, const inference::ModelConfigRequest* request,
    inference::ModelConfigResponse* response) {
  const auto handle = [this, request, response](Call&) -> absl::Status {
    RLX_ASSIGN(const ModelStore::Served model, store_.Find(request->name(), request->version()));
    *response->mutable_config() = model->config();
    auto& labels = *response->mutable_config()->mutable_version_labels();
    labels.clear();  // they move without the version
    for (const auto& [label, version] : store_.GetLabels(model->name())) labels[label] = version;
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
    RLX_ASSIGN(auto said, ReadLoadParameters(request->parameters()));
    return keeper_.Load(request->model_name(), std::move(said), call.cancel());
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

grpc::ServerUnaryReactor* InferenceService::SystemSharedMemoryStatus(
    grpc::CallbackServerContext* context, const inference::SystemSharedMemoryStatusRequest* request,
    inference::SystemSharedMemoryStatusResponse* response) {
  const auto handle = [this, request, response](Call&) -> absl::Status {
    RLX_ASSIGN(const auto regions, memory_.Status(request->name()));
    for (const auto& [name, region] : regions) {
      auto& to = (*response->mutable_regions())[name];
      to.set_name(name);
      to.set_key(region.key);
      to.set_offset(region.offset);
      to.set_byte_size(region.bytes);
    }
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, memory_status_, *context, *request, *response, Where::kHere,
                             handle);
}

grpc::ServerUnaryReactor* InferenceService::SystemSharedMemoryRegister(
    grpc::CallbackServerContext* context,
    const inference::SystemSharedMemoryRegisterRequest* request,
    inference::SystemSharedMemoryRegisterResponse* response) {
  const auto handle = [this, request](Call&) {
    return memory_.Register(request->name(),
                            {request->key(), request->offset(), request->byte_size()});
  };
  return UnaryReactor::Start(frontend_, memory_register_, *context, *request, *response,
                             Where::kExecutor, handle);
}

grpc::ServerUnaryReactor* InferenceService::SystemSharedMemoryUnregister(
    grpc::CallbackServerContext* context,
    const inference::SystemSharedMemoryUnregisterRequest* request,
    inference::SystemSharedMemoryUnregisterResponse* response) {
  const auto handle = [this, request](Call&) { return memory_.Unregister(request->name()); };
  return UnaryReactor::Start(frontend_, memory_unregister_, *context, *request, *response,
                             Where::kExecutor, handle);
}

grpc::ServerUnaryReactor* InferenceService::CudaSharedMemoryStatus(
    grpc::CallbackServerContext* context, const inference::CudaSharedMemoryStatusRequest* request,
    inference::CudaSharedMemoryStatusResponse* response) {
  const auto handle = [request](Call&) {
    if (request->name().empty()) return absl::OkStatus();
    return NotFound("Unable to find CUDA shared memory region: '", request->name().substr(0, 64),
                    "'");
  };
  return UnaryReactor::Start(frontend_, cuda_status_, *context, *request, *response, Where::kHere,
                             handle);
}

grpc::ServerUnaryReactor* InferenceService::CudaSharedMemoryRegister(
    grpc::CallbackServerContext* context, const inference::CudaSharedMemoryRegisterRequest* request,
    inference::CudaSharedMemoryRegisterResponse* response) {
  const auto handle = [](Call&) { return Unimplemented("CUDA shared memory is not served"); };
  return UnaryReactor::Start(frontend_, cuda_register_, *context, *request, *response, Where::kHere,
                             handle);
}

grpc::ServerUnaryReactor* InferenceService::CudaSharedMemoryUnregister(
    grpc::CallbackServerContext* context,
    const inference::CudaSharedMemoryUnregisterRequest* request,
    inference::CudaSharedMemoryUnregisterResponse* response) {
  const auto handle = [](Call&) { return absl::OkStatus(); };
  return UnaryReactor::Start(frontend_, cuda_unregister_, *context, *request, *response,
                             Where::kHere, handle);
}

grpc::ServerUnaryReactor* InferenceService::TraceSetting(
    grpc::CallbackServerContext* context, const inference::TraceSettingRequest* request,
    inference::TraceSettingResponse* response) {
  const auto handle = [request, response](Call& call) {
    return SetTraces(*request, call.engine(), *response);
  };
  return UnaryReactor::Start(frontend_, trace_, *context, *request, *response, Where::kHere,
                             handle);
}

grpc::ServerUnaryReactor* InferenceService::LogSettings(
    grpc::CallbackServerContext* context, const inference::LogSettingsRequest* request,
    inference::LogSettingsResponse* response) {
  const auto handle = [request, response](Call& call) {
    return SetLog(*request, call.frontend().log, *response);
  };
  return UnaryReactor::Start(frontend_, log_, *context, *request, *response, Where::kHere, handle);
}

}  // namespace rlx::server
