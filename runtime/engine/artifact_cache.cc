// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/artifact_cache.h"

#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/cache/disk_store.h"
#include "runtime/cache/memory_store.h"
#include "runtime/cache/shared_store.h"
#include "runtime/cache/tiered_store.h"
#include "runtime/device/registry.h"
#include "runtime/engine/observer.h"
#include "runtime/stages/pipeline.h"

namespace rlx::engine {
namespace {

constexpr std::string_view kReadyTier = "decoded";

int64_t SumBytes(const std::vector<device::TensorSpec>& specs) {
  int64_t sum = 0;
  for (const device::TensorSpec& spec : specs) sum += spec.type.ByteSize().value_or(0);
  return sum;
}

MemoryStats MemoryOf(const wire::Artifact& artifact) {
  MemoryStats memory;
  memory.arena_bytes = artifact.lir.plan.arena_bytes;
  for (const IoEntry& param : artifact.lir.plan.params) {
    memory.weight_bytes += param.type.ByteSize().value_or(0);
  }
  if (artifact.program == nullptr) return memory;
  const device::Program& program = *artifact.program;
  memory.arena_bytes = program.arena_bytes + program.scratch_bytes;
  memory.weight_bytes = SumBytes(program.params);
  for (int64_t slot : program.weight_slots) memory.weight_bytes += slot;
  memory.code_bytes = static_cast<int64_t>(program.object.size());
  for (const HostTensor& constant : program.constants) {
    memory.constant_bytes += static_cast<int64_t>(constant.bytes().size());
  }
  return memory;
}

ModulePtr MakeModule(const Digest256& key, wire::Artifact artifact, size_t encoded_bytes) {
  const MemoryStats memory = MemoryOf(artifact);
  return std::make_shared<const CompiledModule>(
      CompiledModule{key, std::move(artifact), memory, static_cast<int64_t>(encoded_bytes)});
}

// Entries of another build or salt have other keys anyway; so they can also be told apart, counted
// and removed.
std::string SpaceOf(const EngineOptions& options) {
  const Digest256 space =
      FieldHasher().Add("rlxd artifacts").Add(device::BuildId()).Add(options.salt).Finish();
  return space.ToHex().substr(0, 16);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ArtifactCache>> ArtifactCache::Open(const EngineOptions& options,
                                                                   EngineObserver& observer) {
  std::vector<std::unique_ptr<cache::Store>> tiers;
  tiers.push_back(std::make_unique<cache::MemoryStore>(options.memory_cache_bytes));
  if (!options.cache_dir.empty()) {
    RLX_ASSIGN(tiers.emplace_back(), cache::DiskStore::Open(Cat(options.cache_dir, "/artifacts"),
                                                            options.disk_cache_bytes));
  }
  cache::Turns* turns = nullptr;
  if (options.shared_cache) {
    cache::RedisOptions shared = *options.shared_cache;
    shared.space = SpaceOf(options);
    auto tier = cache::OpenSharedStore(std::move(shared));
    if (tier == nullptr) return Unimplemented("this build has no shared cache");
    turns = tier.get();
    tiers.push_back(std::move(tier));
  }
  auto store = std::make_unique<cache::TieredStore>(
      std::move(tiers), [&observer](std::string_view tier, std::string_view op, double seconds) {
        observer.CacheOperation(tier, op, seconds);
      });
  return std::unique_ptr<ArtifactCache>(new ArtifactCache(std::move(store), turns, options));
}

ArtifactCache::ArtifactCache(std::unique_ptr<cache::Store> store, cache::Turns* turns,
                             const EngineOptions& options)
    : ready_(options.decoded_cache_bytes),
      store_(std::move(store)),
      turns_(turns),
      reads_([](std::function<void()> read) {
        read();
        return absl::OkStatus();
      }) {}

ModulePtr ArtifactCache::Recall(const Digest256& key) {
  ModulePtr module = ready_.Get(key);
  if (module) store_->Touch(key);  // what is used stays in the slower tiers too
  return module;
}

absl::StatusOr<ArtifactCache::Found> ArtifactCache::Find(const Digest256& key,
                                                         const CancelToken& cancel) {
  if (ModulePtr module = Recall(key)) return Found{std::move(module), CacheResult::kMemory};
  auto ticket = reads_.Join(
      key, [this, key](const CancelToken&, auto&) -> absl::StatusOr<Found> { return Read(key); });
  return ticket.Wait(cancel);
}

ArtifactCache::Found ArtifactCache::Read(const Digest256& key) {
  const std::optional<cache::Hit> hit = store_->Get(key);
  if (!hit) return {};
  absl::StatusOr<wire::Artifact> artifact =
      wire::DecodeArtifact(hit->value.view(), stages::GrownLimits());
  if (!artifact.ok()) {
    store_->RemoveCorrupt(key);
    return {};
  }
  ModulePtr module = MakeModule(key, *std::move(artifact), hit->value.size());
  ready_.Put(module, /*keep=*/true);
  const CacheResult cache = hit->tier == "memory" ? CacheResult::kMemory
                            : hit->tier == "disk" ? CacheResult::kDisk
                                                  : CacheResult::kRemote;
  return {std::move(module), cache};
}

ArtifactCache::Share ArtifactCache::TakeTurn(const Digest256& key) {
  Share share;
  if (turns_ == nullptr) return share;
  switch (turns_->Take(key)) {
    case cache::Turns::Word::kMine:
      share.turn = cache::Turn(*turns_, key);
      break;
    case cache::Turns::Word::kTheirs:
      share.theirs = true;
      break;
    case cache::Turns::Word::kThere:
      share.module = Read(key).module;  // null: it went again
      break;
    case cache::Turns::Word::kAlone:
      break;
  }
  return share;
}

std::optional<cache::TurnStats> ArtifactCache::SharedStats() const {
  if (turns_ == nullptr) return std::nullopt;
  return turns_->turn_stats();
}

ModulePtr ArtifactCache::Add(const Digest256& key, wire::Artifact artifact, bool keep) {
  SharedBytes encoded(wire::EncodeArtifact(artifact));
  ModulePtr module = MakeModule(key, std::move(artifact), encoded.size());
  ready_.Put(module, keep);
  if (keep) store_->Put(key, encoded);
  return module;
}

std::vector<cache::TierStats> ArtifactCache::Stats() const {
  std::vector<cache::TierStats> stats = {ready_.Stats()};
  for (const cache::Store* tier : store_->Tiers()) stats.push_back(tier->Stats());
  return stats;
}

std::vector<cache::EntryInfo> ArtifactCache::List(size_t limit, size_t& total) const {
  std::vector<cache::EntryInfo> list = store_->List();
  total = list.size();
  if (list.size() > limit) list.resize(limit);
  return list;
}

absl::StatusOr<cache::Cleared> ArtifactCache::Clear(const std::vector<std::string>& tiers) {
  const auto wanted = [&](std::string_view tier) {
    return tiers.empty() || std::find(tiers.begin(), tiers.end(), tier) != tiers.end();
  };
  const std::vector<cache::Store*> stores = store_->Tiers();
  for (const std::string& name : tiers) {
    const bool known =
        name == kReadyTier ||
        std::any_of(stores.begin(), stores.end(), [&](auto* s) { return s->tier() == name; });
    if (!known) return InvalidArgument("no cache tier is called \"", name, "\"");
  }
  cache::Cleared cleared;
  // What is ready is a copy of what memory holds: it goes with it, and is not counted twice.
  if (wanted("memory"))
    ready_.Clear();
  else if (wanted(kReadyTier))
    cleared = ready_.Clear();
  for (cache::Store* store : stores) {
    if (!wanted(store->tier())) continue;
    const cache::Cleared part = store->Clear();
    cleared.entries += part.entries;
    cleared.bytes += part.bytes;
  }
  return cleared;
}

}  // namespace rlx::engine
