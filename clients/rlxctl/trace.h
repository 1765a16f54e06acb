// SPDX-License-Identifier: Apache-2.0
// Where time went, in the JSON that Perfetto (ui.perfetto.dev) and chrome://tracing open.
#pragma once

#include <string>
#include <string_view>

#include "runtime/base/json.h"
#include "runtime/base/status.h"

namespace rlx::v1 {
class CompileResult;
class RunTiming;
}  // namespace rlx::v1

namespace rlx::ctl {

class ChromeTrace {
 public:
  ChromeTrace();
  // A row of its own, for spans that follow each other or lie within each other; its number.
  int Track(std::string_view name);
  // Times in seconds from the trace's start; `more` is shown with the span.
  void Span(int track, std::string_view name, double start, double seconds,
            std::string_view more = "");
  std::string Finish();  // once

 private:
  void Head(std::string_view name, std::string_view phase, int track);

  JsonWriter json_;
  int tracks_ = 0;
};

// The phases of this request; of a compile that it started, also passes and kernels.
std::string CompileTrace(const v1::CompileResult& result);
// Waiting and computing, and each step of one run that was asked for them.
std::string RunTrace(const v1::RunTiming& timing, double round_trip_seconds);

absl::Status WriteTrace(const std::string& trace, std::string_view path);

}  // namespace rlx::ctl
