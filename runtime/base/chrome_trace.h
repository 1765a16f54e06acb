// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "runtime/base/json.h"

namespace rlx {

// Where time went, in the JSON that Perfetto (ui.perfetto.dev) and chrome://tracing open.
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

}  // namespace rlx
