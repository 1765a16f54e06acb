// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "runtime/base/text.h"
#include "runtime/tensor/dtype.h"

// What the kernels with a source have in common, over the dialect's prelude (render/cuda.cc).
namespace rlx::cuda {

// f16 and bf16 as their bits.
inline std::string HalfWords(DType dtype) {
  const std::string_view name = dtype == DType::kBF16 ? "bf16" : "f16";
  return Cat(
      "typedef unsigned short Half;\n"
      "__device__ __forceinline__ float Widen(Half v) { return rlx_from_",
      name, "(v); }\n__device__ __forceinline__ Half Narrow(float v) { return rlx_to_", name,
      "(v); }\n");
}

// A finite number as an f32 literal.
inline std::string FloatText(double value) {
  std::string text = Cat(static_cast<float>(value));
  if (text.find_first_of(".e") == text.npos) text += ".0";
  return text + "f";
}

// The launch after this one, which may begin before this one ends (LetFollow: as soon as all its
// workgroups have come so far), and the one before, which has ended and whose writes are seen
// behind AwaitBefore. What a step writes is read by plain loads: loads from memory declared const
// and
// __restrict__ may be moved before it. Where nothing overlaps both do nothing.
inline constexpr std::string_view kFollowing = R"(
__device__ __forceinline__ void LetFollow() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
__device__ __forceinline__ void AwaitBefore() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
)";

inline std::string BoolConstant(std::string_view name, bool value) {
  return Cat("constexpr bool ", name, " = ", value ? "true" : "false", ";\n");
}

}  // namespace rlx::cuda
