// SPDX-License-Identifier: Apache-2.0
#include "server/status.h"

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "rlx/v1/error.pb.h"
#include "runtime/base/fault.h"
#include "runtime/ir/report.h"
#include "runtime/wire/report.h"

namespace rlx::server {
namespace {

constexpr int kRetryMillis = 500;
// Statuses travel in HTTP/2 trailers, which gRPC holds to 8 KiB in all, details encoded in base64.
constexpr size_t kMaxMessageBytes = 1500;
constexpr size_t kMaxMissBytes = 2500;
constexpr size_t kMaxNameBytes = 200;

std::string_view Reason(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return "invalid_argument";
    case absl::StatusCode::kNotFound:
      return "not_found";
    case absl::StatusCode::kOutOfRange:
      return "out_of_range";
    case absl::StatusCode::kFailedPrecondition:
      return "failed_precondition";
    case absl::StatusCode::kUnimplemented:
      return "unsupported";
    default:
      return "";
  }
}

// At most `most` bytes of `text` and dots for the rest, in whole UTF-8 characters.
std::string Short(std::string_view text, size_t most) {
  if (text.size() <= most) return std::string(text);
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
  return Cat(text.substr(0, most), "...");
}

std::string ShortMessage(const absl::Status& status) {
  return Short(Message(status), kMaxMessageBytes);
}

v1::ErrorDetail DetailOf(const absl::Status& status) {
  const Fault fault = FaultOf(status);
  v1::ErrorDetail out;
  out.set_reason(!fault.limit.empty()    ? "limit_exceeded"
                 : !fault.reason.empty() ? fault.reason
                                         : std::string(Reason(status)));
  if (fault.node) out.set_node(*fault.node);
  out.set_node_name(Short(fault.node_name, kMaxNameBytes));
  out.set_field(Short(fault.field, kMaxNameBytes));
  out.set_limit(fault.limit);
  out.set_limit_value(fault.limit_value);
  return out;
}

void AddDetails(const absl::Status& status, const FusionReport* misses, google::rpc::Status& out) {
  if (const v1::ErrorDetail detail = DetailOf(status); !detail.reason().empty())
    out.add_details()->PackFrom(detail);
  if (status.code() == absl::StatusCode::kUnavailable || FaultOf(status).passing) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_nanos(kRetryMillis * 1'000'000);
    out.add_details()->PackFrom(retry);
  }
  if (misses == nullptr || misses->remarks.empty()) return;
  v1::FusionMisses missed;
  missed.set_summary(misses->Summary());
  for (const Remark& remark : misses->remarks) {
    if (remark.kind == Remark::Kind::kMissed && remark.actionable) {
      wire::RemarkToWire(remark, *missed.add_missed());
      if (missed.ByteSizeLong() > kMaxMissBytes) {  // the summary counts them all
        missed.mutable_missed()->RemoveLast();
        break;
      }
    }
  }
  out.add_details()->PackFrom(missed);
}

}  // namespace

void ToRpcStatus(const absl::Status& status, google::rpc::Status& out) {
  out.set_code(static_cast<int>(status.code()));
  if (status.ok()) return;
  out.set_message(ShortMessage(status));
  AddDetails(status, nullptr, out);
}

grpc::Status ToGrpc(const absl::Status& status, const FusionReport* misses) {
  if (status.ok()) return grpc::Status::OK;
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(ShortMessage(status));
  AddDetails(status, misses, details);
  const std::string bytes = details.details().empty() ? "" : details.SerializeAsString();
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), details.message(), bytes);
}

}  // namespace rlx::server
