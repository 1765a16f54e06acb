// SPDX-License-Identifier: Apache-2.0
#include "runtime/cache/redis_endpoint.h"

#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

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

absl::Status TlsError(std::string_view what, std::string_view file) {
  const unsigned long code = ERR_get_error();
  char text[256] = "no reason given";
  if (code != 0) ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return InvalidArgument(what, " ", file, ": ", std::string_view(text));
}

absl::StatusOr<std::shared_ptr<ssl_ctx_st>> ReadTls(const RedisServer& server) {
  std::shared_ptr<ssl_ctx_st> tls(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  SSL_CTX_set_min_proto_version(tls.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(tls.get(), SSL_VERIFY_PEER, nullptr);
  const bool ca = server.ca_file.empty()
                      ? SSL_CTX_set_default_verify_paths(tls.get()) == 1
                      : SSL_CTX_load_verify_locations(tls.get(), server.ca_file.c_str(), nullptr);
  if (!ca) return TlsError("certificates of authorities", server.ca_file);
  if (server.cert_file.empty()) return tls;
  if (SSL_CTX_use_certificate_chain_file(tls.get(), server.cert_file.c_str()) != 1) {
    return TlsError("certificate", server.cert_file);
  }
  if (SSL_CTX_use_PrivateKey_file(tls.get(), server.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return TlsError("key", server.key_file);
  }
  return tls;
}

RedisEndpoint::Address UnixAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return {AF_UNIX, std::string(reinterpret_cast<const char*>(&address), sizeof address)};
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

RedisTime SecondsFromNow(double seconds) {
  return std::chrono::steady_clock::now() +
         std::chrono::microseconds(static_cast<int64_t>(seconds * 1e6));
}

absl::StatusOr<std::shared_ptr<const RedisEndpoint>> RedisEndpoint::Look(
    const RedisServer& server) {
  auto out = std::make_shared<RedisEndpoint>();
  out->server = server;
  if (server.tls) {
    RLX_ASSIGN(out->tls, ReadTls(server));
  }
  if (!server.unix_path.empty()) {
    out->addresses.push_back(UnixAddress(server.unix_path));
    return out;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(server.host.c_str(), server.port.c_str(), &hints, &found);
  if (error != 0) {
    return Unavailable(server.host, ": ", std::string_view(gai_strerror(error)));
  }
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    out->addresses.push_back(
        {at->ai_family, std::string(reinterpret_cast<const char*>(at->ai_addr), at->ai_addrlen)});
  }
  freeaddrinfo(found);
  return out;
}

}  // namespace rlx::cache
