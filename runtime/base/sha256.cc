// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/sha256.h"

#include <openssl/evp.h>

#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/base/hex.h"

namespace rlx {
namespace {

// Little-endian whatever the machine is: the bytes are part of persistent keys.
std::array<char, 8> LittleEndian(uint64_t value) {
  std::array<char, 8> bytes;
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

// Looked up once: a context that is given EVP_sha256() looks its provider up every time.
const EVP_MD* Algorithm() {
  static const EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA2-256", nullptr);
  return sha256;
}

}  // namespace

std::optional<Digest256> Digest256::FromHex(std::string_view hex) {
  Digest256 digest;
  if (!HexDecode(hex, digest.bytes)) return std::nullopt;
  return digest;
}

std::optional<Digest256> Digest256::FromBytes(std::string_view bytes) {
  Digest256 digest;
  if (bytes.size() != digest.bytes.size()) return std::nullopt;
  std::copy(bytes.begin(), bytes.end(), digest.bytes.begin());
  return digest;
}

std::string Digest256::ToHex() const { return HexEncode(bytes); }

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  CHECK(context_ != nullptr && EVP_DigestInit_ex(context_.get(), Algorithm(), nullptr) == 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

Sha256& Sha256::Update(std::string_view bytes) {
  CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
  return *this;
}

Digest256 Sha256::Finish() {
  Digest256 digest;
  CHECK(EVP_DigestFinal_ex(context_.get(), digest.bytes.data(), nullptr) == 1);
  CHECK(EVP_DigestInit_ex(context_.get(), nullptr, nullptr) == 1);
  return digest;
}

Digest256 Sha256Of(std::string_view bytes) { return Sha256().Update(bytes).Finish(); }

FieldHasher& FieldHasher::Add(std::string_view field) {
  std::array<char, 8> length = LittleEndian(field.size());
  hash_.Update({length.data(), length.size()}).Update(field);
  return *this;
}

FieldHasher& FieldHasher::AddInt(uint64_t value) {
  std::array<char, 8> bytes = LittleEndian(value);
  return Add({bytes.data(), bytes.size()});
}

}  // namespace rlx
