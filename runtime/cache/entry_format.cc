// SPDX-License-Identifier: Apache-2.0
#include "runtime/cache/entry_format.h"

#include "runtime/base/sha256.h"

namespace rlx::cache {
namespace {

constexpr std::string_view kMagic = "rlxentry";
constexpr uint32_t kVersion = 1;

void AppendNumber(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

// Everything but the checksum, which is the last field and the only one that is costly.
std::string HeaderWithoutChecksum(const Digest256& key, uint64_t length) {
  std::string header(kMagic);
  AppendNumber(header, kVersion, 4);
  AppendNumber(header, 0, 4);
  AppendNumber(header, length, 8);
  header += key.view();
  return header;
}

}  // namespace

std::string EntryHeader(const Digest256& key, std::string_view value) {
  return HeaderWithoutChecksum(key, value.size()) + std::string(Sha256Of(value).view());
}

absl::Status CheckEntry(std::string_view file, const Digest256& key) {
  if (file.size() < kEntryHeaderBytes) return DataLoss("cache entry: the file ends in the header");
  std::string_view value = file.substr(kEntryHeaderBytes);
  if (!file.starts_with(HeaderWithoutChecksum(key, value.size()))) {
    return DataLoss("cache entry: another format, key or length");
  }
  if (file.substr(0, kEntryHeaderBytes) != EntryHeader(key, value)) {
    return DataLoss("cache entry: the checksum differs");
  }
  return absl::OkStatus();
}

}  // namespace rlx::cache
