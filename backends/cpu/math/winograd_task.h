// SPDX-License-Identifier: Apache-2.0
// What the inner kernels of winograd.cc are told.
#pragma once

#include <cstdint>

#include "backends/cpu/math/activation.h"

namespace rlx::cpu {

inline constexpr int64_t kWinogradParts = 16;

// B^T d B of a tile of 4 x 4 places.
struct WinogradTileTask {
  const float* in[kWinogradParts] = {};  // the channels of each place
  int64_t channels = 0;
  float* out = nullptr;  // of part 0; the others each `stride` floats on
  int64_t stride = 0;
};

// A^T m A + bias + residual for 2 x 2 places.
struct WinogradSumTask {
  const float* products = nullptr;  // of part 0; the others each `stride` floats on
  int64_t stride = 0;
  int64_t channels = 0;
  const float* bias = nullptr;    // or null
  float* out[4] = {};             // null: beyond the image
  const float* residual[4] = {};  // or null; added before the activation
  Activation activation = {};
};

}  // namespace rlx::cpu
