// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/panel_kernels.h"
#include "backends/cpu/math/simd_avx512.h"

namespace rlx::cpu {

template void PackPanel<Avx512>(const PackTask&);
template void GemmPanel<Avx512>(const PanelTask&);

}  // namespace rlx::cpu
