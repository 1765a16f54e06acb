// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/isa.h"

namespace rlx::cpu {
namespace {

Isa AskProcessor() {
#if defined(__x86_64__)
  // The builtins check XCR0 as well, so a kernel that does not save the wide registers says no.
  __builtin_cpu_init();
  const bool narrow = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("f16c");
  if (!narrow) return Isa::kGeneric;
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  return wide ? Isa::kAvx512 : Isa::kAvx2;
#else
  return Isa::kGeneric;
#endif
}

bool AskForVnni() {
#if defined(__x86_64__)
  return DetectIsa() == Isa::kAvx512 && __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

constexpr std::string_view kNames[] = {"generic", "avx2", "avx512"};

}  // namespace

Isa DetectIsa() {
  static const Isa isa = AskProcessor();
  return isa;
}

bool HasVnni() {
  static const bool has = AskForVnni();
  return has;
}

std::string_view IsaName(Isa isa) { return kNames[static_cast<int>(isa)]; }

std::optional<Isa> ParseIsa(std::string_view name) {
  for (int i = 0; i < 3; ++i) {
    if (kNames[i] == name) return static_cast<Isa>(i);
  }
  return std::nullopt;
}

}  // namespace rlx::cpu
