// SPDX-License-Identifier: Apache-2.0
// fp32 convolution over [batch, channel, height, width], and pooling. One spatial dim is a plane of
// height 1. Tensors are dense; nothing is allocated; results do not depend on the number of
// threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/math/activation.h"
#include "backends/cpu/math/kernels.h"
#include "backends/cpu/math/window.h"

namespace rlx {
class Team;
}

namespace rlx::cpu {

// y[n, o] = act(sum over c of x[n, c] * w[o, c] + bias[o]) + residual[n, o], as a
// cross-correlation. Output channels fall into `groups` runs, each of which sees its own run of
// input channels.
struct Conv2d {
  Window2d window = {};
  int64_t batch = 1, in_channels = 1, out_channels = 1, groups = 1;
  const float* x = nullptr;     // [batch, in_channels, in_h, in_w]
  const float* w = nullptr;     // [out_channels, in_channels / groups, kernel_h, kernel_w]
  float* y = nullptr;           // [batch, out_channels, out_h, out_w]; overlaps nothing
  const float* bias = nullptr;  // [out_channels] or null
  Activation activation = {};
  const float* residual = nullptr;  // shaped as y, or null
};

// Bytes of scratch, aligned to 64, for a team of up to `threads`.
size_t ConvScratchBytes(const MathKernels& kernels, const Conv2d& conv, int threads);
void Conv(const MathKernels& kernels, const Conv2d& conv, Team& team, void* scratch);

enum class PoolKind : uint8_t {
  kMax,           // padding never wins
  kMean,          // over the inputs that the window holds
  kMeanOfWindow,  // over kernel_h kernel_w, padding counting as zeros
};

// Every window must hold at least one input.
struct Pool2d {
  PoolKind kind = PoolKind::kMax;
  Window2d window = {};
  int64_t planes = 1;        // batch times channels
  const float* x = nullptr;  // [planes, in_h, in_w]
  float* y = nullptr;        // [planes, out_h, out_w]
};

size_t PoolScratchBytes(const MathKernels& kernels, const Pool2d& pool, int threads);
void Pool(const MathKernels& kernels, const Pool2d& pool, Team& team, void* scratch);

}  // namespace rlx::cpu
