// SPDX-License-Identifier: Apache-2.0
#include "server/settings.h"

#include <algorithm>

#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "runtime/engine/engine.h"

namespace rlx::server {
namespace {

using inference::LogSettingsRequest;
using inference::TraceSettingRequest;
using LogValue = LogSettingsRequest::SettingValue;

constexpr std::string_view kLogFormat = "ISO8601";

absl::Status Unknown(std::string_view name) {
  return InvalidArgument("setting '", name.substr(0, 64), "' is not known here");
}

// Triton's switches for what one level says here.
struct LogSwitches {
  bool verbose, info, warning;

  explicit LogSwitches(LogLevel level)
      : verbose(level <= LogLevel::kDebug),
        info(level <= LogLevel::kInfo),
        warning(level <= LogLevel::kWarning) {}
  LogLevel level() const {
    if (verbose) return LogLevel::kDebug;
    if (info) return LogLevel::kInfo;
    return warning ? LogLevel::kWarning : LogLevel::kError;
  }
};

absl::Status ReadSwitch(const std::string& name, const LogValue& value, bool& out) {
  if (value.parameter_choice_case() != LogValue::kBoolParam) {
    return InvalidArgument("setting '", name, "' takes a bool");
  }
  out = value.bool_param();
  return absl::OkStatus();
}

absl::Status ReadSetting(const std::string& name, const LogValue& value, LogSwitches& out) {
  if (name == "log_info") return ReadSwitch(name, value, out.info);
  if (name == "log_warning") return ReadSwitch(name, value, out.warning);
  if (name == "log_error") {
    bool error = true;
    RLX_TRY(ReadSwitch(name, value, error));
    return error ? absl::OkStatus() : InvalidArgument("errors are always logged");
  }
  if (name == "log_verbose_level") {
    if (value.parameter_choice_case() != LogValue::kUint32Param) {
      return InvalidArgument("setting '", name, "' takes a uint32");
    }
    out.verbose = value.uint32_param() > 0;
    return absl::OkStatus();
  }
  const bool text = value.parameter_choice_case() == LogValue::kStringParam;
  if (name == "log_format") {
    if (text && value.string_param() == kLogFormat) return absl::OkStatus();
    return InvalidArgument("log_format is always ", kLogFormat);
  }
  if (name == "log_file") {
    if (text && value.string_param().empty()) return absl::OkStatus();
    return InvalidArgument("log_file: no request names a file");
  }
  return Unknown(name);
}

// The one value of a setting; `otherwise` where it is cleared.
absl::StatusOr<std::string> OneValue(const std::string& name,
                                     const TraceSettingRequest::SettingValue& value,
                                     const std::string& otherwise) {
  if (value.value_size() == 0) return otherwise;
  if (value.value_size() == 1) return value.value(0);
  return InvalidArgument("setting '", name, "' takes one value");
}

// Of so many runs one leaves a trace.
struct Traces {
  bool on = false;
  uint32_t rate = 1;
};

absl::Status ReadSetting(const std::string& name, const TraceSettingRequest::SettingValue& value,
                         bool possible, Traces& out) {
  if (name == "trace_level") {
    RLX_ASSIGN(const std::string level, OneValue(name, value, possible ? "TIMESTAMPS" : "OFF"));
    if (level != "OFF" && level != "TIMESTAMPS") {
      return InvalidArgument("trace_level is OFF or TIMESTAMPS");
    }
    out.on = level == "TIMESTAMPS";
    if (!out.on || possible) return absl::OkStatus();
    return InvalidArgument("there is no folder for traces: RLX_TRACE_PERFETTO names it at start");
  }
  if (name == "trace_rate") {
    RLX_ASSIGN(const std::string text, OneValue(name, value, "1"));
    const auto rate = ParseInt(text);
    if (!rate || *rate < 1 || *rate > 1'000'000'000) {
      return InvalidArgument("trace_rate is not in [1, 1000000000]");
    }
    out.rate = static_cast<uint32_t>(*rate);
    return absl::OkStatus();
  }
  if (name == "trace_file") return InvalidArgument("trace_file: no request names a file");
  return Unknown(name);
}

}  // namespace

absl::Status SetLog(const LogSettingsRequest& request, Logger& log,
                    inference::LogSettingsResponse& response) {
  LogSwitches switches(log.minimum());
  for (const auto& [name, value] : request.settings()) {
    RLX_TRY(ReadSetting(name, value, switches));
  }
  const LogSwitches after(switches.level());
  if (switches.info != after.info || switches.warning != after.warning) {
    return InvalidArgument("a level takes those above it with it: log_info takes log_warning, and ",
                           "log_verbose_level both");
  }
  log.SetMinimum(switches.level());
  auto& out = *response.mutable_settings();
  out["log_file"].set_string_param("");
  out["log_info"].set_bool_param(after.info);
  out["log_warning"].set_bool_param(after.warning);
  out["log_error"].set_bool_param(true);
  out["log_verbose_level"].set_uint32_param(after.verbose ? 1 : 0);
  out["log_format"].set_string_param(std::string(kLogFormat));
  return absl::OkStatus();
}

absl::Status SetTraces(const TraceSettingRequest& request, engine::Engine& engine,
                       inference::TraceSettingResponse& response) {
  const bool possible = !engine.options().trace_dir.empty();
  const uint32_t every = engine.run_traces();
  Traces traces{every > 0, std::max(1u, every)};
  if (!request.settings().empty() && !request.model_name().empty()) {
    return InvalidArgument("trace settings are of all models: a request that sets them names none");
  }
  for (const auto& [name, value] : request.settings()) {
    RLX_TRY(ReadSetting(name, value, possible, traces));
  }
  if (!traces.on && request.settings().contains("trace_rate")) {
    return InvalidArgument("trace_rate takes a trace_level other than OFF");
  }
  if (!traces.on) traces.rate = 1;
  if (!request.settings().empty()) RLX_TRY(engine.SetRunTraces(traces.on ? traces.rate : 0));
  auto& out = *response.mutable_settings();
  out["trace_level"].add_value(traces.on ? "TIMESTAMPS" : "OFF");
  out["trace_rate"].add_value(Cat(traces.rate));
  out["trace_mode"].add_value("perfetto");
  return absl::OkStatus();
}

}  // namespace rlx::server
