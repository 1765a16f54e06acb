// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/file.h"

namespace rlx::server {

// POSIX shared memory that clients name, for those on this machine that speak Triton's extension.
// A region is read and written by copying, never mapped: what its owner does to it meanwhile
// (shrinks it, removes it, writes into it) is an error or other bytes, and harms nobody. Off unless
// the operator wants it: who may call may name any region that this process may open. Thread safe.
class SharedMemory {
 public:
  struct Region {
    std::string key;
    uint64_t offset = 0;
    uint64_t bytes = 0;
  };

  explicit SharedMemory(bool enabled) : enabled_(enabled) {}
  bool enabled() const { return enabled_; }

  // Unimplemented while it is off, all of them.
  // InvalidArgument: no name, a key that is none, a size beyond the region's; AlreadyExists;
  // NotFound: no such region on this machine; ResourceExhausted.
  absl::Status Register(const std::string& name, const Region& region);
  // Requests that use it have their own hold. Empty: all of them. What is not there is no error.
  absl::Status Unregister(const std::string& name);
  // Empty: all. NotFound.
  absl::StatusOr<std::map<std::string, Region>> Status(const std::string& name) const;

  // Bytes of a region, from `offset` on. NotFound; InvalidArgument where they are not in it.
  absl::Status Read(std::string_view name, uint64_t offset, std::span<uint8_t> out) const;
  absl::Status Write(std::string_view name, uint64_t offset, std::span<const uint8_t> bytes) const;
  // Whether Write would find that much room.
  absl::Status Check(std::string_view name, uint64_t offset, uint64_t bytes) const;

 private:
  struct Open {
    Region region;
    Fd fd;
  };
  using OpenPtr = std::shared_ptr<const Open>;
  absl::StatusOr<OpenPtr> Find(std::string_view name, uint64_t offset, uint64_t bytes) const;
  absl::Status CheckEnabled() const;

  const bool enabled_;
  mutable std::mutex mutex_;
  std::map<std::string, OpenPtr, std::less<>> regions_;  // guarded by mutex_
};

}  // namespace rlx::server
