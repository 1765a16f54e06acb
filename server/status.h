// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace rlx {
struct FusionReport;
}
namespace google::rpc {
class Status;
}

namespace rlx::server {

// A status for the wire: same code, same message, with details where they help a program: the limit
// that was passed, how long to wait before trying again (where that helps), the
// misses of assert_fusion_clean (when `misses` has any).
grpc::Status ToGrpc(const absl::Status& status, const FusionReport* misses = nullptr);

// The same as a message, for streams that carry a status per response.
void ToRpcStatus(const absl::Status& status, google::rpc::Status& out);

}  // namespace rlx::server
