// SPDX-License-Identifier: Apache-2.0
// The functions that a matrix product or a convolution can apply to its result on the way out.
#pragma once

#include <cstdint>

namespace rlx::cpu {

enum class Act : uint8_t {
  kNone,
  kRelu,         // max(x, 0)
  kClip,         // min(max(x, p), q)
  kLeakyRelu,    // x < 0 ? p x : x
  kSigmoid,      // 1 / (1 + e^-x)
  kSilu,         // x sigmoid(x)
  kTanh,         // tanh(x)
  kGeluErf,      // x/2 (1 + erf(x / sqrt 2)), absolute error below 1e-6
  kGeluTanh,     // x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
  kHardSigmoid,  // min(max(p x + q, 0), 1)
  kHardSwish,    // x min(max(x/6 + 1/2, 0), 1)
};

struct Activation {
  Act kind = Act::kNone;
  float p = 0, q = 0;  // where the kind's formula names them
};

}  // namespace rlx::cpu
