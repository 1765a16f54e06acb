// SPDX-License-Identifier: Apache-2.0
// What a program wants to know of a refusal besides the words for people: kept with the status, for
// the wire's details and for counters.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/base/status.h"

namespace rlx {

struct Fault {
  std::string reason;            // "unknown_op", "missing_weight"; empty: the code says it
  std::optional<uint32_t> node;  // index in the main graph of the module
  std::string node_name;         // as its author calls it
  std::string field;             // path in the request: "options.arena_alignment", "weights[3]"
  std::string limit;             // a field of Limits or Budgets: "max_nodes"; empty: none
  uint64_t limit_value = 0;
  bool passing = false;  // goes away by itself: try again later
};

// Each adds one thing to a failed status; OK stays OK.
absl::Status WithReason(absl::Status status, std::string_view reason);
absl::Status AtNode(absl::Status status, int64_t node, std::string_view name);
absl::Status WithLimit(absl::Status status, std::string_view limit, uint64_t value);
// Refused only because others are being served.
absl::Status TryLater(absl::Status status);
// A status that is about a field already is about that field of `field`: "options" + "salt".
absl::Status InField(absl::Status status, std::string_view field);

Fault FaultOf(const absl::Status& status);

// ResourceExhausted: "PARTS, more than LIMIT VALUE".
template <class... Parts>
absl::Status LimitExceeded(std::string_view limit, int64_t value, const Parts&... parts) {
  return WithLimit(ResourceExhausted(parts..., ", more than ", limit, " ", value), limit,
                   static_cast<uint64_t>(value));
}

// InvalidArgument: "FIELD: PARTS".
template <class... Parts>
absl::Status InvalidField(std::string_view field, const Parts&... parts) {
  return InField(InvalidArgument(field, ": ", parts...), field);
}

}  // namespace rlx
