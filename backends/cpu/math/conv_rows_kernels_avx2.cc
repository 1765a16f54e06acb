// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/conv_rows_kernels.h"
#include "backends/cpu/math/depthwise_rows_kernels.h"
#include "backends/cpu/math/simd_avx2.h"
#include "backends/cpu/math/winograd_kernels.h"

namespace rlx::cpu {

template void WindowRows<Avx2>(const WindowRowsTask&);
template void DepthwiseRows<Avx2>(const DepthwiseRowsTask&);
template void PoolRows<Avx2>(const PoolRowsTask&);
template void WinogradTile<Avx2>(const WinogradTileTask&);
template void WinogradSum<Avx2>(const WinogradSumTask&);

}  // namespace rlx::cpu
