// SPDX-License-Identifier: Apache-2.0
#include "runtime/cache/shared_entry.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "runtime/base/check.h"

namespace rlx::cache {
namespace {

constexpr std::string_view kMagic = "rlxshare";
constexpr uint32_t kVersion = 1;
constexpr size_t kMacAt = 56;

void AppendNumber(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

uint64_t NumberAt(std::string_view bytes, size_t at, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) {
    value |= uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  }
  return value;
}

std::string HeadWithoutMac(const Digest256& key, uint64_t length) {
  std::string head(kMagic);
  AppendNumber(head, kVersion, 4);
  AppendNumber(head, SharedChunks(length), 4);
  AppendNumber(head, length, 8);
  head += key.view();
  return head;
}

Digest256 Mac(std::string_view secret, std::string_view head, std::string_view value) {
  // The pieces one after the other, since the value may be large.
  EVP_MAC* algorithm = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  EVP_MAC_CTX* context = EVP_MAC_CTX_new(algorithm);
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string("digest", digest, 0),
                                   OSSL_PARAM_construct_end()};
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
  };
  Digest256 out;
  size_t size = 0;
  const bool made = EVP_MAC_init(context, bytes(secret), secret.size(), parameters) == 1 &&
                    EVP_MAC_update(context, bytes(head), head.size()) == 1 &&
                    EVP_MAC_update(context, bytes(value), value.size()) == 1 &&
                    EVP_MAC_final(context, out.bytes.data(), &size, out.bytes.size()) == 1;
  EVP_MAC_CTX_free(context);
  EVP_MAC_free(algorithm);
  CHECK(made && size == out.bytes.size(), "HMAC-SHA256 failed");
  return out;
}

}  // namespace

uint32_t SharedChunks(uint64_t length) {
  if (length <= kSharedChunkBytes) return 0;
  return static_cast<uint32_t>((length + kSharedChunkBytes - 1) / kSharedChunkBytes);
}

std::string SharedEntryHead(std::string_view secret, const Digest256& key, std::string_view value) {
  std::string head = HeadWithoutMac(key, value.size());
  head += Mac(secret, head, value).view();
  return head;
}

std::optional<SharedHead> ParseSharedHead(std::string_view bytes, const Digest256& key) {
  if (bytes.size() < kSharedHeadBytes) return std::nullopt;
  SharedHead head;
  head.length = NumberAt(bytes, 16, 8);
  head.chunks = static_cast<uint32_t>(NumberAt(bytes, 12, 4));
  if (bytes.substr(0, kMacAt) != HeadWithoutMac(key, head.length)) return std::nullopt;
  head.mac = *Digest256::FromBytes(bytes.substr(kMacAt, 32));
  return head;
}

bool MatchesHead(std::string_view secret, const Digest256& key, const SharedHead& head,
                 std::string_view value) {
  if (value.size() != head.length) return false;
  const Digest256 mac = Mac(secret, HeadWithoutMac(key, value.size()), value);
  return CRYPTO_memcmp(mac.bytes.data(), head.mac.bytes.data(), mac.bytes.size()) == 0;
}

}  // namespace rlx::cache
