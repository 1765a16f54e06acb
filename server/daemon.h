// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/device/registry.h"
#include "server/config.h"

namespace rlx::server {

// The whole daemon as a value: engine, gRPC server, HTTP endpoint. Serves from Start until Shutdown
// or destruction. Tests start several in one process, on port 0.
class Daemon {
 public:
  // `registry` holds the back ends. Unavailable when an address cannot be bound.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const Settings& settings,
                                                       device::Registry registry, Logger& log);
  virtual ~Daemon() = default;

  // Bound TCP ports, in the order of --listen (0 for Unix sockets), and the HTTP port (0: none).
  virtual const std::vector<int>& ports() const = 0;
  virtual int metrics_port() const = 0;

  // Not ready at once; after drain_delay_seconds new work is refused as UNAVAILABLE; what runs has
  // drain_timeout_seconds to finish and is then cut off. Then the ports close: calls that meet that
  // see UNAVAILABLE too. Returns whether all finished. `now` true cuts both times short (a second
  // signal), from any thread.
  virtual bool Shutdown(const std::atomic<bool>& now) = 0;
};

}  // namespace rlx::server
