// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/panel_kernels.h"
#include "backends/cpu/math/simd_generic.h"

namespace rlx::cpu {

template void PackPanel<Generic>(const PackTask&);
template void GemmPanel<Generic>(const PanelTask&);
template void Finish<Generic>(const PanelTask&, int64_t, int64_t);

}  // namespace rlx::cpu
