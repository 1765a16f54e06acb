// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace rlx::server {

// Remembers which sessions' last run was so short that handing it to another thread would cost more
// than running it. A fixed table by hash of the handle: sessions that meet in a slot displace each
// other, which costs them a hand-over and nothing else. Thread safe, no locks.
class QuickRuns {
 public:
  // A thread's wake-up costs about a tenth of this.
  static constexpr double kQuickSeconds = 200e-6;

  bool IsQuick(std::string_view handle) const {
    const uint64_t tag = Tag(handle);
    return tag != 0 && Slot(tag).load(std::memory_order_relaxed) == tag;
  }

  void Ran(std::string_view handle, double seconds) {
    const uint64_t tag = Tag(handle);
    if (tag == 0) return;
    auto& slot = Slot(tag);
    const bool known = slot.load(std::memory_order_relaxed) == tag;
    const bool quick = seconds < kQuickSeconds;
    if (known != quick) slot.store(quick ? tag : 0, std::memory_order_relaxed);
  }

 private:
  static constexpr size_t kSlots = 1024;

  // Handles are random: their first bytes are a hash.
  static uint64_t Tag(std::string_view handle) {
    uint64_t tag = 0;
    if (handle.size() == 16) std::memcpy(&tag, handle.data(), sizeof tag);
    return tag;
  }
  std::atomic<uint64_t>& Slot(uint64_t tag) { return slots_[tag % kSlots]; }
  const std::atomic<uint64_t>& Slot(uint64_t tag) const { return slots_[tag % kSlots]; }

  std::array<std::atomic<uint64_t>, kSlots> slots_{};
};

}  // namespace rlx::server
