// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace rlx::server {

inline constexpr std::string_view kVersion = "0.1.0";
// Of proto/rlx/v1: grows when something is added.
inline constexpr uint32_t kApiVersion = 1;
inline constexpr uint32_t kMinApiVersion = 1;

}  // namespace rlx::server
