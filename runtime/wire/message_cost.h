// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace google::protobuf {
class Descriptor;
namespace io {
class ZeroCopyInputStream;
}
}  // namespace google::protobuf

namespace rlx::wire {

// About how many bytes of memory the message `type` in these bytes takes once parsed: an empty
// nested message is two bytes on the wire and a hundred in memory. Reads tags only, keeps nothing,
// and stops counting at `enough` or where the bytes are not of that type, which the parser then
// says.
size_t ParsedBytes(google::protobuf::io::ZeroCopyInputStream& bytes,
                   const google::protobuf::Descriptor& type, size_t enough);
size_t ParsedBytes(std::span<const uint8_t> bytes, const google::protobuf::Descriptor& type,
                   size_t enough);

}  // namespace rlx::wire
