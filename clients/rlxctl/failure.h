// SPDX-License-Identifier: Apache-2.0
// What goes wrong, from a gRPC status or from here, to what a person reads and a script tests.
#pragma once

#include "runtime/base/json.h"
#include "runtime/base/status.h"

namespace grpc {
class Status;
}

namespace rlx::ctl {

enum ExitCode : int {
  kExitOk = 0,
  kExitError = 1,         // a call failed, or a file is wrong
  kExitUsage = 2,         // the command line is wrong
  kExitUnavailable = 3,   // the server cannot be reached, or is going away
  kExitDeadline = 4,      // --deadline passed
  kExitFusionMissed = 5,  // --assert-fusion-clean, and it is not
  kExitNotServing = 6,    // health: it answers, and says that it does not serve
};

// The command line is wrong.
absl::Status UsageError(std::string_view message);
template <class... Parts>
absl::Status Usage(const Parts&... parts) {
  return UsageError(Cat(parts...));
}

// The same code and message; the details that the server sent stay with it.
absl::Status FromGrpc(const grpc::Status& status);

// Seconds after which the server says that another try can help; 0 when it does not say.
double RetryAfter(const absl::Status& status);

ExitCode ExitCodeOf(const absl::Status& status);

// "rlxctl: invalid argument: MESSAGE" and a line for each detail, the last one ended too.
std::string FailureText(const absl::Status& status);

// {"error": {"code": "invalid_argument", "message": ..., "detail": {...}}}
void WriteFailure(const absl::Status& status, JsonWriter& json);

}  // namespace rlx::ctl
