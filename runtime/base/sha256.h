// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4) digests: names of blobs, cache keys, checksums.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct evp_md_ctx_st;  // OpenSSL's EVP_MD_CTX

namespace rlx {

struct Digest256 {
  std::array<uint8_t, 32> bytes{};

  // 64 lower-case digits, and nothing else.
  static std::optional<Digest256> FromHex(std::string_view hex);
  // Exactly 32 bytes, as on the wire.
  static std::optional<Digest256> FromBytes(std::string_view bytes);

  std::string ToHex() const;
  std::string ToString() const { return ToHex(); }  // what Cat writes
  std::string_view view() const { return {reinterpret_cast<const char*>(bytes.data()), 32}; }

  friend auto operator<=>(const Digest256&, const Digest256&) = default;
};

// Incremental. Not thread safe. After Finish it is as new.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  Sha256& Update(std::string_view bytes);
  Digest256 Finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

Digest256 Sha256Of(std::string_view bytes);

// Hashes a sequence of fields, each preceded by its length in eight little-endian bytes, so that no
// two different sequences feed the same bytes: ("ab", "c") and ("a", "bc") differ.
class FieldHasher {
 public:
  FieldHasher& Add(std::string_view field);
  FieldHasher& Add(const Digest256& digest) { return Add(digest.view()); }
  FieldHasher& AddInt(uint64_t value);  // eight little-endian bytes
  Digest256 Finish() { return hash_.Finish(); }

 private:
  Sha256 hash_;
};

}  // namespace rlx

// A digest is uniformly distributed already: its first eight bytes serve.
template <>
struct std::hash<rlx::Digest256> {
  size_t operator()(const rlx::Digest256& digest) const noexcept {
    size_t value;
    std::memcpy(&value, digest.bytes.data(), sizeof(value));
    return value;
  }
};
