// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <string>
#include <thread>

#include "tests/support/temp_dir.h"

namespace rlx::test {

// Stands between a client and a Unix socket, and does what networks do: takes its time, or is cut.
class UnixRelay {
 public:
  explicit UnixRelay(std::string to);
  ~UnixRelay();
  UnixRelay(const UnixRelay&) = delete;
  UnixRelay& operator=(const UnixRelay&) = delete;

  std::string url() const { return "unix:" + path(); }
  // What the server says arrives so much later.
  void Delay(double seconds) { delay_ = seconds; }
  // Nothing gets through in either direction, and nobody is told: connections stay open.
  void Cut(bool cut) { cut_ = cut; }

 private:
  std::string path() const { return folder_ / "relay"; }
  void Serve();

  const TempDir folder_;
  const std::string to_;
  int listening_ = -1;
  std::atomic<double> delay_ = 0;
  std::atomic<bool> cut_ = false;
  std::atomic<bool> ending_ = false;
  std::thread server_;
};

}  // namespace rlx::test
