// SPDX-License-Identifier: Apache-2.0
// The 8-bit floats of the OCP specification. E4M3 (the FN variant) has no infinity, and NaN where
// all seven bits are set; E5M2 is a truncated half.
//
// Numbers go to them in one rounding, to nearest even, and saturate: a finite number past the range
// becomes the largest one, ±448 or ±57344. Infinity stays infinity where there is one (E5M2) and
// saturates where there is none, and NaN stays NaN; so a number that the type holds never changes.
// (ONNX's `saturate` and NVIDIA's `satfinite` take E5M2's infinities to ±57344 as well; NumPy's
// ml_dtypes do not saturate at all.)
#pragma once

#include <cstdint>

namespace rlx {

float Fp8E4M3ToF32(uint8_t bits);
float Fp8E5M2ToF32(uint8_t bits);
uint8_t ToFp8E4M3(double value);
uint8_t ToFp8E5M2(double value);

}  // namespace rlx
