// SPDX-License-Identifier: Apache-2.0
#include "runtime/cache/redis_options.h"

#include <sys/un.h>

#include "runtime/base/text.h"

namespace rlx::cache {
namespace {

constexpr std::string_view kDefaultPort = "6379";

bool IsNumber(std::string_view text, int64_t most) {
  const auto number = ParseInt(text);
  return number && *number >= 0 && *number <= most;
}

// "HOST", "HOST:PORT", "[IPv6]", "[IPv6]:PORT".
absl::Status SplitHost(std::string_view text, RedisServer& out) {
  const bool bracket = text.starts_with('[');
  const size_t end = bracket ? text.find(']') : text.find(':');
  if (bracket && end == text.npos) return InvalidArgument("no ] after [");
  out.host = bracket ? text.substr(1, end - 1) : text.substr(0, end);
  std::string_view rest = end == text.npos ? "" : text.substr(end + (bracket ? 1 : 0));
  out.port = kDefaultPort;
  if (rest.starts_with(':')) out.port = rest.substr(1);
  if (out.host.empty()) return InvalidArgument("no host");
  if (!rest.empty() && rest[0] != ':') return InvalidArgument("what follows the host is no port");
  if (!IsNumber(out.port, 65535) || out.port == "0") {
    return InvalidArgument("\"", out.port, "\" is no port");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RedisServer> ParseRedisUrl(std::string_view url) {
  RedisServer out;
  constexpr std::string_view plain = "redis://", tls = "rediss://", unix_socket = "unix:";
  if (url.starts_with(unix_socket)) {
    out.unix_path = url.substr(unix_socket.size());
    if (out.unix_path.empty() || out.unix_path.size() >= sizeof(sockaddr_un::sun_path)) {
      return InvalidArgument("no path, or one too long for a socket");
    }
    return out;
  }
  out.tls = url.starts_with(tls);
  if (!out.tls && !url.starts_with(plain)) {
    return InvalidArgument("neither redis://HOST:PORT, rediss://HOST:PORT nor unix:PATH");
  }
  std::string_view rest = url.substr(out.tls ? tls.size() : plain.size());
  if (const size_t slash = rest.find('/'); slash != rest.npos) {
    const std::string_view database = rest.substr(slash + 1);
    if (!database.empty()) {
      if (!IsNumber(database, 65535)) return InvalidArgument("\"", database, "\" is no database");
      out.database = static_cast<int>(*ParseInt(database));
    }
    rest = rest.substr(0, slash);
  }
  if (const size_t at = rest.rfind('@'); at != rest.npos) {
    out.user = rest.substr(0, at);
    if (out.user.find(':') != std::string::npos) {
      return InvalidArgument("a password stands in it; give it in a file");
    }
    rest = rest.substr(at + 1);
  }
  RLX_TRY(SplitHost(rest, out));
  return out;
}

}  // namespace rlx::cache
