// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <stop_token>
#include <utility>

#include "runtime/base/status.h"

namespace rlx {

// One request's end: its deadline and whether its caller has gone. Cheap to copy, thread safe; the
// default never ends. Long work calls Check() between steps.
class CancelToken {
 public:
  using Clock = std::chrono::steady_clock;

  CancelToken() = default;
  explicit CancelToken(std::stop_token stop, std::optional<Clock::time_point> deadline = {})
      : stop_(std::move(stop)), deadline_(deadline) {}

  const std::stop_token& stop() const { return stop_; }
  std::optional<Clock::time_point> deadline() const { return deadline_; }

  bool done() const { return stop_.stop_requested() || (deadline_ && Clock::now() >= *deadline_); }
  // DeadlineExceeded or Cancelled once done, else OK. The deadline first: a caller goes when its
  // own clock says so, and that is not what the word is for.
  absl::Status Check() const {
    if (deadline_ && Clock::now() >= *deadline_) return DeadlineExceeded("the deadline has passed");
    if (stop_.stop_requested()) return Cancelled("the caller has gone");
    return absl::OkStatus();
  }

 private:
  std::stop_token stop_;
  std::optional<Clock::time_point> deadline_;
};

}  // namespace rlx
