// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <list>
#include <optional>
#include <unordered_map>
#include <utility>

namespace rlx::cache {

// A map that knows in which order its entries were last used. Pointers stay valid until the entry
// goes. Not thread safe.
template <class Key, class Value>
class LruMap {
 public:
  using Entry = std::pair<const Key, Value>;

  // Null when absent. Find leaves the order, Use makes the entry the most recent.
  Value* Find(const Key& key) {
    auto found = index_.find(key);
    return found == index_.end() ? nullptr : &found->second->second;
  }
  Value* Use(const Key& key) {
    auto found = index_.find(key);
    if (found == index_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return &found->second->second;
  }

  // As the most recent; an entry of that key is replaced and returned.
  std::optional<Value> Insert(const Key& key, Value value) {
    std::optional<Value> before = Erase(key);
    entries_.emplace_front(key, std::move(value));
    index_.emplace(key, entries_.begin());
    return before;
  }

  std::optional<Value> Erase(const Key& key) {
    auto found = index_.find(key);
    if (found == index_.end()) return std::nullopt;
    std::optional<Value> before = std::move(found->second->second);
    entries_.erase(found->second);
    index_.erase(found);
    return before;
  }

  void Clear() {
    index_.clear();
    entries_.clear();
  }

  // Most recently used first.
  const std::list<Entry>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }

 private:
  std::list<Entry> entries_;
  std::unordered_map<Key, typename std::list<Entry>::iterator> index_;
};

}  // namespace rlx::cache
