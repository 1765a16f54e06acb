// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/random.h"

#include <sys/random.h>

#include <cerrno>

#include "runtime/base/check.h"
#include "runtime/base/hex.h"

namespace rlx {

void FillRandom(std::span<uint8_t> out) {
  while (!out.empty()) {
    ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    CHECK(got > 0, "getrandom failed with errno ", errno);
    out = out.subspan(static_cast<size_t>(got));
  }
}

RandomId RandomId::New() {
  RandomId id;
  FillRandom(id.bytes);
  return id;
}

std::optional<RandomId> RandomId::FromHex(std::string_view hex) {
  RandomId id;
  if (!HexDecode(hex, id.bytes)) return std::nullopt;
  return id;
}

std::string RandomId::ToHex() const { return HexEncode(bytes); }

}  // namespace rlx
