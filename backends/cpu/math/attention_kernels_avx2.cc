// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/attention_kernels.h"
#include "backends/cpu/math/simd_avx2.h"

namespace rlx::cpu {

template float SoftmaxRow<Avx2>(const SoftmaxTask&);
template void DotRows<Avx2>(const DotTask&);
template void WeightedRows<Avx2>(const WeightedTask&);
template void HideKeys<Avx2>(const KeepTask&);
template void ScaleRow<Avx2>(const ScaleTask&);

}  // namespace rlx::cpu
