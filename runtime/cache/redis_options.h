// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/base/status.h"

namespace rlx::cache {

// Where a Redis server is, and how to get in.
struct RedisServer {
  std::string host;            // a name or an address, IPv6 without brackets; empty: `unix_path`
  std::string port;            // in digits
  std::string unix_path;       // of a socket
  std::string user, password;  // user empty: Redis' default user; both empty: no AUTH
  int database = 0;
  bool tls = false;
  std::string ca_file;              // of the server's certificate; empty: the system's
  std::string cert_file, key_file;  // what we show; empty: nothing
};

// "redis://[USER@]HOST[:PORT][/DATABASE]", "rediss://…" for TLS, "unix:PATH". A password in it is
// refused: a command line can be read by others. InvalidArgument.
absl::StatusOr<RedisServer> ParseRedisUrl(std::string_view url);

struct RedisOptions {
  RedisServer server;
  std::string secret;               // the fleet's, of any length; the longer the better
  std::string space;                // who shares entries: a text for the build and the salt
  double timeout_seconds = 0.02;    // that someone waits for one answer
  double lease_seconds = 3;         // a dead holder's turn passes on after that
  double keep_seconds = 7 * 86400;  // since the last use
  uint64_t max_entry_bytes = uint64_t{256} << 20;
  uint64_t max_pending_bytes = uint64_t{256} << 20;  // waiting to be written
};

}  // namespace rlx::cache
