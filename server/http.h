// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace rlx::server {

class Metrics;

// What a pod's probes ask. Liveness holds until exit; readiness goes first at shutdown.
struct Readiness {
  std::atomic<bool> ready{false};
};

// /metrics, /livez and /readyz over HTTP, on its own port and threads. Stops when destroyed.
class HttpEndpoint {
 public:
  // `address` is HOST:PORT; port 0 takes a free one. Unavailable when it cannot be bound,
  // InvalidArgument for IPv6 where the HTTP library has none (Debian's has none).
  static absl::StatusOr<std::unique_ptr<HttpEndpoint>> Start(const std::string& address,
                                                             Metrics& metrics,
                                                             const Readiness& readiness);
  virtual ~HttpEndpoint() = default;
  virtual int port() const = 0;
};

}  // namespace rlx::server
