// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/conv_kernels.h"
#include "backends/cpu/math/simd_avx512.h"

namespace rlx::cpu {

template void Unfold<Avx512>(const UnfoldTask&);
template void PadPlane<Avx512>(const PadTask&);
template void Depthwise<Avx512>(const DepthwiseTask&);
template void PoolPlane<Avx512>(const PoolTask&);

}  // namespace rlx::cpu
