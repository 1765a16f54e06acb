// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/panel_kernels.h"
#include "backends/cpu/math/simd_avx512.h"

namespace rlx::cpu {

template void PackPanel<Avx512>(const PackTask&);
template void GemmPanel<Avx512>(const PanelTask&);
template void Finish<Avx512>(const PanelTask&, int64_t, int64_t);

}  // namespace rlx::cpu
