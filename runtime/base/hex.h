// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace rlx {

// Lower-case hexadecimal, two digits a byte.
std::string HexEncode(std::span<const uint8_t> bytes);

// Fills `out` from exactly 2 * out.size() lower-case digits; false, with `out` unspecified,
// otherwise. One spelling a value: names made from it can be compared as text.
bool HexDecode(std::string_view hex, std::span<uint8_t> out);

}  // namespace rlx
