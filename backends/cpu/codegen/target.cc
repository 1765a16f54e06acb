// SPDX-License-Identifier: Apache-2.0
#include <llvm-c/Core.h>
#include <llvm/ADT/StringMap.h>
#include <llvm/TargetParser/Host.h>

#include <algorithm>

#include "backends/cpu/codegen/codegen.h"
#include "runtime/base/status.h"

namespace rlx::cpu {
namespace {

// Raised with every change of the generated code, so that artifacts of older generators are not
// mistaken for ours.
constexpr int kGeneration = 1;

// The x86-64 psABI's levels. `features` is what is checked and passed on; `cpu` brings the tuning.
struct Profile {
  std::string_view name, features;
  int lanes;
};
constexpr Profile kProfiles[] = {
    {"x86-64", "+cx8,+fxsr,+mmx,+sse,+sse2", 4},
    {"x86-64-v3",
     "+avx,+avx2,+bmi,+bmi2,+cx16,+cx8,+f16c,+fma,+fxsr,+lzcnt,+mmx,+movbe,+popcnt,+sse,+sse2,+"
     "sse3,"
     "+sse4.1,+sse4.2,+ssse3",
     8},
    {"x86-64-v4",
     "+avx,+avx2,+avx512bw,+avx512cd,+avx512dq,+avx512f,+avx512vl,+bmi,+bmi2,+cx16,+cx8,+f16c,+fma,"
     "+fxsr,+lzcnt,+mmx,+movbe,+popcnt,+sse,+sse2,+sse3,+sse4.1,+sse4.2,+ssse3",
     16},
};

int LanesOf(const CpuTarget& target) {
  const bool wide = target.Has("avx512f") && target.Has("avx512bw") && target.Has("avx512dq") &&
                    target.Has("avx512vl");
  return wide ? 16 : target.Has("avx2") ? 8 : 4;
}

}  // namespace

std::string CpuTarget::Fingerprint() const {
  return Cat("x86_64;cpu=", cpu, ";features=", features, ";lanes=", lanes, ";llvm=", LlvmVersion(),
             ";generation=", kGeneration);
}

std::string LlvmVersion() {
  unsigned major = 0, minor = 0, patch = 0;
  LLVMGetVersion(&major, &minor, &patch);
  return Cat(major, ".", minor, ".", patch);
}

bool CpuTarget::Has(std::string_view feature) const {
  for (std::string_view word : Split(features, ',')) {
    if (word.size() > 1 && word[0] == '+' && word.substr(1) == feature) return true;
  }
  return false;
}

namespace {

CpuTarget ReadHost() {
  CpuTarget target{.name = "host", .cpu = llvm::sys::getHostCPUName().str(), .features = {}};
  std::vector<std::string> words;
  for (const auto& feature : llvm::sys::getHostCPUFeatures()) {
    words.push_back(Cat(feature.second ? '+' : '-', feature.first()));
  }
  std::sort(words.begin(), words.end());
  target.features = Join(words, ",");
  target.lanes = LanesOf(target);
  return target;
}

}  // namespace

// The processor does not change: it is asked once.
CpuTarget HostTarget() {
  static const CpuTarget host = ReadHost();
  return host;
}

absl::StatusOr<CpuTarget> TargetByName(std::string_view name) {
  if (name == "host") return HostTarget();
  for (const Profile& profile : kProfiles) {
    if (profile.name != name) continue;
    return CpuTarget{.name = std::string(name),
                     .cpu = std::string(name),
                     .features = std::string(profile.features),
                     .lanes = profile.lanes};
  }
  return InvalidArgument("no cpu profile \"", name, "\"");
}

absl::Status CheckHostRuns(const CpuTarget& target) {
  const CpuTarget host = HostTarget();
  if (target.features == host.features) return absl::OkStatus();
  for (std::string_view word : Split(target.features, ',')) {
    if (word.size() < 2 || word[0] != '+' || host.Has(word.substr(1))) continue;
    return FailedPrecondition("code for ", target.name, " needs ", word.substr(1),
                              ", which this processor lacks");
  }
  return absl::OkStatus();
}

}  // namespace rlx::cpu
