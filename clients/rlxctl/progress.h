// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rlx::ctl {

// What goes on, on stderr: one line that is written over on a terminal, a line for each step
// elsewhere. Says nothing unless enabled.
class Progress {
 public:
  // Enabled: by `wanted`, or because stderr is a terminal.
  explicit Progress(bool wanted);
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Step(std::string_view text);

  // "VERB 12.0 MiB of 86.7 MiB (13 %)", at most a few times a second.
  void Bytes(std::string_view verb, uint64_t done, uint64_t total);

  // Takes the line away, before anything else is written.
  void Clear();

 private:
  const bool terminal_;
  const bool enabled_;
  bool shown_ = false;
  double last_ = 0;  // MonotonicSeconds of the last Bytes
};

}  // namespace rlx::ctl
