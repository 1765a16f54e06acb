// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/fault.h"

#include <absl/strings/cord.h>

namespace rlx {
namespace {

// Payloads of a status, each a text.
constexpr char kReason[] = "rlx.reason";
constexpr char kNode[] = "rlx.node";
constexpr char kNodeName[] = "rlx.node_name";
constexpr char kField[] = "rlx.field";
constexpr char kLimit[] = "rlx.limit";
constexpr char kLimitValue[] = "rlx.limit_value";
constexpr char kPassing[] = "rlx.passing";

void Put(absl::Status& status, const char* key, std::string_view text) {
  // By view: compilers do not agree on the name of Cord's constructor from a string.
  if (!status.ok()) status.SetPayload(key, absl::Cord(absl::string_view(text.data(), text.size())));
}

std::string Get(const absl::Status& status, const char* key) {
  const auto payload = status.GetPayload(key);
  return payload ? std::string(*payload) : "";
}

}  // namespace

absl::Status WithReason(absl::Status status, std::string_view reason) {
  Put(status, kReason, reason);
  return status;
}

absl::Status AtNode(absl::Status status, int64_t node, std::string_view name) {
  Put(status, kNode, Cat(node));
  Put(status, kNodeName, name);
  return status;
}

absl::Status WithLimit(absl::Status status, std::string_view limit, uint64_t value) {
  Put(status, kLimit, limit);
  Put(status, kLimitValue, Cat(value));
  return status;
}

absl::Status TryLater(absl::Status status) {
  Put(status, kPassing, "1");
  return status;
}

absl::Status InField(absl::Status status, std::string_view field) {
  const std::string inner = Get(status, kField);
  Put(status, kField, inner.empty() ? std::string(field) : Cat(field, ".", inner));
  return status;
}

Fault FaultOf(const absl::Status& status) {
  Fault out{.reason = Get(status, kReason),
            .node = std::nullopt,
            .node_name = Get(status, kNodeName),
            .field = Get(status, kField),
            .limit = Get(status, kLimit),
            .limit_value = 0,
            .passing = !Get(status, kPassing).empty()};
  if (const auto node = ParseInt(Get(status, kNode))) out.node = static_cast<uint32_t>(*node);
  if (const auto value = ParseInt(Get(status, kLimitValue)))
    out.limit_value = static_cast<uint64_t>(*value);
  return out;
}

}  // namespace rlx
