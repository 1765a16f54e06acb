// SPDX-License-Identifier: Apache-2.0
#include "server/session_service.h"

#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/stages/stages.h"
#include "runtime/wire/enums.h"
#include "runtime/wire/module.h"
#include "runtime/wire/tensor.h"
#include "server/compile_wire.h"
#include "server/run.h"
#include "server/run_stream.h"
#include "server/unary.h"

namespace rlx::server {
namespace {

absl::StatusOr<engine::WeightSource> WeightFromWire(const v1::WeightBinding& from) {
  engine::WeightSource out{.param = from.param()};
  if (from.has_inline_()) {
    RLX_ASSIGN(const HostTensor tensor, wire::TensorFromWire(from.inline_()));
    out.dtype = tensor.dtype();
    out.dims = tensor.dims();
    out.source = tensor.bytes();
    return out;
  }
  if (!from.has_blob()) return InvalidArgument("has neither blob nor inline");
  const auto dtype = wire::FromWire(from.dtype());
  if (!dtype) return InvalidArgument("unknown dtype ", static_cast<int>(from.dtype()));
  const auto digest = Digest256::FromBytes(from.blob().sha256());
  if (!digest) return InvalidArgument("sha256 has ", from.blob().sha256().size(), " bytes");
  out.dtype = *dtype;
  out.dims.assign(from.shape().begin(), from.shape().end());
  out.source = engine::WeightSource::Slice{*digest, from.blob().offset(), from.blob().length()};
  return out;
}

absl::StatusOr<engine::OpenSpec> OpenFromWire(const v1::OpenRequest& request, Call& call) {
  engine::OpenSpec out;
  switch (request.executable_case()) {
    case v1::OpenRequest::kKey: {
      const auto key = Digest256::FromBytes(request.key());
      if (!key) return InvalidField("key", request.key().size(), " bytes instead of 32");
      out.executable = *key;
      break;
    }
    case v1::OpenRequest::kCompile: {
      RLX_ASSIGN(engine::CompileSpec spec,
                 SpecFromWire(request.compile().spec(), call.who(), call.engine()));
      out.executable =
          engine::OpenSpec::Compile{std::move(spec),
                                    {.skip_cache_lookup = request.compile().skip_cache_lookup(),
                                     .do_not_cache = request.compile().do_not_cache(),
                                     .misses = &call.misses()}};
      break;
    }
    default:
      return InvalidArgument("the request has neither key nor compile");
  }
  if (request.has_device()) {
    out.device = wire::FromWire(request.device().device());
    if (!out.device) {
      return InvalidField("device.device", "unknown value ",
                          static_cast<int>(request.device().device()));
    }
    out.profile = request.device().profile();
  }
  for (const v1::WeightBinding& binding : request.weights()) {
    auto weight = WeightFromWire(binding);
    if (!weight.ok()) {
      const std::string field = Cat("weights[", out.weights.size(), "]");
      return InField(Annotate(weight.status(), field, " \"", binding.param(), "\""), field);
    }
    out.weights.push_back(*std::move(weight));
  }
  out.lease_seconds = request.lease_seconds();
  return out;
}

std::string ToBytes(const RandomId& id) {
  return std::string(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
}

}  // namespace

SessionService::SessionService(Frontend& frontend) : frontend_(frontend) {}
SessionService::~SessionService() = default;

grpc::ServerUnaryReactor* SessionService::Open(grpc::CallbackServerContext* context,
                                               const v1::OpenRequest* request,
                                               v1::OpenResponse* response) {
  const auto handle = [request, response](Call& call) -> absl::Status {
    RLX_ASSIGN(engine::OpenSpec spec, OpenFromWire(*request, call));
    RLX_ASSIGN(const engine::Opened opened,
               call.engine().OpenSession(call.who(), std::move(spec), call.cancel()));
    response->set_handle(ToBytes(opened.handle));
    LogReports(opened.compiled, call.frontend());
    const wire::Artifact& artifact = opened.compiled.module->artifact;
    wire::ManifestToWire(artifact.lir.plan, artifact.lir.graph, *response->mutable_manifest());
    response->set_lease_seconds(opened.lease_seconds);
    response->set_key(std::string(opened.compiled.key().view()));
    response->set_weights_shared(opened.weights_shared);
    response->set_weight_bytes(static_cast<uint64_t>(opened.weight_bytes));
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, open_, *context, *request, *response, Where::kExecutor,
                             handle);
}

grpc::ServerUnaryReactor* SessionService::Run(grpc::CallbackServerContext* context,
                                              const v1::RunRequest* request,
                                              v1::RunResponse* response) {
  const auto handle = [this, request, response](Call& call) -> absl::Status {
    const double start = MonotonicSeconds();
    absl::Status status =
        RunOnWire(call.frontend(), call.who(), *request, call.cancel(), *response);
    quick_.Ran(request->handle(), status.ok() ? MonotonicSeconds() - start : 1);
    return status;
  };
  if (quick_.IsQuick(request->handle())) {
    const QuickGuard guard(frontend_);
    if (guard.held()) {
      return UnaryReactor::Start(frontend_, run_, *context, *request, *response, Where::kHere,
                                 handle);
    }
  }
  return UnaryReactor::Start(frontend_, run_, *context, *request, *response, Where::kExecutor,
                             handle);
}

grpc::ServerBidiReactor<v1::RunStreamRequest, v1::RunStreamResponse>* SessionService::RunStream(
    grpc::CallbackServerContext* context) {
  return RunStreamReactor::Start(
      std::make_shared<RunStreamReactor>(frontend_, run_stream_, run_, quick_, *context));
}

grpc::ServerUnaryReactor* SessionService::KeepAlive(grpc::CallbackServerContext* context,
                                                    const v1::KeepAliveRequest* request,
                                                    v1::KeepAliveResponse* response) {
  const auto handle = [request, response](Call& call) -> absl::Status {
    RLX_ASSIGN(const RandomId id, HandleFromWire(request->handle()));
    RLX_ASSIGN(const uint32_t lease,
               call.engine().KeepAlive(call.who(), id, request->lease_seconds()));
    response->set_lease_seconds(lease);
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, keep_alive_, *context, *request, *response, Where::kHere,
                             handle);
}

grpc::ServerUnaryReactor* SessionService::Close(grpc::CallbackServerContext* context,
                                                const v1::CloseRequest* request,
                                                v1::CloseResponse* response) {
  const auto handle = [request](Call& call) -> absl::Status {
    RLX_ASSIGN(const RandomId id, HandleFromWire(request->handle()));
    return call.engine().CloseSession(call.who(), id, call.cancel());
  };
  return UnaryReactor::Start(frontend_, close_, *context, *request, *response, Where::kExecutor,
                             handle);
}

grpc::ServerUnaryReactor* SessionService::List(grpc::CallbackServerContext* context,
                                               const v1::ListSessionsRequest* request,
                                               v1::ListSessionsResponse* response) {
  const auto handle = [response](Call& call) -> absl::Status {
    for (const engine::SessionInfo& session : call.engine().ListSessions(call.who())) {
      v1::SessionInfo& to = *response->add_sessions();
      to.set_handle(ToBytes(session.handle));
      to.set_key(std::string(session.key.view()));
      TargetToWire(session.target, stages::FusionTargetFor(session.target.kind),
                   *to.mutable_target());
      to.set_module_name(session.module_name);
      to.set_lease_remaining_seconds(session.lease_remaining_seconds);
      to.set_runs(session.runs);
      to.set_weight_bytes(static_cast<uint64_t>(session.weight_bytes));
    }
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, list_, *context, *request, *response, Where::kHere, handle);
}

}  // namespace rlx::server
