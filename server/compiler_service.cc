// SPDX-License-Identifier: Apache-2.0
#include "server/compiler_service.h"

#include "runtime/base/fault.h"
#include "runtime/wire/enums.h"
#include "runtime/wire/module.h"
#include "runtime/wire/report.h"
#include "server/compile_wire.h"
#include "server/explain_wire.h"
#include "server/stream.h"
#include "server/unary.h"

namespace rlx::server {
namespace {

using EventStream = StreamReactor<v1::CompileEvent>;

void PushProgress(EventStream& stream, const engine::CompileProgress& progress) {
  v1::CompileEvent event;
  event.set_operation(progress.operation.ToHex());
  v1::CompileEvent::Progress& to = *event.mutable_progress();
  to.set_phase(static_cast<v1::CompilePhase>(static_cast<int>(progress.phase) + 1));
  to.set_detail(std::string(progress.detail));
  to.set_seconds(progress.seconds);
  stream.Push(std::move(event));
}

void PushResult(EventStream& stream, const engine::Compiled& compiled) {
  stream.PushLast([&](v1::CompileEvent& event) {
    event.set_operation(compiled.operation.ToHex());
    CompiledToWire(compiled, *event.mutable_result());
  });
}

// The same request again, if it is so small that telling costs less than handing it over.
std::optional<engine::Compiled> RecallQuickly(const v1::CompileRequest& request, Call& call) {
  constexpr size_t kSmall = 256 << 10;
  if (!call.cancel().Check().ok() || request.ByteSizeLong() > kSmall) return std::nullopt;
  const std::optional<Digest256> key = RecallKey(request);
  return key ? call.engine().Recall(call.who(), *key) : std::nullopt;
}

absl::StatusOr<engine::Compiled> CompileNow(EventStream& stream, Call& call,
                                            const v1::CompileRequest& request) {
  const std::optional<Digest256> recall = RecallKey(request);
  if (recall) {
    if (auto known = call.engine().Recall(call.who(), *recall)) return *std::move(known);
  }
  RLX_ASSIGN(engine::CompileSpec spec, SpecFromWire(request.spec(), call.who(), call.engine()));
  spec.request = recall;
  const engine::CompileCall how{
      .skip_cache_lookup = request.skip_cache_lookup(),
      .do_not_cache = request.do_not_cache(),
      .progress = [&](const engine::CompileProgress& p) { PushProgress(stream, p); },
      .misses = &call.misses()};
  return call.engine().Compile(call.who(), std::move(spec), how, call.cancel());
}

grpc::Status EndCompile(EventStream& stream, Call& call,
                        const absl::StatusOr<engine::Compiled>& compiled) {
  if (compiled.ok()) {
    PushResult(stream, *compiled);
    LogReports(*compiled, call.frontend());
  }
  return call.End(compiled.status());
}

}  // namespace

CompilerService::CompilerService(Frontend& frontend) : frontend_(frontend) {}
CompilerService::~CompilerService() = default;

grpc::ServerWriteReactor<v1::CompileEvent>* CompilerService::Compile(
    grpc::CallbackServerContext* context, const v1::CompileRequest* request) {
  // The request lives until the reactor is done.
  const auto produce = [request](EventStream& s, Call& call) {
    return EndCompile(s, call, CompileNow(s, call, *request));
  };
  const auto recall = [request](EventStream& s, Call& call) -> std::optional<grpc::Status> {
    auto known = RecallQuickly(*request, call);
    if (!known) return std::nullopt;
    return EndCompile(s, call, *std::move(known));
  };
  return EventStream::Start(frontend_, compile_, *context, *request, produce, recall);
}

grpc::ServerWriteReactor<v1::CompileEvent>* CompilerService::WaitCompile(
    grpc::CallbackServerContext* context, const v1::WaitCompileRequest* request) {
  return EventStream::Start(
      frontend_, wait_, *context, *request, [request](EventStream& s, Call& call) {
        const auto operation = RandomId::FromHex(request->operation());
        if (!operation) return call.End(InvalidArgument("operation is not an id"));
        const engine::CompileCall how{
            .progress = [&](const engine::CompileProgress& p) { PushProgress(s, p); },
            .misses = &call.misses()};
        const auto compiled = call.engine().WaitCompile(call.who(), *operation, how, call.cancel());
        return EndCompile(s, call, compiled);
      });
}

grpc::ServerUnaryReactor* CompilerService::Inspect(grpc::CallbackServerContext* context,
                                                   const v1::InspectRequest* request,
                                                   v1::CompileResult* response) {
  const auto handle = [request, response](Call& call) -> absl::Status {
    const auto key = Digest256::FromBytes(request->key());
    if (!key) return InvalidField("key", request->key().size(), " bytes instead of 32");
    RLX_ASSIGN(const engine::Compiled compiled,
               call.engine().Inspect(call.who(), *key, call.cancel()));
    CompiledToWire(compiled, *response);
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, inspect_, *context, *request, *response, Where::kExecutor,
                             handle);
}

grpc::ServerUnaryReactor* CompilerService::Lower(grpc::CallbackServerContext* context,
                                                 const v1::LowerRequest* request,
                                                 v1::LowerResponse* response) {
  const auto handle = [request, response](Call& call) -> absl::Status {
    const auto stage = wire::FromWire(request->stage());
    if (!stage) return InvalidField("stage", "unknown value ", static_cast<int>(request->stage()));
    RLX_ASSIGN(const engine::CompileSpec spec,
               SpecFromWire(request->spec(), call.who(), call.engine()));
    RLX_ASSIGN(const engine::Lowered lowered,
               call.engine().Lower(spec, *stage, call.cancel(), &call.misses()));
    response->set_text(lowered.text);
    wire::ModuleToWire(lowered.module, *response->mutable_module());
    for (const PassTiming& timing : lowered.passes) {
      wire::PassTimingToWire(timing, *response->add_passes());
    }
    if (*stage != Stage::kLir) return absl::OkStatus();
    wire::FusionReportToWire(lowered.fusion, *response->mutable_fusion());
    wire::DispatchReportToWire(lowered.dispatch, *response->mutable_dispatch());
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, lower_, *context, *request, *response, Where::kExecutor,
                             handle);
}

grpc::ServerUnaryReactor* CompilerService::Explain(grpc::CallbackServerContext* context,
                                                   const v1::ExplainRequest* request,
                                                   v1::ExplainResponse* response) {
  const auto handle = [request, response](Call& call) -> absl::Status {
    RLX_ASSIGN(const engine::CompileSpec spec,
               SpecFromWire(request->spec(), call.who(), call.engine()));
    RLX_ASSIGN(const engine::Explained explained,
               call.engine().Explain(spec, call.cancel(), &call.misses()));
    ExplainedToWire(explained, spec.module, *request, *response);
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, explain_, *context, *request, *response, Where::kExecutor,
                             handle);
}

grpc::ServerUnaryReactor* CompilerService::ExportSource(grpc::CallbackServerContext* context,
                                                        const v1::ExportSourceRequest* request,
                                                        v1::ExportSourceResponse* response) {
  const auto handle = [request, response](Call& call) -> absl::Status {
    RLX_ASSIGN(const engine::CompileSpec spec,
               SpecFromWire(request->spec(), call.who(), call.engine()));
    const std::set<std::string> languages(request->languages().begin(), request->languages().end());
    RLX_ASSIGN(const engine::Exported exported,
               call.engine().ExportSource(spec, languages, call.cancel(), &call.misses()));
    TargetToWire(exported.target, exported.fusion_target, *response->mutable_target());
    for (const engine::KernelSource& kernel : exported.kernels) {
      KernelSourceToWire(kernel, *response->add_kernels());
    }
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, export_source_, *context, *request, *response,
                             Where::kExecutor, handle);
}

grpc::ServerUnaryReactor* CompilerService::ExplainKey(grpc::CallbackServerContext* context,
                                                      const v1::ExplainKeyRequest* request,
                                                      v1::ExplainKeyResponse* response) {
  const auto handle = [request, response](Call& call) -> absl::Status {
    RLX_ASSIGN(const engine::CompileSpec spec,
               SpecFromWire(request->spec(), call.who(), call.engine()));
    if (!request->has_other()) {
      RLX_ASSIGN(const engine::KeyExplanation key, call.engine().ExplainKey(spec));
      ExplanationToWire(key, response->mutable_key(), response->mutable_components());
      return absl::OkStatus();
    }
    RLX_ASSIGN(const engine::CompileSpec other,
               SpecFromWire(request->other(), call.who(), call.engine()));
    RLX_ASSIGN(const engine::KeyComparison compared, call.engine().CompareKeys(spec, other));
    ComparisonToWire(compared, *response);
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, explain_key_, *context, *request, *response,
                             Where::kExecutor, handle);
}

}  // namespace rlx::server
