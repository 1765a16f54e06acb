// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "inference/grpc_service.grpc.pb.h"
#include "server/call.h"
#include "server/guarded_requests.h"
#include "server/models/keeper.h"
#include "server/quick_runs.h"

namespace rlx::server {

struct Readiness;

// KServe v2 for the models of the repository.
class InferenceService final : public inference::GRPCInferenceService::CallbackService {
 public:
  // All outlive it.
  InferenceService(Frontend& frontend, const ModelStore& store, ModelKeeper& keeper,
                   const Readiness& readiness)
      : frontend_(frontend), store_(store), keeper_(keeper), readiness_(readiness) {}

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

 private:
  Method Make(std::string_view name) { return {frontend_, "GRPCInferenceService", name}; }

  Frontend& frontend_;
  const ModelStore& store_;
  ModelKeeper& keeper_;
  const Readiness& readiness_;
  QuickRuns quick_;
  const Method server_live_ = Make("ServerLive");
  const Method server_ready_ = Make("ServerReady");
  const Method model_ready_ = Make("ModelReady");
  const Method server_metadata_ = Make("ServerMetadata");
  const Method model_metadata_ = Make("ModelMetadata");
  const Method infer_ = Make("ModelInfer");
  const Method config_ = Make("ModelConfig");
  const Method index_ = Make("RepositoryIndex");
  const Method load_ = Make("RepositoryModelLoad");
  const Method unload_ = Make("RepositoryModelUnload");
};

}  // namespace rlx::server
