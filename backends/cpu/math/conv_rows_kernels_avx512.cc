// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/conv_rows_kernels.h"
#include "backends/cpu/math/depthwise_rows_kernels.h"
#include "backends/cpu/math/simd_avx512.h"
#include "backends/cpu/math/winograd_kernels.h"

namespace rlx::cpu {

template void WindowRows<Avx512>(const WindowRowsTask&);
template void DepthwiseRows<Avx512>(const DepthwiseRowsTask&);
template void PoolRows<Avx512>(const PoolRowsTask&);
template void WinogradTile<Avx512>(const WinogradTileTask&);
template void WinogradSum<Avx512>(const WinogradSumTask&);

}  // namespace rlx::cpu
