// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/failure.h"

#include <absl/strings/cord.h>
#include <grpcpp/support/status.h>

#include "clients/rlxctl/message_json.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "rlx/v1/error.pb.h"

namespace rlx::ctl {
namespace {

constexpr char kUsage[] = "rlxctl.usage";
constexpr char kDetails[] = "google.rpc.Status";

// The first detail of that type.
template <class Detail>
std::optional<Detail> Find(const absl::Status& status) {
  const auto payload = status.GetPayload(kDetails);
  google::rpc::Status details;
  if (!payload || !details.ParseFromString(std::string(*payload))) return std::nullopt;
  Detail out;
  for (const google::protobuf::Any& any : details.details()) {
    if (any.Is<Detail>() && any.UnpackTo(&out)) return out;
  }
  return std::nullopt;
}

// "invalid_argument".
std::string CodeWord(absl::StatusCode code) {
  std::string word = absl::StatusCodeToString(code);
  for (char& c : word) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return word;
}

void AppendDetail(const v1::ErrorDetail& detail, std::string_view code, std::string& out) {
  if (!detail.reason().empty() && detail.reason() != code)
    out += Cat("  reason: ", detail.reason(), "\n");
  if (detail.has_node() || !detail.node_name().empty()) {
    out += "  node:";
    if (detail.has_node()) out += Cat(" ", detail.node());
    if (!detail.node_name().empty()) out += Cat(" \"", detail.node_name(), "\"");
    out += "\n";
  }
  if (!detail.field().empty()) out += Cat("  field: ", detail.field(), "\n");
  if (!detail.limit().empty())
    out += Cat("  limit: ", detail.limit(), " is ", detail.limit_value(), "\n");
}

}  // namespace

absl::Status UsageError(std::string_view message) {
  absl::Status status = InvalidArgument(message);
  status.SetPayload(kUsage, absl::Cord());
  return status;
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status out =
      MakeStatus(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  if (!status.error_details().empty()) out.SetPayload(kDetails, absl::Cord(status.error_details()));
  return out;
}

double RetryAfter(const absl::Status& status) {
  const auto retry = Find<google::rpc::RetryInfo>(status);
  if (!retry) return 0;
  const auto& delay = retry->retry_delay();
  return static_cast<double>(delay.seconds()) + delay.nanos() * 1e-9;
}

ExitCode ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kExitOk;
  if (status.GetPayload(kUsage)) return kExitUsage;
  if (Find<v1::FusionMisses>(status)) return kExitFusionMissed;
  if (absl::IsUnavailable(status)) return kExitUnavailable;
  if (absl::IsDeadlineExceeded(status)) return kExitDeadline;
  return kExitError;
}

std::string FailureText(const absl::Status& status) {
  const std::string code = CodeWord(status.code());
  std::string words = code;
  std::replace(words.begin(), words.end(), '_', ' ');
  const bool usage = status.GetPayload(kUsage).has_value();
  std::string out = Cat("rlxctl: ", usage ? "" : words, usage ? "" : ": ", Message(status), "\n");
  if (const auto detail = Find<v1::ErrorDetail>(status)) AppendDetail(*detail, code, out);
  if (const auto misses = Find<v1::FusionMisses>(status)) {
    for (const v1::Remark& miss : misses->missed()) {
      out += Cat("  missed: ", miss.rule(), ": ", miss.message(), " [", miss.reason(), "]\n");
      if (!miss.hint().empty()) out += Cat("    hint: ", miss.hint(), "\n");
    }
  }
  if (const double seconds = RetryAfter(status); seconds > 0)
    out += Cat("  try again in ", seconds, " s\n");
  if (usage) out += "see `rlxctl help`\n";
  return out;
}

void WriteFailure(const absl::Status& status, JsonWriter& json) {
  json.BeginObject().Key("error").BeginObject();
  json.Field("code", CodeWord(status.code())).Field("message", Message(status));
  if (const auto detail = Find<v1::ErrorDetail>(status)) {
    json.Key("detail");
    WriteMessage(*detail, json);
  }
  if (const auto misses = Find<v1::FusionMisses>(status)) {
    json.Key("fusion_misses");
    WriteMessage(*misses, json);
  }
  if (const double seconds = RetryAfter(status); seconds > 0)
    json.Field("retry_after_seconds", seconds);
  json.EndObject().EndObject();
}

}  // namespace rlx::ctl
