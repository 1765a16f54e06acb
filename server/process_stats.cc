// SPDX-License-Identifier: Apache-2.0
#include "server/process_stats.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "runtime/base/clock.h"

namespace rlx::server {
namespace {

double CountOpenFds() {
  DIR* folder = opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  double count = -3;  // ".", "..", and this folder
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

double UptimeSeconds() {
  double seconds = 0;
  FILE* file = std::fopen("/proc/uptime", "re");
  if (file == nullptr) return 0;
  if (std::fscanf(file, "%lf", &seconds) != 1) seconds = 0;
  std::fclose(file);
  return seconds;
}

}  // namespace

ProcessStats ReadProcessStats() {
  ProcessStats out;
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    out.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) out.max_fds = static_cast<double>(limit.rlim_cur);
  out.open_fds = CountOpenFds();
  if (FILE* file = std::fopen("/proc/self/stat", "re")) {
    char line[1024] = {};
    const size_t length = std::fread(line, 1, sizeof line - 1, file);
    std::fclose(file);
    // After the command's closing parenthesis, the fields count from 3 (state).
    const char* rest = length > 0 ? std::strrchr(line, ')') : nullptr;
    long threads = 0, resident = 0;
    unsigned long virtual_bytes = 0;
    unsigned long long start_ticks = 0;
    if (rest != nullptr &&
        std::sscanf(rest + 1,
                    " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d "
                    "%llu %lu %ld",
                    &threads, &start_ticks, &virtual_bytes, &resident) == 4) {
      out.threads = static_cast<double>(threads);
      out.virtual_bytes = static_cast<double>(virtual_bytes);
      out.resident_bytes =
          static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE));
      out.start_seconds =
          WallSeconds() - UptimeSeconds() +
          static_cast<double>(start_ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
    }
  }
  return out;
}

}  // namespace rlx::server
