// SPDX-License-Identifier: Apache-2.0
#include "server/sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>

#include "runtime/base/file.h"

namespace rlx::server {
namespace {

union AnyAddress {
  sockaddr any;
  sockaddr_in ip4;
  sockaddr_in6 ip6;
  sockaddr_un path;
};

// As ParseAddress reads it, without the host.
bool NameOf(int fd, Address& name) {
  AnyAddress address{};
  socklen_t length = sizeof address;
  if (getsockname(fd, &address.any, &length) != 0) return false;
  switch (address.any.sa_family) {
    case AF_INET:
      name.port = ntohs(address.ip4.sin_port);
      return true;
    case AF_INET6:
      name.port = ntohs(address.ip6.sin6_port);
      return true;
    case AF_UNIX: {
      constexpr size_t kHead = offsetof(sockaddr_un, sun_path);
      name.kind = Address::Kind::kUnix;
      name.path.assign(address.path.sun_path, length > kHead ? length - kHead : 0);
      if (!name.path.empty() && name.path[0] != '\0') name.path = name.path.c_str();
      return true;
    }
    default:
      return false;
  }
}

bool IsAmong(const Address& name, const std::vector<Address>& bound) {
  return std::any_of(bound.begin(), bound.end(), [&](const Address& one) {
    return one.kind == name.kind && one.port == name.port && one.path == name.path;
  });
}

// This process's sockets with such a name on this end, each held by a descriptor of our own: gRPC
// may close its at any time, and the number may then mean something else.
std::vector<Fd> SocketsOf(const std::vector<Address>& bound) {
  std::vector<Fd> out;
  const auto names = ListDir("/proc/self/fd");
  if (!names.ok()) return out;
  for (const std::string& name : *names) {
    int number = -1;
    std::from_chars(name.data(), name.data() + name.size(), number);
    Fd fd(fcntl(number, F_DUPFD_CLOEXEC, 0));
    Address address;
    if (fd.get() >= 0 && NameOf(fd.get(), address) && IsAmong(address, bound)) {
      out.push_back(std::move(fd));
    }
  }
  return out;
}

bool Listens(const Fd& fd) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 && value != 0;
}

}  // namespace

void HangUp(const std::vector<Address>& bound) {
  for (const Fd& fd : SocketsOf(bound)) {
    if (Listens(fd)) shutdown(fd.get(), SHUT_RDWR);
  }
  // Anew: some may have been accepted meanwhile.
  for (const Fd& fd : SocketsOf(bound)) {
    if (!Listens(fd)) shutdown(fd.get(), SHUT_WR);
  }
}

bool IsTaken(const Address& address) {
  if (address.kind != Address::Kind::kUnix) return false;
  const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  AnyAddress name{};
  name.path.sun_family = AF_UNIX;
  address.path.copy(name.path.sun_path, sizeof name.path.sun_path);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.path.size());
  // EAGAIN: its queue of connections is full, so it has one.
  return connect(fd.get(), &name.any, length) == 0 || errno == EAGAIN;
}

}  // namespace rlx::server
