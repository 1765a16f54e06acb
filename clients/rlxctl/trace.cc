// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/trace.h"

#include "clients/rlxctl/words.h"
#include "rlx/v1/compiler.pb.h"
#include "rlx/v1/sessions.pb.h"
#include "runtime/base/chrome_trace.h"
#include "runtime/base/file.h"

namespace rlx::ctl {
namespace {

double Lookup(const google::protobuf::Map<std::string, double>& seconds, const char* stage) {
  const auto it = seconds.find(stage);
  return it == seconds.end() ? 0 : it->second;
}

void Passes(const v1::CompileResult& result, double start, ChromeTrace& trace) {
  const int track = trace.Track("passes");
  for (const v1::PassTiming& pass : result.passes()) {
    if (pass.skipped()) continue;
    trace.Span(track, pass.name(), start, pass.seconds(),
               Cat(pass.nodes_after(), " nodes after", pass.changed() ? "" : ", unchanged"));
    start += pass.seconds();
  }
}

// Kernels are compiled at the end of code generation, in one go.
void Kernels(const v1::CompileResult& result, double end, ChromeTrace& trace) {
  const double seconds = Lookup(result.stage_seconds(), "kernels");
  if (result.kernels_size() == 0) return;
  trace.Span(trace.Track("kernels"), Cat("compile ", result.kernels_size(), " kernels"),
             end - seconds, seconds,
             Join(result.kernels(), "\n", [](std::string& out, const v1::CompiledKernel& kernel) {
               out += Cat(kernel.name(), ": ", kernel.label(), ", ", kernel.steps(), " steps");
             }));
}

// Where the time of the compile that made the artifact went, from `at` on: a hit waited for none of
// it.
void Earlier(const v1::CompileResult& result, double at, ChromeTrace& trace) {
  const int track = trace.Track("the compile that made it, earlier");
  for (const char* stage : {"verify", "hir", "mir", "lir", "codegen"}) {
    if (!result.stage_seconds().contains(stage)) continue;
    const double seconds = Lookup(result.stage_seconds(), stage);
    trace.Span(track, stage, at, seconds);
    if (std::string_view(stage) == "mir") Passes(result, at, trace);
    at += seconds;
    if (std::string_view(stage) == "codegen") Kernels(result, at, trace);
  }
}

}  // namespace

std::string CompileTrace(const v1::CompileResult& result) {
  ChromeTrace trace;
  const int track = trace.Track(Cat("compile, ", Word(result.cache())));
  const bool compiled = result.cache() == v1::CACHE_RESULT_COMPILED;
  double at = 0;
  std::map<v1::CompilePhase, std::pair<double, double>> phases;  // begin, end
  for (const v1::PhaseTime& phase : result.phases()) {
    trace.Span(track, Word(phase.phase()), at, phase.seconds());
    phases[phase.phase()] = {at, at + phase.seconds()};
    at += phase.seconds();
  }
  if (compiled && phases.contains(v1::COMPILE_PHASE_MIR)) {
    Passes(result, phases[v1::COMPILE_PHASE_MIR].first, trace);
  }
  if (compiled && phases.contains(v1::COMPILE_PHASE_CODEGEN)) {
    Kernels(result, phases[v1::COMPILE_PHASE_CODEGEN].second, trace);
  }
  if (!compiled) Earlier(result, at, trace);
  return trace.Finish();
}

std::string RunTrace(const v1::RunTiming& timing, double round_trip_seconds) {
  ChromeTrace trace;
  const double served = timing.queue_seconds() + timing.compute_seconds();
  // How the way there and back share what is left is not known here: evenly.
  const double arrived = std::max(0.0, (round_trip_seconds - served) / 2);
  trace.Span(trace.Track("client"), "run", 0, round_trip_seconds);
  const int server = trace.Track("server");
  trace.Span(server, "queue", arrived, timing.queue_seconds());
  const double began = arrived + timing.queue_seconds();
  trace.Span(server, "compute", began, timing.compute_seconds());
  const int steps = trace.Track("steps");
  for (const v1::StepTime& step : timing.steps()) {
    trace.Span(steps, step.label().empty() ? step.kind() : step.label(),
               began + step.start_seconds(), step.seconds(),
               Cat(step.kind(), step.what().empty() ? "" : " ", step.what()));
  }
  return trace.Finish();
}

absl::Status WriteTrace(const std::string& trace, std::string_view path) {
  return WriteFileAtomic(std::string(path), {trace}, 0644);
}

}  // namespace rlx::ctl
