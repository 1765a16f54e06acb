// SPDX-License-Identifier: Apache-2.0
#include "runtime/lower/arena.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace rlx::lower {
namespace {

int64_t AlignUp(int64_t bytes, int64_t alignment) {
  return (bytes + alignment - 1) & ~(alignment - 1);
}

// Slots already placed, by offset.
struct Placed {
  int64_t offset = 0;
  int64_t end = 0;
  int32_t first = 0;
  int32_t last = 0;
};

int64_t LowestFit(const std::vector<Placed>& placed, const ArenaRequest& request,
                  int64_t alignment) {
  int64_t at = 0;
  for (const Placed& slot : placed) {
    if (slot.last < request.first || request.last < slot.first) continue;
    if (slot.offset >= at + request.bytes) break;
    at = std::max(at, AlignUp(slot.end, alignment));
  }
  return at;
}

ArenaPlan FirstFitBySize(const std::vector<ArenaRequest>& requests, int64_t alignment) {
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return requests[a].bytes > requests[b].bytes; });
  ArenaPlan plan{.offsets = std::vector<int64_t>(requests.size()), .bytes = 0};
  std::vector<Placed> placed;
  placed.reserve(requests.size());
  for (size_t r : order) {
    const ArenaRequest& request = requests[r];
    const int64_t offset = LowestFit(placed, request, alignment);
    const Placed slot{offset, offset + request.bytes, request.first, request.last};
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), slot,
                         [](const Placed& a, const Placed& b) { return a.offset < b.offset; }),
        slot);
    plan.offsets[r] = offset;
    plan.bytes = std::max(plan.bytes, slot.end);
  }
  return plan;
}

// Free ranges of an arena that grows at its end.
class FreeList {
 public:
  int64_t Take(int64_t bytes) {
    for (auto it = free_.begin(); it != free_.end(); ++it) {
      const auto [offset, size] = *it;
      if (size < bytes) continue;
      free_.erase(it);
      if (size > bytes) free_.emplace(offset + bytes, size - bytes);
      return offset;
    }
    const int64_t offset = end_;
    end_ += bytes;
    return offset;
  }

  void Give(int64_t offset, int64_t bytes) {
    auto it = free_.emplace(offset, bytes).first;
    if (auto next = std::next(it); next != free_.end() && it->first + it->second == next->first) {
      it->second += next->second;
      free_.erase(next);
    }
    if (it == free_.begin()) return;
    auto before = std::prev(it);
    if (before->first + before->second != it->first) return;
    before->second += it->second;
    free_.erase(it);
  }

  int64_t end() const { return end_; }

 private:
  std::map<int64_t, int64_t> free_;  // offset → size
  int64_t end_ = 0;
};

ArenaPlan SweepOverTime(const std::vector<ArenaRequest>& requests, int64_t alignment) {
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return requests[a].first < requests[b].first; });
  ArenaPlan plan{.offsets = std::vector<int64_t>(requests.size()), .bytes = 0};
  std::multimap<int32_t, size_t> live;  // by last step
  FreeList free;
  for (size_t r : order) {
    while (!live.empty() && live.begin()->first < requests[r].first) {
      const size_t gone = live.begin()->second;
      free.Give(plan.offsets[gone], AlignUp(requests[gone].bytes, alignment));
      live.erase(live.begin());
    }
    plan.offsets[r] = free.Take(AlignUp(requests[r].bytes, alignment));
    live.emplace(requests[r].last, r);
  }
  plan.bytes = free.end();
  return plan;
}

}  // namespace

std::optional<ArenaPlan> PlanArena(const std::vector<ArenaRequest>& requests, int64_t alignment) {
  int64_t total = 0;
  for (const ArenaRequest& request : requests) {
    int64_t padded = 0;
    if (__builtin_add_overflow(request.bytes, alignment, &padded) ||
        __builtin_add_overflow(total, padded, &total)) {
      return std::nullopt;
    }
  }
  return requests.size() <= kExactRequests ? FirstFitBySize(requests, alignment)
                                           : SweepOverTime(requests, alignment);
}

}  // namespace rlx::lower
