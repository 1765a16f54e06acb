// SPDX-License-Identifier: Apache-2.0
// Which instruction sets the math kernels are written for, and which of them this machine can run.
// Nothing here is decided when rlxd is built: every variant is compiled in and chosen at run time.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace rlx::cpu {

// Ordered: a machine that can run one can run all before it.
enum class Isa : uint8_t {
  kGeneric,  // plain C++, four lanes (SSE2 on x86-64, NEON on AArch64)
  kAvx2,     // AVX2 and FMA, eight lanes
  kAvx512,   // AVX-512 F, DQ, BW and VL, sixteen lanes
};

// The best variant that both the processor and the operating system support. Asks once, then
// remembers.
Isa DetectIsa();

// Whether it is AVX-512 with VNNI, products of four bytes a lane.
bool HasVnni();

// "generic", "avx2", "avx512": names for configuration, reports and target fingerprints.
std::string_view IsaName(Isa isa);
std::optional<Isa> ParseIsa(std::string_view name);

}  // namespace rlx::cpu
