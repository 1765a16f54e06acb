// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/copy_kernels.h"
#include "backends/cpu/math/simd_avx512.h"

namespace rlx::cpu {

template void CopyRun<Avx512>(const CopyTask&);

}  // namespace rlx::cpu
