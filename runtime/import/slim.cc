// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/slim.h"

#include "runtime/base/status.h"

namespace rlx::onnx {
namespace {

constexpr int kMaxDepth = 100;  // messages within messages, as protobuf itself allows
constexpr uint32_t kOwnFields = 60000, kOffsetField = 60001, kLengthField = 60002;
constexpr uint32_t kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;  // wire types

// Messages on the way to a tensor. Everything else is copied as it is.
enum class Kind : uint8_t { kOther, kModel, kGraph, kNode, kAttribute, kTensor, kFunction };
struct Way {
  Kind from;
  uint32_t field;
  Kind to;
};
constexpr Way kWays[] = {
    {Kind::kModel, 7, Kind::kGraph},      {Kind::kModel, 25, Kind::kFunction},
    {Kind::kGraph, 1, Kind::kNode},       {Kind::kGraph, 5, Kind::kTensor},
    {Kind::kFunction, 7, Kind::kNode},    {Kind::kFunction, 11, Kind::kAttribute},
    {Kind::kNode, 5, Kind::kAttribute},   {Kind::kAttribute, 5, Kind::kTensor},
    {Kind::kAttribute, 6, Kind::kGraph},  {Kind::kAttribute, 10, Kind::kTensor},
    {Kind::kAttribute, 11, Kind::kGraph},
};

Kind Below(Kind from, uint32_t field) {
  for (const Way& way : kWays)
    if (way.from == from && way.field == field) return way.to;
  return Kind::kOther;
}

// Where TensorProto has the bytes of its elements, little endian and side by side.
bool IsPayload(uint32_t field) { return field == 4 || field == 9 || field == 10; }

void PutVarint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

void PutTag(std::string& out, uint32_t field, uint32_t wire) { PutVarint(out, field << 3 | wire); }

class Cutter {
 public:
  explicit Cutter(std::string_view model) : model_(model) {}

  // Copies the message [begin, end) to `out`.
  absl::Status Message(size_t begin, size_t end, Kind kind, int depth, std::string& out) {
    if (depth > kMaxDepth) return InvalidArgument("messages nest deeper than ", kMaxDepth);
    size_t at = begin;
    bool has_payload = false;
    while (at < end) {
      const size_t start = at;
      uint64_t tag = 0;
      RLX_TRY(Varint(at, end, tag));
      const auto field = static_cast<uint32_t>(tag >> 3), wire = static_cast<uint32_t>(tag & 7);
      if (tag > UINT32_MAX || field == 0) return Broken(start);
      size_t content = at;
      RLX_TRY(Skip(wire, at, end, content));
      if (field > kOwnFields) continue;
      if (wire == kBytes && kind == Kind::kTensor && IsPayload(field)) {
        if (has_payload)
          return InvalidArgument("byte ", start, ": a tensor has data in two pieces");
        has_payload = true;
        PutTag(out, kOffsetField, kVarint);
        PutVarint(out, content);
        PutTag(out, kLengthField, kVarint);
        PutVarint(out, at - content);
        continue;
      }
      const Kind below = wire == kBytes ? Below(kind, field) : Kind::kOther;
      if (below == Kind::kOther) {
        out.append(model_.substr(start, at - start));
        continue;
      }
      std::string inner;
      RLX_TRY(Message(content, at, below, depth + 1, inner));
      PutTag(out, field, kBytes);
      PutVarint(out, inner.size());
      out.append(inner);
    }
    return absl::OkStatus();
  }

 private:
  static absl::Status Broken(size_t at) {
    return InvalidArgument("byte ", at, " is not where a field of a message can be");
  }

  absl::Status Varint(size_t& at, size_t end, uint64_t& value) const {
    const size_t start = at;
    for (int shift = 0; shift < 64 && at < end; shift += 7) {
      const auto byte = static_cast<uint8_t>(model_[at++]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return absl::OkStatus();
    }
    return Broken(start);
  }

  // Moves past a field's value; `content` is where the bytes of a length-delimited one begin.
  absl::Status Skip(uint32_t wire, size_t& at, size_t end, size_t& content) const {
    const size_t start = at;
    uint64_t length = 0;
    if (wire == kVarint) return Varint(at, end, length);
    if (wire == kFixed64) length = 8;
    if (wire == kFixed32) length = 4;
    if (wire == kBytes) RLX_TRY(Varint(at, end, length));
    if (wire != kFixed64 && wire != kFixed32 && wire != kBytes) return Broken(start);
    content = at;
    if (length > end - at) return Broken(start);
    at += length;
    return absl::OkStatus();
  }

  const std::string_view model_;
};

}  // namespace

absl::StatusOr<std::string> Slim(std::string_view model) {
  std::string out;
  RLX_TRY(Cutter(model).Message(0, model.size(), Kind::kModel, 0, out));
  return out;
}

}  // namespace rlx::onnx
