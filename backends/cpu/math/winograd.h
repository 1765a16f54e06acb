// SPDX-License-Identifier: Apache-2.0
// 3 x 3 convolutions with channels last by Winograd's F(2 x 2, 3 x 3): tiles of 2 x 2 outputs take
// 16 multiplications for each pair of channels instead of 36. (S. Winograd, Arithmetic Complexity
// of Computations, 1980; A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks,
// 2016.) A sum has about two more roundings than the direct form.
#pragma once

#include "backends/cpu/math/conv_rows.h"

namespace rlx::cpu {

// Whether Convolve takes this way: decided by what packing knows, so that weights are packed once.
bool IsWinograd(const ConvRows& conv);

int64_t WinogradPackedSize(const MathKernels& kernels, const ConvRows& conv);  // floats
void PackWinograd(const MathKernels& kernels, const ConvRows& conv, const float* w, float* packed,
                  Team& team);
size_t WinogradScratchBytes(const MathKernels& kernels, const ConvRows& conv, int threads);
void ConvolveWinograd(const MathKernels& kernels, const ConvRows& conv, Team& team, void* scratch);

}  // namespace rlx::cpu
