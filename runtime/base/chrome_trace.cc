// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/chrome_trace.h"

#include "runtime/base/text.h"

namespace rlx {
namespace {

constexpr int kProcess = 1;
constexpr double kMicroseconds = 1e6;

}  // namespace

ChromeTrace::ChromeTrace() { json_.BeginObject().Key("traceEvents").BeginArray(); }

void ChromeTrace::Head(std::string_view name, std::string_view phase, int track) {
  json_.BeginObject().Field("name", name).Field("ph", phase);
  json_.Field("pid", kProcess).Field("tid", track);
}

int ChromeTrace::Track(std::string_view name) {
  Head("thread_name", "M", ++tracks_);
  json_.Key("args").BeginObject().Field("name", name).EndObject().EndObject();
  return tracks_;
}

void ChromeTrace::Span(int track, std::string_view name, double start, double seconds,
                       std::string_view more) {
  Head(name, "X", track);
  json_.Field("ts", start * kMicroseconds).Field("dur", seconds * kMicroseconds);
  if (!more.empty()) json_.Key("args").BeginObject().Field("what", more).EndObject();
  json_.EndObject();
}

std::string ChromeTrace::Finish() {
  json_.EndArray().Field("displayTimeUnit", "ms").EndObject();
  return Cat(json_.text(), "\n");
}

}  // namespace rlx
