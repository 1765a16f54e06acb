// SPDX-License-Identifier: Apache-2.0
#include "tests/support/http_get.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/text.h"

namespace rlx::test {

std::string HttpGet(int port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string all;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    const std::string request =
        Cat("GET ", path, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    char buffer[4096];
    if (write(fd, request.data(), request.size()) > 0) {
      for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) {
        all.append(buffer, static_cast<size_t>(n));
      }
    }
  }
  close(fd);
  const size_t body = all.find("\r\n\r\n");
  return all.starts_with("HTTP/1.1 200") && body != all.npos ? all.substr(body + 4) : "";
}

}  // namespace rlx::test
