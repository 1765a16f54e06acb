// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/code_kernels.h"
#include "backends/cpu/math/decode_kernels.h"
#include "backends/cpu/math/simd_avx512.h"

namespace rlx::cpu {

template void DecodeBlocks<Avx512>(const DecodeTask&);
template void DotBlocks<Avx512>(const DotBlocksTask&);
template void SumCodes<Avx512>(const SumCodesTask&);
template void DecodeCodes<Avx512>(const CodesTask&);

}  // namespace rlx::cpu
