// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "inference/grpc_service.pb.h"

namespace rlx::server {

// Where a tensor of a request lies, or shall lie, in shared memory.
struct RegionSlice {
  std::string_view region;  // as registered; the request's
  uint64_t offset = 0;
  uint64_t bytes = 0;
};
using InferParameters = google::protobuf::Map<std::string, inference::InferParameter>;

// What a tensor's parameters say of it: nothing for one that lies in the message. InvalidArgument
// for parameters of another type, and without a size.
absl::StatusOr<std::optional<RegionSlice>> RegionOf(const InferParameters& parameters);

// Whether they name a region.
bool NameRegion(const InferParameters& parameters);

// InvalidArgument: "invalid value type for 'NAME' parameter".
absl::Status WrongParameterType(std::string_view name);

}  // namespace rlx::server
