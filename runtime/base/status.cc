// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"

#include <absl/strings/cord.h>

namespace rlx {

absl::Status MakeStatus(absl::StatusCode code, std::string_view message) {
  return absl::Status(code, absl::string_view(message.data(), message.size()));
}

std::string_view Message(const absl::Status& status) {
  absl::string_view message = status.message();
  return {message.data(), message.size()};
}

absl::Status AnnotateWith(absl::Status status, std::string_view context) {
  if (status.ok()) return status;
  absl::Status annotated = MakeStatus(status.code(), Cat(context, ": ", Message(status)));
  status.ForEachPayload([&](absl::string_view type, const absl::Cord& payload) {
    annotated.SetPayload(type, payload);
  });
  return annotated;
}

}  // namespace rlx
