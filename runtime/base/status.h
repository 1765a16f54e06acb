// SPDX-License-Identifier: Apache-2.0
// The one error vocabulary, from leaf to wire: absl::Status, whose codes are gRPC's.
//
//   if (k != k2) return InvalidArgument("%", id, " matmul: k differs (", k, " vs ", k2, ")");
//   RLX_TRY(Verify(graph));
//   RLX_ASSIGN(Shape shape, InferShape(node));
//
// Messages: lower case, one sentence, no full stop, naming the thing. A fault of ours is a CHECK
// (check.h), never a Status; nothing a client sends may reach one.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "runtime/base/text.h"

namespace rlx {

absl::Status MakeStatus(absl::StatusCode code, std::string_view message);

// The message as a std::string_view (Debian's absl::string_view is its own type). Valid as long as
// `status`.
std::string_view Message(const absl::Status& status);

// `status` with `context: ` before its message; code and payloads stay. OK stays OK.
absl::Status AnnotateWith(absl::Status status, std::string_view context);

template <class... Parts>
absl::Status Annotate(absl::Status status, const Parts&... parts) {
  if (status.ok()) return status;
  return AnnotateWith(std::move(status), Cat(parts...));
}

template <class... Parts>
absl::Status Cancelled(const Parts&... parts) {
  return MakeStatus(absl::StatusCode::kCancelled, Cat(parts...));
}
template <class... Parts>
absl::Status InvalidArgument(const Parts&... parts) {
  return MakeStatus(absl::StatusCode::kInvalidArgument, Cat(parts...));
}
template <class... Parts>
absl::Status DeadlineExceeded(const Parts&... parts) {
  return MakeStatus(absl::StatusCode::kDeadlineExceeded, Cat(parts...));
}
template <class... Parts>
absl::Status NotFound(const Parts&... parts) {
  return MakeStatus(absl::StatusCode::kNotFound, Cat(parts...));
}
template <class... Parts>
absl::Status AlreadyExists(const Parts&... parts) {
  return MakeStatus(absl::StatusCode::kAlreadyExists, Cat(parts...));
}
template <class... Parts>
absl::Status PermissionDenied(const Parts&... parts) {
  return MakeStatus(absl::StatusCode::kPermissionDenied, Cat(parts...));
}
template <class... Parts>
absl::Status ResourceExhausted(const Parts&... parts) {
  return MakeStatus(absl::StatusCode::kResourceExhausted, Cat(parts...));
}
template <class... Parts>
absl::Status FailedPrecondition(const Parts&... parts) {
  return MakeStatus(absl::StatusCode::kFailedPrecondition, Cat(parts...));
}
template <class... Parts>
absl::Status Aborted(const Parts&... parts) {
  return MakeStatus(absl::StatusCode::kAborted, Cat(parts...));
}
template <class... Parts>
absl::Status OutOfRange(const Parts&... parts) {
  return MakeStatus(absl::StatusCode::kOutOfRange, Cat(parts...));
}
template <class... Parts>
absl::Status Unimplemented(const Parts&... parts) {
  return MakeStatus(absl::StatusCode::kUnimplemented, Cat(parts...));
}
template <class... Parts>
absl::Status Internal(const Parts&... parts) {
  return MakeStatus(absl::StatusCode::kInternal, Cat(parts...));
}
template <class... Parts>
absl::Status Unavailable(const Parts&... parts) {
  return MakeStatus(absl::StatusCode::kUnavailable, Cat(parts...));
}
template <class... Parts>
absl::Status DataLoss(const Parts&... parts) {
  return MakeStatus(absl::StatusCode::kDataLoss, Cat(parts...));
}
template <class... Parts>
absl::Status Unauthenticated(const Parts&... parts) {
  return MakeStatus(absl::StatusCode::kUnauthenticated, Cat(parts...));
}

}  // namespace rlx

#define RLX_JOIN_INNER(a, b) a##b
#define RLX_JOIN(a, b) RLX_JOIN_INNER(a, b)

// Returns the status of the expression (an absl::Status) from the function unless it is OK.
#define RLX_TRY(...)                                                            \
  do {                                                                          \
    if (absl::Status rlx_status = (__VA_ARGS__); !rlx_status.ok()) [[unlikely]] \
      return rlx_status;                                                        \
  } while (false)

// `RLX_ASSIGN(auto value, expr)`: the value of the absl::StatusOr, or returns its status. A
// declaration opens no scope, so it is one statement only inside braces.
#define RLX_ASSIGN(declaration, ...) \
  RLX_ASSIGN_INNER(RLX_JOIN(rlx_status_or_, __COUNTER__), declaration, __VA_ARGS__)
#define RLX_ASSIGN_INNER(result, declaration, ...) \
  auto result = (__VA_ARGS__);                     \
  if (!result.ok()) [[unlikely]]                   \
    return std::move(result).status();             \
  declaration = *std::move(result)
