// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rlx::test {

// The bytes of a safetensors file: the length of the header as the file says it, the header, and as
// many bytes of data.
inline std::string SafetensorsFile(std::string_view header, size_t data_bytes, uint64_t length) {
  std::string out(reinterpret_cast<const char*>(&length), sizeof(length));
  return out.append(header).append(data_bytes, 'x');
}
inline std::string SafetensorsFile(std::string_view header, size_t data_bytes) {
  return SafetensorsFile(header, data_bytes, header.size());
}

}  // namespace rlx::test
