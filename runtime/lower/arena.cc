// SPDX-License-Identifier: Apache-2.0
#include "runtime/lower/arena.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

namespace rlx::lower {
namespace {

using Requests = std::vector<ArenaRequest>;

int64_t AlignUp(int64_t bytes, int64_t alignment) {
  return (bytes + alignment - 1) & ~(alignment - 1);
}

// Positions of the requests, sorted by falling `weight`, equals in their order.
template <class Weight>
std::vector<size_t> ByFalling(const Requests& requests, const Weight& weight) {
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return weight(requests[a]) > weight(requests[b]); });
  return order;
}

// Where a request was placed, up to the next aligned offset.
struct Span {
  int64_t begin, end;
};

// Offsets that are taken, as spans in order that neither overlap nor touch.
class Taken {
 public:
  void Add(Span span) {
    const auto first = std::ranges::lower_bound(spans_, span.begin, {}, &Span::end);
    auto last = first;
    for (; last != spans_.end() && last->begin <= span.end; ++last) {
      span.begin = std::min(span.begin, last->begin);
      span.end = std::max(span.end, last->end);
    }
    if (first == last) {
      spans_.insert(first, span);
    } else {
      *first = span;
      spans_.erase(first + 1, last);
    }
  }
  const std::vector<Span>& spans() const { return spans_; }

 private:
  std::vector<Span> spans_;
};

// Requests placed so far, by the time they live: finds what those take that live together with
// another. First fit leaves few gaps, so that this is a few spans however many they are.
class PlacedInTime {
 public:
  explicit PlacedInTime(const Requests& requests) {
    int32_t last = 0;
    for (const ArenaRequest& request : requests) last = std::max(last, request.last);
    while (width_ <= last) width_ *= 2;
    covering_.resize(2 * static_cast<size_t>(width_));
    starting_.resize(2 * static_cast<size_t>(width_));
  }

  void Add(const ArenaRequest& request, Span span) {
    Ascend(request.first, [&](size_t node) { starting_[node].Add(span); });
    Cover(request.first, request.last, [&](size_t node) { covering_[node].Add(span); });
  }

  // By those that hold data when it begins, and those that begin while it does.
  void LivingWith(const ArenaRequest& request, std::vector<Span>& out) const {
    const auto append = [&](const Taken& taken) {
      out.insert(out.end(), taken.spans().begin(), taken.spans().end());
    };
    out.clear();
    Ascend(request.first, [&](size_t node) { append(covering_[node]); });
    Cover(request.first + 1, request.last, [&](size_t node) { append(starting_[node]); });
  }

 private:
  // The leaf of a step, and the nodes above it.
  template <class Visit>
  void Ascend(int32_t step, const Visit& visit) const {
    for (int32_t node = step + width_; node > 0; node /= 2) visit(static_cast<size_t>(node));
  }
  // The fewest nodes whose leaves are first .. last.
  template <class Visit>
  void Cover(int32_t first, int32_t last, const Visit& visit) const {
    int32_t low = first + width_, high = last + width_ + 1;
    for (; low < high; low /= 2, high /= 2) {
      if (low % 2 != 0) visit(static_cast<size_t>(low++));
      if (high % 2 != 0) visit(static_cast<size_t>(--high));
    }
  }

  int32_t width_ = 1;
  // Segment trees over the steps, node n above 2n and 2n + 1: what is taken through all steps of a
  // node by lives that no node above holds, and what is taken from some step of a node on.
  std::vector<Taken> covering_, starting_;
};

// Gives up, larger than `most`, once it is.
ArenaPlan FirstFit(const Requests& requests, const std::vector<size_t>& order, int64_t alignment,
                   int64_t most) {
  ArenaPlan plan{.offsets = std::vector<int64_t>(requests.size()), .bytes = 0};
  PlacedInTime placed(requests);
  std::vector<Span> neighbours;
  for (size_t r : order) {
    placed.LivingWith(requests[r], neighbours);
    std::ranges::sort(neighbours, {}, &Span::begin);
    int64_t at = 0;
    for (const Span& other : neighbours) {
      if (other.begin >= at + requests[r].bytes) break;
      at = std::max(at, other.end);
    }
    plan.offsets[r] = at;
    plan.bytes = std::max(plan.bytes, at + requests[r].bytes);
    if (plan.bytes > most) break;
    placed.Add(requests[r], {at, at + AlignUp(requests[r].bytes, alignment)});
  }
  return plan;
}

// Free ranges of an arena that grows at its end.
class FreeList {
 public:
  // The smallest range that holds it.
  int64_t Take(int64_t bytes) {
    const auto fit = by_size_.lower_bound({bytes, 0});
    if (fit == by_size_.end()) {
      const int64_t offset = end_;
      end_ += bytes;
      return offset;
    }
    const auto [size, offset] = *fit;
    Remove(offset, size);
    if (size > bytes) Insert(offset + bytes, size - bytes);
    return offset;
  }

  void Give(int64_t offset, int64_t bytes) {
    if (const auto next = by_offset_.find(offset + bytes); next != by_offset_.end()) {
      bytes += next->second;
      Remove(offset + bytes - next->second, next->second);
    }
    const auto after = by_offset_.lower_bound(offset);
    if (after != by_offset_.begin()) {
      const auto [before, size] = *std::prev(after);
      if (before + size == offset) {
        Remove(before, size);
        offset = before;
        bytes += size;
      }
    }
    Insert(offset, bytes);
  }

 private:
  void Insert(int64_t offset, int64_t bytes) {
    by_offset_.emplace(offset, bytes);
    by_size_.emplace(bytes, offset);
  }
  void Remove(int64_t offset, int64_t bytes) {
    by_offset_.erase(offset);
    by_size_.erase({bytes, offset});
  }

  std::map<int64_t, int64_t> by_offset_;
  std::set<std::pair<int64_t, int64_t>> by_size_;
  int64_t end_ = 0;
};

// Within so small a part of the bound no other order is tried.
constexpr int64_t kCloseEnough = 50;

ArenaPlan SweepOverTime(const Requests& requests, int64_t alignment) {
  const std::vector<size_t> order =
      ByFalling(requests, [](const ArenaRequest& request) { return -int64_t{request.first}; });
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
    plan.bytes = std::max(plan.bytes, plan.offsets[r] + requests[r].bytes);
    live.emplace(requests[r].last, r);
  }
  return plan;
}

// How many pairs live together: all but those of which one ends before the other begins.
int64_t PairsTogether(const Requests& requests) {
  std::vector<int32_t> ends;
  for (const ArenaRequest& request : requests) ends.push_back(request.last);
  std::sort(ends.begin(), ends.end());
  const auto n = static_cast<int64_t>(requests.size());
  int64_t pairs = n * (n - 1) / 2;
  for (const ArenaRequest& request : requests) {
    pairs -= std::lower_bound(ends.begin(), ends.end(), request.first) - ends.begin();
  }
  return pairs;
}

bool Overflows(const Requests& requests, int64_t alignment) {
  int64_t total = 0;
  return std::any_of(requests.begin(), requests.end(), [&](const ArenaRequest& request) {
    int64_t padded = 0;
    return __builtin_add_overflow(request.bytes, alignment, &padded) ||
           __builtin_add_overflow(total, padded, &total);
  });
}

}  // namespace

int64_t ArenaLowerBound(const std::vector<ArenaRequest>& requests, int64_t alignment) {
  std::map<int32_t, int64_t> change;  // padded bytes, at each step
  int64_t padding = 0;                // the topmost buffer's does not count
  for (const ArenaRequest& request : requests) {
    const int64_t padded = AlignUp(request.bytes, alignment);
    padding = std::max(padding, padded - request.bytes);
    change[request.first] += padded;
    change[request.last + 1] -= padded;
  }
  int64_t live = 0, most = 0;
  for (const auto& [step, bytes] : change) most = std::max(most, live += bytes);
  return std::max<int64_t>(0, most - padding);
}

std::optional<ArenaPlan> PlanArena(const std::vector<ArenaRequest>& requests, int64_t alignment) {
  if (Overflows(requests, alignment)) return std::nullopt;
  ArenaPlan best = SweepOverTime(requests, alignment);
  const int64_t bound = ArenaLowerBound(requests, alignment);
  if (best.bytes <= bound || PairsTogether(requests) > kMaxPairs) return best;
  const auto life = [](const ArenaRequest& r) { return int64_t{r.last} - r.first + 1; };
  const auto area = [&](const ArenaRequest& r) {
    return static_cast<double>(r.bytes) * static_cast<double>(life(r));
  };
  const std::vector<size_t> orders[] = {
      // by size first: the plan is never larger than that one
      ByFalling(requests, [](const ArenaRequest& r) { return r.bytes; }),
      ByFalling(requests, area),
      ByFalling(requests, life),
  };
  for (const std::vector<size_t>& order : orders) {
    ArenaPlan plan = FirstFit(requests, order, alignment, best.bytes);
    if (plan.bytes < best.bytes) best = std::move(plan);
    if (best.bytes - bound <= bound / kCloseEnough) break;
  }
  return best;
}

}  // namespace rlx::lower
