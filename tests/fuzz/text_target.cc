// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/check.h"
#include "runtime/ir/text.h"
#include "tests/fuzz/accepted.h"
#include "tests/fuzz/targets.h"

namespace rlx::fuzz {
namespace {

std::vector<std::string> Seeds() {
  std::vector<std::string> out;
  for (const Module& module : SeedModules()) out.push_back(Print(module));
  return out;
}

void Run(std::string_view bytes) {
  const auto module = ParseModule(bytes);
  if (module.ok() && Verify(*module, kLimits).ok()) CheckAccepted(*module, bytes.size());
}

}  // namespace

const Target kTextTarget{"text", Seeds, Run};

}  // namespace rlx::fuzz
