// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/create_channel.h>

#include <memory>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "inference/grpc_service.grpc.pb.h"
#include "runtime/base/check.h"
#include "server/daemon.h"

namespace rlx::bench {

// A daemon of this process on the CPU that serves models of a repository, until it goes.
class Served {
 public:
  Served(const std::string& repository, const std::vector<std::string>& models) {
    const auto settings = server::ReadSettings(
        {"--listen=127.0.0.1:0", "--metrics_listen=", "--model_repository=" + repository,
         "--model_control_mode=explicit"});
    CHECK(settings.ok(), Cat(settings.status()));
    device::Registry registry;
    CHECK(registry.Add(cpu::MakeCpuBackend()).ok(), "registry");
    auto daemon = server::Daemon::Start(*settings, std::move(registry), log_);
    CHECK(daemon.ok(), Cat(daemon.status()));
    daemon_ = *std::move(daemon);
    const auto stub = inference::GRPCInferenceService::NewStub(
        grpc::CreateChannel(Cat("127.0.0.1:", port()), grpc::InsecureChannelCredentials()));
    for (const std::string& model : models) {
      grpc::ClientContext context;
      inference::RepositoryModelLoadRequest request;
      request.set_model_name(model);
      inference::RepositoryModelLoadResponse response;
      const grpc::Status loaded = stub->RepositoryModelLoad(&context, request, &response);
      CHECK(loaded.ok(), loaded.error_message());
    }
  }
  ~Served() {
    const std::atomic<bool> now{true};
    daemon_->Shutdown(now);
  }

  int port() const { return daemon_->ports()[0]; }

 private:
  Logger log_{LogLevel::kError};
  std::unique_ptr<server::Daemon> daemon_;
};

// A connection that no other shares.
inline std::shared_ptr<grpc::Channel> OwnConnection(int port) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(Cat("127.0.0.1:", port), grpc::InsecureChannelCredentials(),
                                   arguments);
}

// Zeros for the model's input x: f32 of this shape.
inline inference::ModelInferRequest Zeros(const std::string& model,
                                          const std::vector<int64_t>& shape) {
  inference::ModelInferRequest request;
  request.set_model_name(model);
  auto& input = *request.add_inputs();
  input.set_name("x");
  input.set_datatype("FP32");
  size_t bytes = 4;
  for (int64_t dim : shape) {
    input.add_shape(dim);
    bytes *= static_cast<size_t>(dim);
  }
  request.add_raw_input_contents(std::string(bytes, '\0'));
  return request;
}

}  // namespace rlx::bench
