// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/log.h"

#include <unistd.h>

#include <cerrno>

#include "runtime/base/clock.h"
#include "runtime/base/json.h"

namespace rlx {
namespace {

void WriteField(JsonWriter& json, const LogField& field) {
  json.Key(field.key);
  if (const auto* text = std::get_if<std::string_view>(&field.value)) {
    json.String(*text, Logger::kMaxTextBytes);
  } else {
    std::visit([&](const auto& value) { json.Value(value); }, field.value);
  }
}

}  // namespace

std::string_view LogLevelName(LogLevel level) {
  static constexpr std::string_view kNames[] = {"debug", "info", "warning", "error"};
  return kNames[static_cast<int>(level)];
}

void Logger::Log(LogLevel level, std::string_view event, Fields fields) {
  if (!Enabled(level)) return;
  JsonWriter json;
  json.BeginObject().Field("time", FormatUtc(WallSeconds())).Field("level", LogLevelName(level));
  json.Key("event").String(event, kMaxTextBytes);
  for (const LogField& field : fields) WriteField(json, field);
  json.EndObject();
  std::string line = json.text() + '\n';

  std::lock_guard lock(mutex_);  // a line longer than a pipe's atomic size must not be interleaved
  std::string_view rest = line;
  while (!rest.empty()) {
    ssize_t written = write(fd_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    rest.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace rlx
