// SPDX-License-Identifier: Apache-2.0
#include "server/region_parameters.h"

#include "runtime/base/status.h"

namespace rlx::server {
namespace {

using inference::InferParameter;

constexpr const char* kRegion = "shared_memory_region";
constexpr const char* kBytes = "shared_memory_byte_size";
constexpr const char* kOffset = "shared_memory_offset";

// A number of at least 0, whichever of the two whole types it travels as.
absl::StatusOr<uint64_t> Number(const std::string& name, const InferParameter& value) {
  if (value.has_uint64_param()) return value.uint64_param();
  if (!value.has_int64_param()) return WrongParameterType(name);
  if (value.int64_param() >= 0) return static_cast<uint64_t>(value.int64_param());
  return InvalidArgument("invalid value for '", name, "': ", value.int64_param(), " is below 0");
}

}  // namespace

absl::StatusOr<std::optional<RegionSlice>> RegionOf(const InferParameters& parameters) {
  if (parameters.empty()) return std::nullopt;
  const auto region = parameters.find(kRegion);
  if (region == parameters.end()) return std::nullopt;
  if (!region->second.has_string_param()) return WrongParameterType(kRegion);
  const auto bytes = parameters.find(kBytes);
  if (bytes == parameters.end()) {
    return InvalidArgument("'", kBytes, "' must be specified along with '", kRegion, "'");
  }
  RegionSlice out{.region = region->second.string_param()};
  RLX_ASSIGN(out.bytes, Number(kBytes, bytes->second));
  if (const auto offset = parameters.find(kOffset); offset != parameters.end()) {
    RLX_ASSIGN(out.offset, Number(kOffset, offset->second));
  }
  return out;
}

bool NameRegion(const InferParameters& parameters) { return parameters.contains(kRegion); }

absl::Status WrongParameterType(std::string_view name) {
  return InvalidArgument("invalid value type for '", name, "' parameter");
}

}  // namespace rlx::server
