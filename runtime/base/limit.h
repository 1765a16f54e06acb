// SPDX-License-Identifier: Apache-2.0
// Which advertised limit a refusal is about, kept with the status for the wire's details and for
// counters, besides the words for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/base/status.h"

namespace rlx {

struct LimitDetail {
  std::string name;  // a field of Limits or Budgets: "max_nodes"; empty: none
  uint64_t value = 0;
};

absl::Status WithLimit(absl::Status status, std::string_view limit, uint64_t value);
LimitDetail LimitOf(const absl::Status& status);

// ResourceExhausted: "PARTS, more than LIMIT VALUE".
template <class... Parts>
absl::Status LimitExceeded(std::string_view limit, int64_t value, const Parts&... parts) {
  return WithLimit(ResourceExhausted(parts..., ", more than ", limit, " ", value), limit,
                   static_cast<uint64_t>(value));
}

}  // namespace rlx
