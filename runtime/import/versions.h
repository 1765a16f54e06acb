// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace rlx::onnx {

// What of ONNX is read: its file format's versions, and the opsets of its own domain.
inline constexpr int64_t kMinIrVersion = 3, kMaxIrVersion = 14;
inline constexpr int64_t kMinOpset = 7, kMaxOpset = 28;

}  // namespace rlx::onnx
