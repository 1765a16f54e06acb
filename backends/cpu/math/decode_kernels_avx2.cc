// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/code_kernels.h"
#include "backends/cpu/math/decode_kernels.h"
#include "backends/cpu/math/simd_avx2.h"

namespace rlx::cpu {

template void DecodeBlocks<Avx2>(const DecodeTask&);
template void DotBlocks<Avx2>(const DotBlocksTask&);
template void SumCodes<Avx2>(const SumCodesTask&);
template void DecodeCodes<Avx2>(const CodesTask&);

}  // namespace rlx::cpu
