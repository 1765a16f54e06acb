// SPDX-License-Identifier: Apache-2.0
#include "server/infer_stream.h"

#include "runtime/base/clock.h"
#include "server/infer.h"
#include "server/infer_queue.h"

namespace rlx::server {
namespace {

bool AsksForStatus(const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("triton_grpc_error");
  return found != metadata.end() && found->second == "true";
}

}  // namespace

InferStreamReactor::InferStreamReactor(Frontend& frontend, const Method& stream,
                                       const Method& infer, QuickRuns& quick,
                                       const ModelStore& store, const SharedMemory& memory,
                                       const grpc::CallbackServerContext& context)
    : BidiReactor(frontend, stream, context),
      infer_(infer),
      quick_(quick),
      store_(store),
      memory_(memory),
      errors_end_(AsksForStatus(context)) {}

InferStreamReactor::Way InferStreamReactor::WayOf(const Request& request) {
  const auto model = store_.Find(request.model_name(), request.model_version());
  if (!model.ok()) return Way::kExecutor;
  if ((*model)->queue() != nullptr) return Way::kQueue;
  return quick_.IsQuick(SessionName(**model)) ? Way::kHere : Way::kExecutor;
}

absl::Status InferStreamReactor::Fill(const Request& request, Response& response) {
  const double start = MonotonicSeconds();
  infer_.metrics.Started();
  const auto model = store_.Find(request.model_name(), request.model_version());
  absl::Status status = call().CheckWaited();
  if (status.ok()) status = model.status();
  if (status.ok()) {
    status = InferOnWire(frontend(), **model, memory_, request, call().cancel(),
                         *response.mutable_infer_response());
  }
  if (model.ok()) {
    quick_.Ran(SessionName(**model), status.ok() ? MonotonicSeconds() - start : 1);
  }
  return End(request, status, start, response);
}

void InferStreamReactor::Begin(const Request& request, Response& response, Done done) {
  const double start = MonotonicSeconds();
  const auto model = store_.Find(request.model_name(), request.model_version());
  if (!model.ok() || (*model)->queue() == nullptr) {  // another version has just come
    const auto fill = [this, &request, &response, done] { done(Fill(request, response)); };
    if (frontend().executor.Submit(fill)) return;
    Refuse(request, TooManyCalls(frontend()), response);
    return done(absl::OkStatus());
  }
  infer_.metrics.Started();
  auto end = [this, &request, &response, start, done = std::move(done)](absl::Status status) {
    done(End(request, status, start, response));
  };
  QueueInfer(frontend(), {*model, memory_, request, *response.mutable_infer_response(),
                          call().cancel(), std::move(end)});
}

absl::Status InferStreamReactor::End(const Request& request, const absl::Status& status,
                                     double start, Response& response) {
  RecordEnd(frontend(), infer_, status, MonotonicSeconds() - start);
  if (!status.ok() && errors_end_) return status;
  if (!status.ok()) {
    Refuse(request, status, response);
  } else {
    auto& parameters = *response.mutable_infer_response()->mutable_parameters();
    parameters["triton_final_response"].set_bool_param(true);
  }
  return absl::OkStatus();
}

void InferStreamReactor::Refuse(const Request& request, const absl::Status& why,
                                Response& response) {
  response.set_error_message(ToGrpc(why).error_message());
  response.mutable_infer_response()->Clear();
  response.mutable_infer_response()->set_id(request.id());
}

}  // namespace rlx::server
