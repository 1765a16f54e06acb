// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "runtime/base/status.h"

namespace rlx::engine {

// The status with the limit that it is about, for LimitOf (observer.h) to read.
absl::Status WithLimit(absl::Status status, std::string_view limit, uint64_t value);

}  // namespace rlx::engine
