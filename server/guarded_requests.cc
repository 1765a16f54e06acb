// SPDX-License-Identifier: Apache-2.0
#include "server/guarded_requests.h"

#include "runtime/base/fault.h"
#include "runtime/wire/message_cost.h"

namespace rlx::server {
namespace {

using google::protobuf::Message;
using google::protobuf::UnknownField;

// Reasons are unknown fields of the emptied message, under numbers that no field of ours has. A
// client that sends them itself is told what it said.
constexpr int kMalformed = 536870911;
constexpr int kTooLarge = 536870910;

// Small messages cannot become large ones: about a hundred times their bytes at the worst.
constexpr size_t kUnsuspicious = size_t{1} << 20;
constexpr size_t kExcess = size_t{256} << 20;

void Refuse(Message& request, int reason, const std::string& text) {
  request.Clear();
  request.GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(reason, text);
}

bool TakesTooMuch(grpc::ByteBuffer& bytes, const Message& request) {
  if (bytes.Length() < kUnsuspicious) return false;
  grpc::ProtoBufferReader reader(&bytes);
  if (!reader.status().ok()) return false;
  const size_t limit = bytes.Length() + kExcess;
  return wire::ParsedBytes(reader, *request.GetDescriptor(), limit) >= limit;
}

}  // namespace

void ReadGuarded(grpc::ByteBuffer& bytes, Message& request) {
  const size_t size = bytes.Length();
  if (TakesTooMuch(bytes, request)) {
    bytes.Clear();
    return Refuse(request, kTooLarge,
                  Cat("a ", request.GetDescriptor()->name(), " of ", size,
                      " bytes would take more than ", kExcess, " bytes of memory besides"));
  }
  // Message, not the request's own type: one reader for all of them.
  const grpc::Status read =
      grpc::GenericDeserialize<grpc::ProtoBufferReader, Message>(&bytes, &request);
  if (read.ok()) return;
  Refuse(request, kMalformed,
         Cat("the ", size, " bytes are no ", request.GetDescriptor()->full_name()));
}

absl::Status Refusal(const Message& request) {
  const auto& unknown = request.GetReflection()->GetUnknownFields(request);
  for (int i = 0; i < unknown.field_count(); ++i) {
    const UnknownField& field = unknown.field(i);
    if (field.type() != UnknownField::TYPE_LENGTH_DELIMITED) continue;
    if (field.number() == kMalformed)
      return WithReason(InvalidArgument(field.length_delimited()), "malformed");
    if (field.number() == kTooLarge)
      return WithReason(ResourceExhausted(field.length_delimited()), "limit_exceeded");
  }
  return absl::OkStatus();
}

}  // namespace rlx::server
