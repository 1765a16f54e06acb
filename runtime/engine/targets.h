// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

#include "runtime/device/registry.h"
#include "runtime/engine/engine.h"

namespace rlx::engine {

// What can be compiled for and run on here. The registry's answers are asked for once, at start;
// devices are opened when first used. Thread safe.
class Targets {
 public:
  // `threads`: that a CPU device computes with, at least 1.
  Targets(device::Registry registry, int threads);

  // What a request means by device and profile. Without a back end the target has the device's name
  // as its only profile. NotFound for an unknown profile.
  struct Choice {
    const device::Backend* backend = nullptr;  // null: none here
    device::Target target;
    std::string_view compiler_version;
  };
  absl::StatusOr<Choice> Choose(DeviceKind device, std::string_view profile) const;
  // The choice whose target has this fingerprint; what an artifact was made for.
  absl::StatusOr<Choice> ByFingerprint(const device::Target& target) const;

  // The device of a kind, opened. FailedPrecondition with the reason when there is none here.
  absl::StatusOr<std::shared_ptr<device::Device>> Open(DeviceKind kind);

  std::vector<DeviceStatus> Describe() const;  // all twelve, in order
  bool GeneratesCode() const;                  // for any of them

 private:
  // What is known of one back end.
  struct Entry {
    const device::Backend* backend = nullptr;
    std::vector<device::Target> targets;
    std::string compiler_version;
    std::vector<device::DeviceInfo> devices;
    std::string why_none;
  };
  const Entry* Find(DeviceKind kind) const;
  DeviceStatus Describe(DeviceKind kind) const;

  const device::Registry registry_;
  const int threads_;
  std::vector<Entry> entries_;
  std::mutex mutex_;
  std::map<DeviceKind, std::shared_ptr<device::Device>> open_;  // guarded by mutex_
};

}  // namespace rlx::engine
