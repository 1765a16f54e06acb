// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/attention_kernels.h"
#include "backends/cpu/math/simd_avx512.h"

namespace rlx::cpu {

template float SoftmaxRow<Avx512>(const SoftmaxTask&);
template void DotRows<Avx512>(const DotTask&);
template void WeightedRows<Avx512>(const WeightedTask&);
template void HideKeys<Avx512>(const KeepTask&);
template void ScaleRow<Avx512>(const ScaleTask&);

}  // namespace rlx::cpu
