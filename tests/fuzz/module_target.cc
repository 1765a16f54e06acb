// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/wire/module.h"
#include "tests/fuzz/accepted.h"
#include "tests/fuzz/targets.h"

namespace rlx::fuzz {
namespace {

std::vector<std::string> Seeds() {
  std::vector<std::string> out;
  for (const Module& module : SeedModules(11)) {
    v1::GraphModule wire;
    wire::ModuleToWire(module, wire);
    out.push_back(wire.SerializeAsString());
  }
  return out;
}

void Run(std::string_view bytes) {
  v1::GraphModule wire;
  if (!wire.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  const auto no_blobs = [](const v1::BlobSlice&) { return NotFound("no blob"); };
  const auto module = wire::ModuleFromWire(wire, kLimits, no_blobs);
  if (module.ok() && Verify(*module, kLimits).ok()) CheckAccepted(*module, bytes.size());
}

}  // namespace

const Target kModuleTarget{"module", Seeds, Run};

}  // namespace rlx::fuzz
