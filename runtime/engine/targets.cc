// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/targets.h"

#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/stages/stages.h"

namespace rlx::engine {
namespace {

device::Target WithoutBackend(DeviceKind device) {
  return {.kind = device,
          .profile = std::string(Name(device)),
          .arch = std::string(Name(device)),
          .fingerprint = Cat("no back end for ", Name(device))};
}

// "cuda:h200", or "h200" where it is said already that the device is cuda.
bool IsCalled(const device::Target& target, std::string_view profile) {
  return profile == target.profile || Cat(Name(target.kind), ":", profile) == target.profile;
}

template <class T>
std::vector<T> Sorted(std::vector<T> list) {
  std::sort(list.begin(), list.end());
  return list;
}

}  // namespace

Targets::Targets(device::Registry registry, int threads)
    : registry_(std::move(registry)), threads_(threads) {
  for (const device::Backend* backend : registry_.all()) {
    Entry& entry = entries_.emplace_back();
    entry.backend = backend;
    entry.targets = backend->Targets();
    entry.compiler_version = backend->CompilerVersion();
    entry.devices = backend->Enumerate(entry.why_none);
  }
}

const Targets::Entry* Targets::Find(DeviceKind kind) const {
  for (const Entry& entry : entries_) {
    if (entry.backend->kind() == kind) return &entry;
  }
  return nullptr;
}

absl::StatusOr<Targets::Choice> Targets::Choose(DeviceKind device, std::string_view profile) const {
  const Entry* entry = Find(device);
  if (entry == nullptr || entry->targets.empty()) {
    if (!profile.empty() && profile != Name(device)) {
      return NotFound("no profile \"", profile.substr(0, 64), "\" for ", Name(device));
    }
    return Choice{nullptr, WithoutBackend(device), {}};
  }
  for (const device::Target& target : entry->targets) {
    if (profile.empty() || IsCalled(target, profile)) {
      return Choice{entry->backend, target, entry->compiler_version};
    }
  }
  return NotFound("no profile \"", profile.substr(0, 64), "\" for ", Name(device));
}

absl::StatusOr<Targets::Choice> Targets::ByFingerprint(const device::Target& target) const {
  if (const Entry* entry = Find(target.kind)) {
    for (const device::Target& candidate : entry->targets) {
      if (candidate.fingerprint == target.fingerprint) {
        return Choice{entry->backend, candidate, entry->compiler_version};
      }
    }
  }
  return FailedPrecondition("no back end here compiles for ", target.profile);
}

absl::StatusOr<std::shared_ptr<device::Device>> Targets::Open(DeviceKind kind) {
  const Entry* entry = Find(kind);
  if (entry == nullptr) return FailedPrecondition("no back end for ", Name(kind), " here");
  if (entry->devices.empty()) {
    return FailedPrecondition("no ", Name(kind), " device here: ", entry->why_none);
  }
  std::lock_guard lock(mutex_);
  std::shared_ptr<device::Device>& device = open_[kind];
  if (device == nullptr) {
    RLX_ASSIGN(device, entry->backend->Open(entry->devices.front().id, {.threads = threads_}));
  }
  return device;
}

bool Targets::GeneratesCode() const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [](const Entry& entry) { return !entry.targets.empty(); });
}

std::vector<DeviceStatus> Targets::Describe() const {
  std::vector<DeviceStatus> out;
  for (int k = 0; k < kDeviceKindCount; ++k) out.push_back(Describe(static_cast<DeviceKind>(k)));
  return out;
}

DeviceStatus Targets::Describe(DeviceKind kind) const {
  DeviceStatus status;
  status.kind = kind;
  status.fusion_target = stages::FusionTargetFor(status.kind);
  status.limits = stages::LimitsFor(status.fusion_target);
  const auto list = [](const std::set<std::string>& claims) {
    return std::vector<std::string>(claims.begin(), claims.end());
  };
  status.fusion_claims = list(stages::FusionClaimsFor(status.fusion_target));
  status.full_claims = list(stages::RuntimeClaimsFor(status.fusion_target));
  const Entry* entry = Find(status.kind);
  if (entry == nullptr) {
    status.reason = "no back end here; modules compile to reports and LIR";
    for (const device::Registry::Failure& failure : registry_.failures()) {
      if (failure.file == Cat("librlxd_backend_", Name(status.kind), ".so")) {
        status.reason = failure.why;
      }
    }
    return status;
  }
  status.generates_code = !entry->targets.empty();
  status.backend = entry->backend->name();
  status.compiler_version = entry->compiler_version;
  if (status.generates_code) {
    status.claims = Sorted(entry->backend->ClaimedKinds(entry->targets.front()));
  }
  for (const device::Target& target : entry->targets) status.profiles.push_back(target.profile);
  status.profiles = Sorted(std::move(status.profiles));
  status.available = !entry->devices.empty();
  status.reason = entry->why_none;
  if (!status.available) return status;
  const device::DeviceInfo& info = entry->devices.front();
  status.id = info.id;
  status.vendor = info.vendor;
  status.name = info.name;
  status.driver = info.driver;
  status.target = info.target;
  status.memory_bytes = info.memory_bytes;
  if (status.kind == DeviceKind::kCpu) status.threads = threads_;
  return status;
}

}  // namespace rlx::engine
