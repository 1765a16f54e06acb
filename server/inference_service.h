// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "inference/grpc_service.grpc.pb.h"
#include "server/call.h"
#include "server/guarded_requests.h"
#include "server/models/keeper.h"
#include "server/quick_runs.h"
#include "server/shared_memory.h"

namespace rlx::server {

struct Readiness;

// KServe v2 for the models of the repository.
class InferenceService final : public inference::GRPCInferenceService::CallbackService {
 public:
  // All outlive it.
  InferenceService(Frontend& frontend, const ModelStore& store, ModelKeeper& keeper,
                   const Readiness& readiness, bool system_shared_memory);
  ~InferenceService() override;

  grpc::ServerUnaryReactor* ServerLive(grpc::CallbackServerContext* context,
                                       const inference::ServerLiveRequest* request,
                                       inference::ServerLiveResponse* response) override;
  grpc::ServerUnaryReactor* ServerReady(grpc::CallbackServerContext* context,
                                        const inference::ServerReadyRequest* request,
                                        inference::ServerReadyResponse* response) override;
  grpc::ServerUnaryReactor* ModelReady(grpc::CallbackServerContext* context,
                                       const inference::ModelReadyRequest* request,
                                       inference::ModelReadyResponse* response) override;
  grpc::ServerUnaryReactor* ServerMetadata(grpc::CallbackServerContext* context,
                                           const inference::ServerMetadataRequest* request,
                                           inference::ServerMetadataResponse* response) override;
  grpc::ServerUnaryReactor* ModelMetadata(grpc::CallbackServerContext* context,
                                          const inference::ModelMetadataRequest* request,
                                          inference::ModelMetadataResponse* response) override;
  grpc::ServerUnaryReactor* ModelInfer(grpc::CallbackServerContext* context,
                                       const inference::ModelInferRequest* request,
                                       inference::ModelInferResponse* response) override;
  grpc::ServerBidiReactor<inference::ModelInferRequest, inference::ModelStreamInferResponse>*
  ModelStreamInfer(grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* ModelStatistics(grpc::CallbackServerContext* context,
                                            const inference::ModelStatisticsRequest* request,
                                            inference::ModelStatisticsResponse* response) override;
  grpc::ServerUnaryReactor* ModelConfig(grpc::CallbackServerContext* context,
                                        const inference::ModelConfigRequest* request,
                                        inference::ModelConfigResponse* response) override;
  grpc::ServerUnaryReactor* RepositoryIndex(grpc::CallbackServerContext* context,
                                            const inference::RepositoryIndexRequest* request,
                                            inference::RepositoryIndexResponse* response) override;
  grpc::ServerUnaryReactor* RepositoryModelLoad(
      grpc::CallbackServerContext* context, const inference::RepositoryModelLoadRequest* request,
      inference::RepositoryModelLoadResponse* response) override;
  grpc::ServerUnaryReactor* RepositoryModelUnload(
      grpc::CallbackServerContext* context, const inference::RepositoryModelUnloadRequest* request,
      inference::RepositoryModelUnloadResponse* response) override;
  grpc::ServerUnaryReactor* SystemSharedMemoryStatus(
      grpc::CallbackServerContext* context,
      const inference::SystemSharedMemoryStatusRequest* request,
      inference::SystemSharedMemoryStatusResponse* response) override;
  grpc::ServerUnaryReactor* SystemSharedMemoryRegister(
      grpc::CallbackServerContext* context,
      const inference::SystemSharedMemoryRegisterRequest* request,
      inference::SystemSharedMemoryRegisterResponse* response) override;
  grpc::ServerUnaryReactor* SystemSharedMemoryUnregister(
      grpc::CallbackServerContext* context,
      const inference::SystemSharedMemoryUnregisterRequest* request,
      inference::SystemSharedMemoryUnregisterResponse* response) override;
  grpc::ServerUnaryReactor* CudaSharedMemoryStatus(
      grpc::CallbackServerContext* context, const inference::CudaSharedMemoryStatusRequest* request,
      inference::CudaSharedMemoryStatusResponse* response) override;
  grpc::ServerUnaryReactor* CudaSharedMemoryRegister(
      grpc::CallbackServerContext* context,
      const inference::CudaSharedMemoryRegisterRequest* request,
      inference::CudaSharedMemoryRegisterResponse* response) override;
  grpc::ServerUnaryReactor* CudaSharedMemoryUnregister(
      grpc::CallbackServerContext* context,
      const inference::CudaSharedMemoryUnregisterRequest* request,
      inference::CudaSharedMemoryUnregisterResponse* response) override;
  grpc::ServerUnaryReactor* TraceSetting(grpc::CallbackServerContext* context,
                                         const inference::TraceSettingRequest* request,
                                         inference::TraceSettingResponse* response) override;
  grpc::ServerUnaryReactor* LogSettings(grpc::CallbackServerContext* context,
                                        const inference::LogSettingsRequest* request,
                                        inference::LogSettingsResponse* response) override;

 private:
  Method Make(std::string_view name) { return {frontend_, "GRPCInferenceService", name}; }

  Frontend& frontend_;
  const ModelStore& store_;
  ModelKeeper& keeper_;
  const Readiness& readiness_;
  SharedMemory memory_;
  QuickRuns quick_;
  const Method server_live_ = Make("ServerLive");
  const Method server_ready_ = Make("ServerReady");
  const Method model_ready_ = Make("ModelReady");
  const Method server_metadata_ = Make("ServerMetadata");
  const Method model_metadata_ = Make("ModelMetadata");
  const Method infer_ = Make("ModelInfer");
  const Method stream_infer_ = Make("ModelStreamInfer");
  const Method statistics_ = Make("ModelStatistics");
  const Method config_ = Make("ModelConfig");
  const Method index_ = Make("RepositoryIndex");
  const Method load_ = Make("RepositoryModelLoad");
  const Method unload_ = Make("RepositoryModelUnload");
  const Method memory_status_ = Make("SystemSharedMemoryStatus");
  const Method memory_register_ = Make("SystemSharedMemoryRegister");
  const Method memory_unregister_ = Make("SystemSharedMemoryUnregister");
  const Method cuda_status_ = Make("CudaSharedMemoryStatus");
  const Method cuda_register_ = Make("CudaSharedMemoryRegister");
  const Method cuda_unregister_ = Make("CudaSharedMemoryUnregister");
  const Method trace_ = Make("TraceSetting");
  const Method log_ = Make("LogSettings");
};

}  // namespace rlx::server
