// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/copy_kernels.h"
#include "backends/cpu/math/simd_generic.h"

namespace rlx::cpu {

template void CopyRun<Generic>(const CopyTask&);

}  // namespace rlx::cpu
