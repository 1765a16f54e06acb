// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>

#include "runtime/base/file.h"
#include "runtime/cache/redis_endpoint.h"

struct ssl_st;  // OpenSSL's SSL

namespace rlx::cache {

// A connected socket, plain or TLS, of which every call ends by a point in time. Debian's hiredis
// (0.14) has no TLS, and its timeouts count anew for every piece that arrives; so the bytes are
// moved here, and hiredis reads and writes the protocol alone. The process ignores SIGPIPE, which
// OpenSSL's writes may raise. Not thread safe.
//
// Errors: DeadlineExceeded when the time is up, Unavailable when the other side is not there or has
// closed, PermissionDenied when its certificate is not the one expected.
class RedisSocket {
 public:
  static absl::StatusOr<RedisSocket> Connect(const RedisEndpoint& to, RedisTime deadline);

  absl::Status Write(std::string_view bytes, RedisTime deadline);
  // At least one byte.
  absl::StatusOr<size_t> Read(std::span<char> into, RedisTime deadline);

 private:
  struct FreeSsl {
    void operator()(ssl_st* ssl) const;
  };
  absl::Status Wait(short events, RedisTime deadline) const;
  absl::Status StartTls(const RedisEndpoint& to, RedisTime deadline);
  // What OpenSSL's last call wants before it is made again; a Status when it wants nothing.
  absl::Status WaitForTls(int result, RedisTime deadline);

  Fd fd_;
  std::shared_ptr<ssl_ctx_st> context_;  // outlives ssl_
  std::unique_ptr<ssl_st, FreeSsl> ssl_;
};

}  // namespace rlx::cache
