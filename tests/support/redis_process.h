// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

namespace rlx::test {

// A redis-server of the test's own, on a Unix socket in a fresh folder; no port, nothing on disk.
// It dies with the test.
class RedisProcess {
 public:
  // Debian's redis-server is there. Tests skip without it, and say so.
  static bool Installed();

  // `flags` as redis-server takes them: {"--requirepass", "secret"}.
  explicit RedisProcess(std::vector<std::string> flags = {});
  ~RedisProcess();
  RedisProcess(const RedisProcess&) = delete;
  RedisProcess& operator=(const RedisProcess&) = delete;

  std::string socket() const { return folder_ / "redis"; }
  std::string url() const { return "unix:" + socket(); }
  pid_t pid() const { return pid_; }

  void Start();  // empty, at the same place; returns once it answers
  void Kill();
  void Sleep() const;  // it answers nobody until Wake
  void Wake() const;

 private:
  bool Answers() const;

  const TempDir folder_;
  const std::vector<std::string> flags_;
  pid_t pid_ = 0;
};

}  // namespace rlx::test
