// SPDX-License-Identifier: Apache-2.0
#include "tests/support/unix_relay.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <vector>

#include "runtime/base/check.h"

namespace rlx::test {
namespace {

int Socket(const std::string& path, bool listening) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const auto* name = reinterpret_cast<sockaddr*>(&address);
  const bool ok = listening ? bind(fd, name, sizeof address) == 0 && listen(fd, 64) == 0
                            : connect(fd, name, sizeof address) == 0;
  if (ok) return fd;
  close(fd);
  return -1;
}

struct Pair {
  int client, server;
};

// What is there goes from one to the other; false once one has closed.
bool Move(int from, int to) {
  char bytes[16384];
  const ssize_t got = read(from, bytes, sizeof bytes);
  if (got <= 0) return false;
  for (ssize_t sent = 0; sent < got;) {
    const ssize_t part = send(to, bytes + sent, static_cast<size_t>(got - sent), MSG_NOSIGNAL);
    if (part <= 0) return false;
    sent += part;
  }
  return true;
}

}  // namespace

UnixRelay::UnixRelay(std::string to) : to_(std::move(to)), listening_(Socket(path(), true)) {
  CHECK(listening_ >= 0, "cannot listen on ", path());
  server_ = std::thread([this] { Serve(); });
}

UnixRelay::~UnixRelay() {
  ending_ = true;
  server_.join();
  close(listening_);
}

void UnixRelay::Serve() {
  std::vector<Pair> pairs;
  while (!ending_) {
    std::vector<pollfd> watched = {{listening_, POLLIN, 0}};
    for (const Pair& pair : pairs) {
      watched.push_back({pair.client, POLLIN, 0});
      watched.push_back({pair.server, POLLIN, 0});
    }
    if (cut_) {
      poll(nullptr, 0, 5);
      continue;
    }
    poll(watched.data(), watched.size(), 5);
    std::vector<Pair> left;
    for (size_t i = 0; i < pairs.size(); ++i) {
      bool open = true;
      if (watched[2 * i + 1].revents != 0) open = Move(pairs[i].client, pairs[i].server);
      if (open && watched[2 * i + 2].revents != 0) {
        poll(nullptr, 0, static_cast<int>(delay_ * 1e3));
        open = Move(pairs[i].server, pairs[i].client);
      }
      if (open) {
        left.push_back(pairs[i]);
      } else {
        close(pairs[i].client);
        close(pairs[i].server);
      }
    }
    pairs = std::move(left);
    if (watched[0].revents == 0) continue;
    const Pair added = {accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC), Socket(to_, false)};
    if (added.server >= 0) {
      pairs.push_back(added);
    } else {
      close(added.client);
    }
  }
  for (const Pair& pair : pairs) {
    close(pair.client);
    close(pair.server);
  }
}

}  // namespace rlx::test
