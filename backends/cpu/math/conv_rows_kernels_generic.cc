// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/conv_rows_kernels.h"
#include "backends/cpu/math/depthwise_rows_kernels.h"
#include "backends/cpu/math/simd_generic.h"
#include "backends/cpu/math/winograd_kernels.h"

namespace rlx::cpu {

template void WindowRows<Generic>(const WindowRowsTask&);
template void DepthwiseRows<Generic>(const DepthwiseRowsTask&);
template void PoolRows<Generic>(const PoolRowsTask&);
template void WinogradTile<Generic>(const WinogradTileTask&);
template void WinogradSum<Generic>(const WinogradSumTask&);

}  // namespace rlx::cpu
