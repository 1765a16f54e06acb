// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

namespace rlx::server {

// What runs of one model take when they are fast, by the shape of what they run on: learned from
// those that succeeded. A fixed table by hash: shapes that meet in a slot displace each other, and
// are learned anew. Thread safe, no locks.
class LatencyTable {
 public:
  // After so many runs of a shape its time is believed.
  static constexpr uint32_t kEnough = 16;
  // Of so many requests that would be refused one runs: a time that no longer holds is unlearned.
  static constexpr uint32_t kProbe = 16;

  // Folds extents into a shape's key: begin with kNoShape.
  static constexpr uint64_t kNoShape = 1469598103934665603u;
  static uint64_t Fold(uint64_t key, int64_t extent) {
    return (key ^ static_cast<uint64_t>(extent)) * 1099511628211u;
  }
  static uint64_t Fold(uint64_t key, std::span<const int64_t> extents) {
    for (int64_t extent : extents) key = Fold(key, extent);
    return key;
  }

  // Follows what is faster at once, and what is slower slowly.
  void Ran(uint64_t key, double seconds) {
    Slot& slot = slots_[SlotOf(key)];
    const auto ran = static_cast<float>(seconds);
    if (slot.key.load(std::memory_order_relaxed) != key) {
      slot.runs.store(0, std::memory_order_relaxed);
      slot.fast.store(ran, std::memory_order_relaxed);
      slot.key.store(key, std::memory_order_release);
    }
    const float fast = slot.fast.load(std::memory_order_relaxed);
    slot.fast.store(ran < fast ? ran : fast + (ran - fast) * 0.02f, std::memory_order_relaxed);
    slot.runs.fetch_add(1, std::memory_order_relaxed);
  }

  // None: not enough is known.
  std::optional<double> Fast(uint64_t key) const {
    const Slot& slot = slots_[SlotOf(key)];
    if (slot.key.load(std::memory_order_acquire) != key) return std::nullopt;
    if (slot.runs.load(std::memory_order_relaxed) < kEnough) return std::nullopt;
    return slot.fast.load(std::memory_order_relaxed);
  }

  // Whether a request that has less than that left is refused. Counts it.
  bool Refuses(uint64_t key) {
    return slots_[SlotOf(key)].refused.fetch_add(1, std::memory_order_relaxed) % kProbe !=
           kProbe - 1;
  }

 private:
  static constexpr size_t kSlots = 64;  // 2^6
  struct Slot {
    std::atomic<uint64_t> key{0};
    std::atomic<uint32_t> runs{0};
    std::atomic<float> fast{0};
    std::atomic<uint32_t> refused{0};
  };
  // By the high bits: extents like powers of two leave the low ones alone.
  static size_t SlotOf(uint64_t key) { return (key * 0x9e3779b97f4a7c15u) >> 58; }

  std::array<Slot, kSlots> slots_;
};

}  // namespace rlx::server
