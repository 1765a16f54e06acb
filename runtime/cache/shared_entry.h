// SPDX-License-Identifier: Apache-2.0
// One entry of a store that others can write to. Its head:
//
//   offset  bytes
//        0      8  magic "rlxshare"
//        8      4  format version, little endian, as all numbers here
//       12      4  number of chunks; 0: the value follows the head
//       16      8  length of the value
//       24     32  key
//       56     32  HMAC-SHA256, under the fleet's secret, of the 56 bytes before and the value
//
// Who does not know the secret can neither make an entry nor pass off one key's value as another's.
#pragma once

#include <string>
#include <string_view>

#include "runtime/base/sha256.h"

namespace rlx::cache {

inline constexpr size_t kSharedHeadBytes = 88;
inline constexpr size_t kSharedChunkBytes = 1 << 20;

struct SharedHead {
  uint32_t chunks = 0;
  uint64_t length = 0;
  Digest256 mac;
};

// Chunks that a value of that length is cut into; 0 when it fits behind the head.
uint32_t SharedChunks(uint64_t length);

std::string SharedEntryHead(std::string_view secret, const Digest256& key, std::string_view value);

// Nothing when `bytes` do not begin with a head of this version for `key`. What it says of the
// value is only true once MatchesHead says so.
std::optional<SharedHead> ParseSharedHead(std::string_view bytes, const Digest256& key);

// Whether `value` is what who knows the secret put under `key`.
bool MatchesHead(std::string_view secret, const Digest256& key, const SharedHead& head,
                 std::string_view value);

}  // namespace rlx::cache
