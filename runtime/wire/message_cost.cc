// SPDX-License-Identifier: Apache-2.0
#include "runtime/wire/message_cost.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>
#include <google/protobuf/wire_format_lite.h>

#include <unordered_map>

namespace rlx::wire {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;

constexpr int kMaxDepth = 100;  // protobuf's own
constexpr size_t kPointer = sizeof(void*);
constexpr size_t kString = sizeof(std::string);
constexpr size_t kNumber = 8;  // the widest: one byte of a packed field may become that many

class Coster {
 public:
  Coster(google::protobuf::io::CodedInputStream& in, size_t enough) : in_(in), enough_(enough) {}

  size_t total() const { return total_; }

  // False where the bytes end early or there is no need to go on.
  bool Message(const Descriptor& type, int depth) {
    total_ += SizeOf(type);
    while (total_ < enough_) {
      const uint32_t tag = in_.ReadTag();
      if (tag == 0) return in_.ConsumedEntireMessage();
      const FieldDescriptor* field = type.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
      const auto wire = WireFormatLite::GetTagWireType(tag);
      const bool ok = wire == WireFormatLite::WIRETYPE_LENGTH_DELIMITED ? Delimited(field, depth)
                                                                        : Number(field, tag);
      if (!ok) return false;
    }
    return false;
  }

 private:
  bool Number(const FieldDescriptor* field, uint32_t tag) {
    if (field == nullptr || field->is_repeated()) total_ += 2 * kNumber;
    return WireFormatLite::SkipField(&in_, tag);
  }

  bool Delimited(const FieldDescriptor* field, int depth) {
    uint32_t length = 0;
    if (!in_.ReadVarint32(&length) || length > INT32_MAX) return false;
    if (field != nullptr && field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)
      return depth < kMaxDepth && Nested(*field->message_type(), length, depth);
    const bool packed = field != nullptr && field->cpp_type() != FieldDescriptor::CPPTYPE_STRING;
    total_ += packed ? kNumber * length : kPointer + kString + length;
    return in_.Skip(static_cast<int>(length));
  }

  bool Nested(const Descriptor& type, uint32_t length, int depth) {
    total_ += kPointer;
    const auto limit = in_.PushLimit(static_cast<int>(length));
    const bool ok = Message(type, depth + 1) && in_.BytesUntilLimit() == 0;
    in_.PopLimit(limit);
    return ok;
  }

  size_t SizeOf(const Descriptor& type) {
    size_t& size = sizes_[&type];
    if (size == 0) {
      const auto* prototype =
          google::protobuf::MessageFactory::generated_factory()->GetPrototype(&type);
      size = prototype != nullptr ? prototype->SpaceUsedLong() : 128;
    }
    return size;
  }

  google::protobuf::io::CodedInputStream& in_;
  const size_t enough_;
  size_t total_ = 0;
  std::unordered_map<const Descriptor*, size_t> sizes_;
};

}  // namespace

size_t ParsedBytes(google::protobuf::io::ZeroCopyInputStream& bytes, const Descriptor& type,
                   size_t enough) {
  google::protobuf::io::CodedInputStream in(&bytes);
  Coster coster(in, enough);
  coster.Message(type, 0);
  return coster.total();
}

size_t ParsedBytes(std::span<const uint8_t> bytes, const Descriptor& type, size_t enough) {
  google::protobuf::io::ArrayInputStream in(bytes.data(), static_cast<int>(bytes.size()));
  return ParsedBytes(in, type, enough);
}

}  // namespace rlx::wire
