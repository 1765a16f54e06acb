// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/limit.h"

#include <absl/strings/cord.h>

namespace rlx {
namespace {

constexpr char kPayload[] = "rlx.limit";  // "name=value"

}  // namespace

absl::Status WithLimit(absl::Status status, std::string_view limit, uint64_t value) {
  const std::string text = Cat(limit, "=", value);
  // By view: compilers do not agree on the name of Cord's constructor from a string.
  status.SetPayload(kPayload, absl::Cord(absl::string_view(text.data(), text.size())));
  return status;
}

LimitDetail LimitOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  if (!payload) return {};
  const std::string text(*payload);
  const size_t equals = text.find('=');
  if (equals == std::string::npos) return {};
  const auto value = ParseInt(std::string_view(text).substr(equals + 1));
  return {text.substr(0, equals), static_cast<uint64_t>(value.value_or(0))};
}

}  // namespace rlx
