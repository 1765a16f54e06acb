// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>
#include <utility>

#include "backends/cpu/math/activation.h"

namespace rlx::cpu {

// The activations of fused ops that the kernels apply on the way out, by the ops' names for them.
inline std::optional<Act> ActNamed(std::string_view name) {
  constexpr std::pair<std::string_view, Act> kActs[] = {
      {"none", Act::kNone},    {"relu", Act::kRelu},
      {"gelu", Act::kGeluErf}, {"gelu_tanh", Act::kGeluTanh},
      {"silu", Act::kSilu},    {"sigmoid", Act::kSigmoid},
      {"tanh", Act::kTanh},    {"hard_swish", Act::kHardSwish},
  };
  for (const auto& [own, act] : kActs) {
    if (own == name) return act;
  }
  return std::nullopt;
}

}  // namespace rlx::cpu
