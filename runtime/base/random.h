// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace rlx {

// Fills `out` from the kernel's generator (getrandom): unguessable.
void FillRandom(std::span<uint8_t> out);

// 128 random bits: a handle that cannot be guessed, a name that will not collide.
struct RandomId {
  std::array<uint8_t, 16> bytes{};

  static RandomId New();
  // 32 lower-case digits, and nothing else.
  static std::optional<RandomId> FromHex(std::string_view hex);

  std::string ToHex() const;
  std::string ToString() const { return ToHex(); }  // what Cat writes

  friend auto operator<=>(const RandomId&, const RandomId&) = default;
};

}  // namespace rlx

template <>
struct std::hash<rlx::RandomId> {
  size_t operator()(const rlx::RandomId& id) const noexcept {
    size_t value;
    std::memcpy(&value, id.bytes.data(), sizeof(value));
    return value;
  }
};
