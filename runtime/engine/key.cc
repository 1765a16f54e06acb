// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/key.h"

#include "runtime/base/status.h"
#include "runtime/engine/options.h"
#include "runtime/ir/verify.h"
#include "runtime/lower/lower.h"

namespace rlx::engine {
namespace {

std::string ModuleText(const Module& module) {
  const Graph& graph = module.graph;
  return Cat(StageName(module.stage), ", ", graph.size(), " nodes, ", graph.inputs().size(),
             " inputs, ", graph.params().size(), " params, ", graph.outputs().size(), " outputs");
}

// "llvm 19.1.7" as name and version.
std::pair<std::string, std::string> SplitVersion(std::string_view version) {
  const size_t space = version.find(' ');
  if (space == std::string_view::npos) return {std::string(version), ""};
  return {std::string(version.substr(0, space)), std::string(version.substr(space + 1))};
}

// The components that a key is hashed from, in order.
class KeyBuilder {
 public:
  void Add(std::string name, std::string text) {
    const Digest256 digest = Sha256Of(text);
    AddDigest(std::move(name), digest, std::move(text));
  }
  void AddDigest(std::string name, const Digest256& digest, std::string text) {
    hasher_.Add(name).Add(digest);
    key_.components.push_back({std::move(name), digest, std::move(text)});
  }
  KeyExplanation Finish() {
    key_.key = hasher_.Finish();
    return std::move(key_);
  }

 private:
  FieldHasher hasher_;
  KeyExplanation key_;
};

KeyExplanation KeyOf(const Job& job, const std::string& engine_salt) {
  KeyBuilder key;
  key.AddDigest("module", job.canonical.digest, ModuleText(job.canonical.module));
  key.Add("target", job.choice.target.fingerprint);
  key.Add("options", KeyText(job.options));
  key.Add("build", std::string(device::BuildId()));
  const auto [library, version] = SplitVersion(job.choice.compiler_version);
  if (!library.empty()) key.Add(Cat("library:", library), version);
  // Not shown: who knows a salt can ask for what was made under it.
  key.AddDigest("salt", FieldHasher().Add(engine_salt).Add(job.options.salt).Finish(), "");
  return key.Finish();
}

}  // namespace

absl::StatusOr<Job> Understand(const CompileSpec& spec, const EngineOptions& engine,
                               const Targets& targets) {
  Job job;
  job.device = spec.device;
  RLX_ASSIGN(job.choice, targets.Choose(spec.device, spec.profile));
  job.request = Inherit(spec.options, spec.device, engine);
  RLX_ASSIGN(job.options,
             stages::ResolveFor(spec.module, spec.device, job.request, job.choice.backend,
                                job.choice.backend ? &job.choice.target : nullptr));
  RLX_TRY(Verify(spec.module, engine.limits));
  // Here, where nodes still have their names.
  if (spec.module.plan) {
    RLX_TRY(lower::VerifyPlan(spec.module.graph, *spec.module.plan, job.choice.backend));
  }
  job.canonical = Canonicalize(spec.module, /*drop_dead=*/job.options.dce);
  job.key = KeyOf(job, engine.salt);
  return job;
}

Digest256 SpecialisedKey(const Digest256& key, const Specialisation& at) {
  FieldHasher hasher;
  hasher.Add(at.up_to ? "specialised up to" : "specialised").Add(key);
  for (const auto& [symbol, size] : at.sizes)
    hasher.Add(symbol).AddInt(static_cast<uint64_t>(size));
  return hasher.Finish();
}

}  // namespace rlx::engine
