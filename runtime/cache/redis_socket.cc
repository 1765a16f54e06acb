// SPDX-License-Identifier: Apache-2.0
#include "runtime/cache/redis_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace rlx::cache {
namespace {

absl::Status Broken(std::string_view what, int error) {
  return Unavailable("the shared cache's server: ", what, ": ",
                     std::string_view(std::strerror(error)));
}

bool IsAddress(const std::string& host) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

}  // namespace

void RedisSocket::FreeSsl::operator()(ssl_st* ssl) const { SSL_free(ssl); }

absl::Status RedisSocket::Wait(short events, RedisTime deadline) const {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return DeadlineExceeded("the shared cache's server does not answer");
    pollfd at{.fd = fd_.get(), .events = events, .revents = 0};
    const int ready = poll(&at, 1, static_cast<int>(std::min<int64_t>(left.count(), 60'000)));
    if (ready > 0) return absl::OkStatus();  // errors show in the call that follows
    if (ready < 0 && errno != EINTR) return Broken("poll", errno);
  }
}

absl::StatusOr<RedisSocket> RedisSocket::Connect(const RedisEndpoint& to, RedisTime deadline) {
  absl::Status last = Unavailable("the shared cache's server has no address");
  for (const RedisEndpoint::Address& address : to.addresses) {
    RedisSocket out;
    out.fd_ = Fd(socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (out.fd_.get() < 0) return Broken("socket", errno);
    const int on = 1;
    if (address.family != AF_UNIX) {
      setsockopt(out.fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    const auto* name = reinterpret_cast<const sockaddr*>(address.bytes.data());
    int error = 0;
    if (connect(out.fd_.get(), name, static_cast<socklen_t>(address.bytes.size())) != 0) {
      error = errno;
      if (error == EINPROGRESS) {
        RLX_TRY(out.Wait(POLLOUT, deadline));
        socklen_t size = sizeof error;
        getsockopt(out.fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
      }
    }
    if (error != 0) {
      last = Broken("connect", error);
      continue;
    }
    if (to.tls != nullptr) RLX_TRY(out.StartTls(to, deadline));
    return out;
  }
  return last;
}

absl::Status RedisSocket::StartTls(const RedisEndpoint& to, RedisTime deadline) {
  context_ = to.tls;
  ssl_.reset(SSL_new(context_.get()));
  SSL_set_fd(ssl_.get(), fd_.get());
  X509_VERIFY_PARAM* expected = SSL_get0_param(ssl_.get());
  const std::string& host = to.server.host;
  if (IsAddress(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(expected, host.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl_.get(), host.c_str());
    X509_VERIFY_PARAM_set1_host(expected, host.c_str(), host.size());
  }
  for (;;) {
    ERR_clear_error();
    const int result = SSL_connect(ssl_.get());
    if (result == 1) return absl::OkStatus();
    if (const long verdict = SSL_get_verify_result(ssl_.get()); verdict != X509_V_OK) {
      return PermissionDenied("the shared cache's server: certificate: ",
                              std::string_view(X509_verify_cert_error_string(verdict)));
    }
    RLX_TRY(WaitForTls(result, deadline));
  }
}

absl::Status RedisSocket::WaitForTls(int result, RedisTime deadline) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return Wait(POLLIN, deadline);
    case SSL_ERROR_WANT_WRITE:
      return Wait(POLLOUT, deadline);
    default: {
      char text[256] = "closed";
      if (const unsigned long code = ERR_get_error()) ERR_error_string_n(code, text, sizeof text);
      return Unavailable("the shared cache's server: TLS: ", std::string_view(text));
    }
  }
}

absl::Status RedisSocket::Write(std::string_view bytes, RedisTime deadline) {
  while (!bytes.empty()) {
    if (ssl_ != nullptr) {
      ERR_clear_error();
      size_t sent = 0;
      const int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &sent);
      if (result == 1) {
        bytes.remove_prefix(sent);
      } else {
        RLX_TRY(WaitForTls(result, deadline));
      }
      continue;
    }
    const ssize_t sent = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      RLX_TRY(Wait(POLLOUT, deadline));
    } else if (errno != EINTR) {
      return Broken("send", errno);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> RedisSocket::Read(std::span<char> into, RedisTime deadline) {
  for (;;) {
    if (ssl_ != nullptr) {
      ERR_clear_error();
      size_t got = 0;
      const int result = SSL_read_ex(ssl_.get(), into.data(), into.size(), &got);
      if (result == 1) return got;
      RLX_TRY(WaitForTls(result, deadline));
      continue;
    }
    const ssize_t got = recv(fd_.get(), into.data(), into.size(), 0);
    if (got > 0) return static_cast<size_t>(got);
    if (got == 0) return Unavailable("the shared cache's server closed the connection");
    if (errno == EAGAIN) {
      RLX_TRY(Wait(POLLIN, deadline));
    } else if (errno != EINTR) {
      return Broken("recv", errno);
    }
  }
}

}  // namespace rlx::cache
