// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <signal.h>

#include <cstdio>
#include <thread>

#include "runtime/base/clock.h"
#include "runtime/base/text.h"
#include "server/daemon.h"
#include "server/version.h"

namespace rlx::server {
namespace {

int Fail(const absl::Status& status) {
  const std::string text = Cat("rlxd: ", std::string(status.message()), "\n");
  std::fputs(text.c_str(), stderr);
  return 1;
}

// SIGTERM and SIGINT are waited for, never handled: blocked here, before any thread starts.
sigset_t BlockSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // a limit on files is a full disk: an error of the write
  return set;
}

int Wait(const sigset_t& set) {
  int signal = 0;
  sigwait(&set, &signal);
  return signal;
}

// Where the libraries' own lines go: they know no context, only a function.
std::atomic<Logger*> library_log{nullptr};
std::atomic<bool> closing{false};

// gRPC calls errors what the network does to it, and what closing the ports under it does.
void LogOfGrpc(gpr_log_func_args* line) {
  Logger* const log = library_log.load();
  if (log == nullptr) return;
  const bool warn = line->severity == GPR_LOG_SEVERITY_ERROR && !closing.load();
  log->Log(warn ? LogLevel::kWarning : LogLevel::kDebug, "grpc", {{"message", line->message}});
}

// What protobuf complains of is what a client sent, and its status says so.
void LogOfProtobuf(google::protobuf::LogLevel level, const char*, int, const std::string& message) {
  Logger* const log = library_log.load();
  if (log == nullptr) return;
  const bool fatal = level == google::protobuf::LOGLEVEL_FATAL;
  log->Log(fatal ? LogLevel::kError : LogLevel::kDebug, "protobuf", {{"message", message}});
}

// The same lines as ours, as long as the daemon serves.
class LibraryLines {
 public:
  explicit LibraryLines(Logger& log) {
    library_log.store(&log);
    gpr_set_log_function(LogOfGrpc);
    google::protobuf::SetLogHandler(LogOfProtobuf);
  }
  ~LibraryLines() { library_log.store(nullptr); }
};

int Serve(const Settings& settings, const sigset_t& signals, double started) {
  Logger log(ToLogLevel(settings.config.log_level()));
  const LibraryLines library_lines(log);
  device::Registry registry;
  const absl::Status loaded = registry.LoadFolder(settings.config.backend_dir());
  if (!loaded.ok()) {
    log.Warning("cannot read backend_dir",
                {{"folder", settings.config.backend_dir()}, {"why", Message(loaded)}});
  }
  std::vector<std::string_view> names;
  for (const device::Backend* backend : registry.all()) names.push_back(backend->name());
  log.Info("back ends", {{"folder", settings.config.backend_dir()}, {"loaded", Join(names, ", ")}});
  auto daemon = Daemon::Start(settings, std::move(registry), log);
  if (!daemon.ok()) return Fail(daemon.status());
  for (size_t i = 0; i < (*daemon)->ports().size(); ++i) {
    log.Info("serving", {{"listen", settings.config.listen(static_cast<int>(i))},
                         {"port", (*daemon)->ports()[i]}});
  }
  log.Info("started", {{"metrics_port", (*daemon)->metrics_port()},
                       {"seconds", MonotonicSeconds() - started},
                       {"version", kVersion}});

  log.Info("shutting down", {{"signal", Wait(signals) == SIGINT ? "SIGINT" : "SIGTERM"}});
  std::atomic<bool> now{false};
  std::thread second([&] {  // a second signal: now
    Wait(signals);
    now.store(true);
  });
  closing.store(true);
  const bool drained = (*daemon)->Shutdown(now);
  daemon->reset();
  log.Info("stopped", {{"drained", drained}});
  pthread_kill(second.native_handle(), SIGTERM);
  second.join();
  return 0;
}

int Main(int argc, char** argv) {
  const double started = MonotonicSeconds();
  const auto settings = ReadSettings({argv + 1, argv + argc});
  if (!settings.ok()) return Fail(settings.status());
  if (settings->help) return std::fputs(HelpText().c_str(), stdout) < 0;
  if (settings->version) {
    const std::string text = Cat("rlxd ", kVersion, " (build ", device::BuildId(), ")\n");
    return std::fputs(text.c_str(), stdout) < 0;
  }
  return Serve(*settings, BlockSignals(), started);
}

}  // namespace
}  // namespace rlx::server

int main(int argc, char** argv) { return rlx::server::Main(argc, argv); }
