// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/compile.h"

#include "clients/rlxctl/context.h"
#include "clients/rlxctl/table.h"
#include "clients/rlxctl/words.h"
#include "rlx/v1/compiler.grpc.pb.h"

namespace rlx::ctl {
namespace {

constexpr FlagSpec kFlags[] = {
    {"skip-cache-lookup", "", "compile even if the cache has it"},
    {"do-not-cache", "", "keep no copy beyond what uses the executable"},
    {"trace", "FILE", "write where the time went, for Perfetto and chrome://tracing"},
    {"dump", "hir|mir|lir", "print the module at a stage too", true},
};

}  // namespace

const std::span<const FlagSpec> kCacheUseFlags = kFlags;

absl::StatusOr<v1::CompileResult> Compile(v1::CompileSpec spec, Context& context) {
  v1::CompileRequest request;
  *request.mutable_spec() = std::move(spec);
  request.set_skip_cache_lookup(context.flags.IsOn("skip-cache-lookup"));
  request.set_do_not_cache(context.flags.IsOn("do-not-cache"));
  grpc::ClientContext call;
  context.server.SetDeadline(call, kLong);
  const auto stub = v1::Compiler::NewStub(context.server.channel());
  const auto events = stub->Compile(&call, request);
  v1::CompileEvent event;
  std::optional<v1::CompileResult> result;
  while (events->Read(&event)) {
    if (event.has_result()) {
      result = std::move(*event.mutable_result());
    } else if (event.has_progress()) {
      const v1::CompileEvent::Progress& progress = event.progress();
      context.progress.Step(Cat("compiling: ", Word(progress.phase()),
                                progress.detail().empty() ? "" : " ", Printable(progress.detail()),
                                ", ", SecondsText(progress.seconds())));
    }
  }
  RLX_TRY(context.server.Check(events->Finish()));
  context.progress.Clear();
  if (!result) return Internal("the server ended a compile with neither result nor error");
  return *std::move(result);
}

std::string OriginText(const v1::CompileResult& result) {
  double seconds = 0;
  for (const v1::PhaseTime& phase : result.phases()) seconds += phase.seconds();
  const std::string origin = Word(result.cache());
  return Cat(result.cache() == v1::CACHE_RESULT_COMPILED ? "compiled" : Cat(origin, " hit"), " in ",
             SecondsText(seconds));
}

}  // namespace rlx::ctl
