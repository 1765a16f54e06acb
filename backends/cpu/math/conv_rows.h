// SPDX-License-Identifier: Apache-2.0
// fp32 convolution and pooling over [batch, height, width, channel]: the channels of a place are
// neighbours. Tensors are dense; nothing is allocated; results do not depend on the number of
// threads. conv.h has the same over planes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/math/activation.h"
#include "backends/cpu/math/conv.h"
#include "backends/cpu/math/kernels.h"
#include "backends/cpu/math/window.h"

namespace rlx::cpu {

// y[n, p, o] = act(sum over taps and c of x[n, place of the tap, c] * w[o, c, tap] + bias[o] +
// residual[n, p, o]). Output channels fall into `groups` runs, each of which sees its own run of
// input channels.
struct ConvRows {
  Window2d window = {};
  int64_t batch = 1, in_channels = 1, out_channels = 1, groups = 1;
  const float* x = nullptr;     // [batch, in_h, in_w, in_channels]: dense, unless CopiesImage
  int64_t x_strides[4] = {};    // floats; looked at only where CopiesImage
  const float* w = nullptr;     // as PackConvRows made it with the same kernels
  float* y = nullptr;           // [batch, out_h, out_w, out_channels]; overlaps nothing
  const float* bias = nullptr;  // [out_channels] or null
  Activation activation = {};
  const float* residual = nullptr;  // shaped as y, or null
};

// Floats in the packed form of the weights; align its memory to 64 bytes. How they are packed
// depends on the ISA, channels, groups, kernel extents, strides and dilations alone.
int64_t ConvRowsPackedSize(const MathKernels& kernels, const ConvRows& conv);
// From [out_channels, in_channels / groups, kernel_h, kernel_w].
void PackConvRows(const MathKernels& kernels, const ConvRows& conv, const float* w, float* packed,
                  Team& team);

// Whether the image is copied with its padding written out, and so may lie in any order.
bool CopiesImage(const ConvRows& conv);
// Bytes of scratch, aligned to 64, for a team of up to `threads`.
size_t ConvRowsScratchBytes(const MathKernels& kernels, const ConvRows& conv, int threads);
void Convolve(const MathKernels& kernels, const ConvRows& conv, Team& team, void* scratch);

// Every window must hold at least one input.
struct PoolRows2d {
  PoolKind kind = PoolKind::kMax;
  Window2d window = {};
  int64_t batch = 1, channels = 1;
  const float* x = nullptr;  // [batch, in_h, in_w, channels]
  float* y = nullptr;        // [batch, out_h, out_w, channels]
};
void PoolOverRows(const MathKernels& kernels, const PoolRows2d& pool, Team& team);

}  // namespace rlx::cpu
