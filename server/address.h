// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace rlx::server {

// Where to listen: "HOST:PORT", "[IPv6]:PORT", "unix:PATH" or "unix-abstract:NAME".
struct Address {
  enum class Kind { kTcp, kUnix };
  Kind kind = Kind::kTcp;
  std::string host;  // kTcp: without brackets; the name of an interface is not looked up here
  int port = 0;      // kTcp: 0 takes a free one
  std::string path;  // kUnix: as bind(2) takes it; an abstract name begins with a zero byte
};

// InvalidArgument saying what is wrong with `text`: gRPC would take a port modulo 65536, and
// civetweb takes options behind it.
absl::StatusOr<Address> ParseAddress(std::string_view text);

}  // namespace rlx::server
