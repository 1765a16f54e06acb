// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/engine/compile.h"

namespace rlx::engine {
namespace {

constexpr std::string_view kCacheResults[] = {"memory", "disk", "remote", "follower", "compiled"};
constexpr std::string_view kPhases[] = {"cache_check", "queued",  "parse", "hir", "mir",
                                        "lir",         "codegen", "load",  "done"};

// The author's sources for those of the canonical module, each once.
std::vector<SourceRef> Join(const std::vector<SourceRef>& canonical, const SourceTable& names) {
  std::vector<SourceRef> out;
  for (const SourceRef& source : canonical) {
    if (source.id < 0 || source.id >= static_cast<int64_t>(names.nodes.size())) continue;
    const auto& authored = names.nodes[static_cast<size_t>(source.id)];
    out.insert(out.end(), authored.begin(), authored.end());
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace

std::string_view Name(CacheResult result) { return kCacheResults[static_cast<int>(result)]; }
std::string_view Name(CompilePhase phase) { return kPhases[static_cast<int>(phase)]; }

FusionReport Compiled::Fusion() const {
  FusionReport report = module->artifact.fusion;
  if (!options->verbose.value_or(false)) {
    std::erase_if(report.remarks, [](const Remark& remark) {
      return remark.kind == Remark::Kind::kMissed && !remark.actionable;
    });
  }
  for (Remark& remark : report.remarks) remark.sources = Join(remark.sources, *names);
  return report;
}

std::vector<std::string> Differing(const KeyExplanation& a, const KeyExplanation& b) {
  std::vector<std::string> names;
  const auto find = [](const KeyExplanation& in, const std::string& name) {
    return std::find_if(in.components.begin(), in.components.end(),
                        [&](const KeyComponent& c) { return c.name == name; });
  };
  for (const KeyComponent& component : a.components) {
    const auto other = find(b, component.name);
    if (other == b.components.end() || other->digest != component.digest) {
      names.push_back(component.name);
    }
  }
  for (const KeyComponent& component : b.components) {
    if (find(a, component.name) == a.components.end()) names.push_back(component.name);
  }
  return names;
}

}  // namespace rlx::engine
