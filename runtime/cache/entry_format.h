// SPDX-License-Identifier: Apache-2.0
// One entry as a file:
//
//   offset  bytes
//        0      8  magic "rlxentry"
//        8      4  format version, little endian, as all numbers here
//       12      4  0
//       16      8  length of the value
//       24     32  key
//       56     32  SHA-256 of the value
//       88         value, to the end of the file
#pragma once

#include <string>
#include <string_view>

#include "runtime/base/status.h"

namespace rlx {
struct Digest256;
}

namespace rlx::cache {

inline constexpr size_t kEntryHeaderBytes = 88;

std::string EntryHeader(const Digest256& key, std::string_view value);

// OK when `file` is an entry of this version for `key`, whole and unchanged; else DataLoss, saying
// what is wrong. The value is then what follows the header.
absl::Status CheckEntry(std::string_view file, const Digest256& key);

}  // namespace rlx::cache
