// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/check.h"
#include "runtime/base/status.h"
#include "runtime/engine/artifact.h"
#include "tests/fuzz/accepted.h"
#include "tests/fuzz/targets.h"

namespace rlx::fuzz {
namespace {

std::vector<std::string> Seeds() {
  std::vector<std::string> out;
  for (const Module& module : SeedModules(13)) {
    auto result = CompileDry(module);
    CHECK(result.ok(), Message(result.status()));
    const device::Target target = DryBackend().Targets().front();
    out.push_back(wire::EncodeArtifact(engine::ToArtifact(*std::move(result), target)));
  }
  return out;
}

// What decodes encodes to what decodes to the same.
void Run(std::string_view bytes) {
  const auto artifact = wire::DecodeArtifact(bytes, kLimits);
  if (!artifact.ok()) return;
  const std::string once = wire::EncodeArtifact(*artifact);
  const auto again = wire::DecodeArtifact(once, kLimits);
  CHECK(again.ok(), Message(again.status()));
  CHECK(wire::EncodeArtifact(*again) == once);
}

}  // namespace

const Target kArtifactTarget{"artifact", Seeds, Run};

}  // namespace rlx::fuzz
