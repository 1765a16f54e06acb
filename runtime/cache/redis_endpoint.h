// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "runtime/cache/redis_options.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX

namespace rlx::cache {

using RedisTime = std::chrono::steady_clock::time_point;
RedisTime SecondsFromNow(double seconds);

// A server, looked up and with its certificates read: what connecting needs without any file or
// name service. Immutable.
struct RedisEndpoint {
  struct Address {
    int family = 0;
    std::string bytes;  // a sockaddr
  };
  RedisServer server;
  std::vector<Address> addresses;   // at least one
  std::shared_ptr<ssl_ctx_st> tls;  // null: plain

  // Asks the name service and reads files: may block for seconds. Unavailable, or InvalidArgument
  // for certificates.
  static absl::StatusOr<std::shared_ptr<const RedisEndpoint>> Look(const RedisServer& server);
};

}  // namespace rlx::cache
