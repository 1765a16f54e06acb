// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/conv_kernels.h"
#include "backends/cpu/math/simd_avx2.h"

namespace rlx::cpu {

template void Unfold<Avx2>(const UnfoldTask&);
template void PadPlane<Avx2>(const PadTask&);
template void Depthwise<Avx2>(const DepthwiseTask&);
template void PoolPlane<Avx2>(const PoolTask&);

}  // namespace rlx::cpu
