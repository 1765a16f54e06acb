// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "inference/grpc_service.grpc.pb.h"
#include "server/bidi.h"
#include "server/models/store.h"
#include "server/quick_runs.h"

namespace rlx::server {

class SharedMemory;

// One ModelStreamInfer.
class InferStreamReactor final
    : public BidiReactor<inference::ModelInferRequest, inference::ModelStreamInferResponse> {
 public:
  using Request = inference::ModelInferRequest;
  using Response = inference::ModelStreamInferResponse;

  // `infer` is what each request counts as.
  InferStreamReactor(Frontend& frontend, const Method& stream, const Method& infer,
                     QuickRuns& quick, const ModelStore& store, const SharedMemory& memory,
                     const grpc::CallbackServerContext& context);

 private:
  Way WayOf(const Request& request) override;
  absl::Status Fill(const Request& request, Response& response) override;
  void Begin(const Request& request, Response& response, Done done) override;
  void Refuse(const Request& request, const absl::Status& why, Response& response) override;

  // Counts a request that began at `start`, and says what became of it. A status ends the stream.
  absl::Status End(const Request& request, const absl::Status& status, double start,
                   Response& response);

  const Method& infer_;
  QuickRuns& quick_;
  const ModelStore& store_;
  const SharedMemory& memory_;
  const bool errors_end_;  // the stream
};

}  // namespace rlx::server
