// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "rlx/config/config.pb.h"
#include "runtime/base/log.h"
#include "runtime/engine/engine.h"
#include "server/frontend.h"

namespace rlx::server {

struct KeeperOptions;

// What the command line, the configuration file and the environment say, in this order of
// precedence.
struct Settings {
  config::ServerConfig config;  // every field set
  bool help = false;
  bool version = false;
  bool log_fusion = false;    // RLX_FUSION_REPORT
  bool log_dispatch = false;  // RLX_DISPATCH_REPORT
  std::string ir_dump_dir;    // RLX_IR_DUMP
  std::string trace_dir;      // RLX_TRACE_PERFETTO
  CompileOptions defaults;    // RLX_KERNEL_DISPATCH …
  CompileOptions metal;       // RLX_METAL_…: on for Metal, whatever a request says
  std::optional<cache::RedisOptions> shared_cache;  // with the secrets that its files hold
};

// `args` without the program's name. InvalidArgument naming the flag, or the file and line.
absl::StatusOr<Settings> ReadSettings(const std::vector<std::string>& args);

std::string HelpText();

// The parts of a complete configuration as the rest of the daemon takes them.
engine::EngineOptions ToEngineOptions(const Settings& settings);
WireLimits ToWireLimits(const config::ServerConfig& config);
KeeperOptions ToKeeperOptions(const config::ServerConfig& config);
LogLevel ToLogLevel(config::LogLevel level);

}  // namespace rlx::server
