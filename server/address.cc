// SPDX-License-Identifier: Apache-2.0
#include "server/address.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>

#include "runtime/base/status.h"

namespace rlx::server {
namespace {

constexpr int kMaxPort = 65535;
constexpr std::string_view kUnix = "unix:";
constexpr std::string_view kAbstract = "unix-abstract:";

absl::StatusOr<int> ParsePort(std::string_view text) {
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(),
                                                   [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) return InvalidArgument("the port \"", text, "\" is no number");
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || port > kMaxPort) {
    return InvalidArgument("the port ", text, " is above ", kMaxPort);
  }
  return port;
}

bool IsHostName(std::string_view host) {
  return std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
}

absl::Status CheckIpv6(std::string_view host) {
  in6_addr parsed;
  const std::string number(host.substr(0, host.find('%')));  // then the interface
  if (inet_pton(AF_INET6, number.c_str(), &parsed) == 1) return absl::OkStatus();
  return InvalidArgument("\"", host, "\" is no IPv6 address");
}

absl::StatusOr<Address> ParseUnix(std::string path) {
  constexpr size_t kMaxPath = sizeof(sockaddr_un{}.sun_path) - 1;
  if (path.empty() || path == std::string(1, '\0')) return InvalidArgument("the path is empty");
  if (path.size() > kMaxPath) {
    return InvalidArgument("the path has ", path.size(), " bytes, more than ", kMaxPath);
  }
  return Address{.kind = Address::Kind::kUnix, .path = std::move(path)};
}

absl::StatusOr<Address> ParseTcp(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return InvalidArgument("neither HOST:PORT nor unix:PATH");
  std::string_view host = text.substr(0, colon);
  if (host.empty()) return InvalidArgument("no host before the port");
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    RLX_TRY(CheckIpv6(host));
  } else if (host.find(':') != host.npos) {
    return InvalidArgument("an IPv6 address stands in brackets: [", host, "]:PORT");
  } else if (!IsHostName(host)) {
    return InvalidArgument("\"", host, "\" is no host");
  }
  RLX_ASSIGN(const int port, ParsePort(text.substr(colon + 1)));
  return Address{.host = std::string(host), .port = port};
}

}  // namespace

absl::StatusOr<Address> ParseAddress(std::string_view text) {
  if (text.starts_with(kUnix)) {
    text.remove_prefix(kUnix.size());
    if (text.starts_with("//")) text.remove_prefix(2);  // as a URI
    return ParseUnix(std::string(text));
  }
  if (text.starts_with(kAbstract)) {
    return ParseUnix(std::string(1, '\0').append(text.substr(kAbstract.size())));
  }
  return ParseTcp(text);
}

}  // namespace rlx::server
