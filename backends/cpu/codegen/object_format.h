// SPDX-License-Identifier: Apache-2.0
#pragma once

// What compile.cc and load.cc agree on beside ELF.
namespace rlx::cpu {

// The features the code needs, as CpuTarget::features.
inline constexpr char kTargetSection[] = ".rlx.target";
inline constexpr char kTargetSymbol[] = "__rlx_target";

}  // namespace rlx::cpu
