// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/code_kernels.h"
#include "backends/cpu/math/decode_kernels.h"
#include "backends/cpu/math/simd_generic.h"

namespace rlx::cpu {

template void DecodeBlocks<Generic>(const DecodeTask&);
template void DotBlocks<Generic>(const DotBlocksTask&);
template void SumCodes<Generic>(const SumCodesTask&);
template void DecodeCodes<Generic>(const CodesTask&);

}  // namespace rlx::cpu
