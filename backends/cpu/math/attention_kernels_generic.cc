// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/attention_kernels.h"
#include "backends/cpu/math/simd_generic.h"

namespace rlx::cpu {

template float SoftmaxRow<Generic>(const SoftmaxTask&);
template void DotRows<Generic>(const DotTask&);
template void WeightedRows<Generic>(const WeightedTask&);
template void HideKeys<Generic>(const KeepTask&);
template void ScaleRow<Generic>(const ScaleTask&);

}  // namespace rlx::cpu
