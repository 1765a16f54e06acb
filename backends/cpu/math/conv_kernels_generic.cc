// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/conv_kernels.h"
#include "backends/cpu/math/simd_generic.h"

namespace rlx::cpu {

template void Unfold<Generic>(const UnfoldTask&);
template void PadPlane<Generic>(const PadTask&);
template void Depthwise<Generic>(const DepthwiseTask&);
template void PoolPlane<Generic>(const PoolTask&);

}  // namespace rlx::cpu
