// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/trace_files.h"

#include "runtime/base/chrome_trace.h"
#include "runtime/base/file.h"
#include "runtime/engine/session.h"

namespace rlx::engine {
namespace {

void Leave(const std::string& folder, const Digest256& key, std::string_view what,
           ChromeTrace& trace) {
  WriteFileAtomic(Cat(folder, "/", key, ".", what, ".json"), {trace.Finish()}).IgnoreError();
}

void Passes(const std::vector<PassTiming>& passes, double start, ChromeTrace& trace) {
  const int track = trace.Track("passes");
  for (const PassTiming& pass : passes) {
    if (pass.skipped) continue;
    trace.Span(track, pass.pass, start, pass.seconds,
               Cat(pass.nodes_after, " nodes after", pass.changed ? "" : ", unchanged"));
    start += pass.seconds;
  }
}

// Kernels are compiled at the end of code generation, in one go.
void Kernels(const wire::Artifact& artifact, double end, ChromeTrace& trace) {
  const auto seconds = artifact.phase_seconds.find("kernels");
  if (artifact.program == nullptr || seconds == artifact.phase_seconds.end()) return;
  const auto& kernels = artifact.program->kernels;
  trace.Span(trace.Track("kernels"), Cat("compile ", kernels.size(), " kernels"),
             end - seconds->second, seconds->second,
             Join(kernels, "\n", [](std::string& out, const auto& kernel) { out += kernel.name; }));
}

}  // namespace

void WriteCompileTrace(const std::string& folder, const Compiled& compiled) {
  ChromeTrace trace;
  const wire::Artifact& artifact = compiled.module->artifact;
  const int track = trace.Track(Cat("compile, ", Name(compiled.cache)));
  double at = 0, mir = 0, codegen_end = 0;
  for (const auto& [phase, seconds] : compiled.phases) {
    trace.Span(track, Name(phase), at, seconds);
    if (phase == CompilePhase::kMir) mir = at;
    at += seconds;
    if (phase == CompilePhase::kCodegen) codegen_end = at;
  }
  Passes(artifact.passes, mir, trace);
  Kernels(artifact, codegen_end, trace);
  Leave(folder, compiled.key(), "compile", trace);
}

void WriteRunTrace(const std::string& folder, const Digest256& key, const RunTiming& timing,
                   const std::vector<TracedStep>& steps) {
  ChromeTrace trace;
  const int run = trace.Track("run");
  trace.Span(run, "queue", 0, timing.queue_seconds);
  trace.Span(run, "compute", timing.queue_seconds, timing.compute_seconds);
  const int track = trace.Track("steps");
  for (const TracedStep& step : steps) {
    trace.Span(track, step.label.empty() ? step.kind : std::string_view(step.label),
               timing.queue_seconds + step.start, step.seconds,
               Cat(step.kind, step.what.empty() ? "" : " ", step.what));
  }
  Leave(folder, key, "run", trace);
}

}  // namespace rlx::engine
