// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/panel_kernels.h"
#include "backends/cpu/math/simd_avx2.h"

namespace rlx::cpu {

template void PackPanel<Avx2>(const PackTask&);
template void GemmPanel<Avx2>(const PanelTask&);
template void Finish<Avx2>(const PanelTask&, int64_t, int64_t);

}  // namespace rlx::cpu
