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
