// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

// What compile.cc and load.cc agree on beside ELF.
namespace rlx::cpu {

// Where an ELF object at the start of `bytes` ends: its section table comes last. 0 when the bytes
// do not begin with a header, or end before the object does.
size_t ObjectSize(std::string_view bytes);

// The features the code needs, as CpuTarget::features.
inline constexpr char kTargetSection[] = ".rlx.target";
inline constexpr char kTargetSymbol[] = "__rlx_target";

}  // namespace rlx::cpu
