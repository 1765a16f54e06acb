// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>

#include "runtime/cache/redis_link.h"
#include "runtime/cache/shared_store.h"

namespace rlx::cache {

// Entries and turns in a Redis server that the replicas of a fleet share.
//
//   rlx1:SPACE:h:KEY     an entry's head, and its value unless that is large (shared_entry.h)
//   rlx1:SPACE:c:MAC:N   a large value's chunk N
//   rlx1:SPACE:l:KEY     the lease of whose turn it is
//   rlx1:SPACE:f:KEY     fence: how many have had a turn. Each has its number, and what it puts
//                        counts only as long as there is no higher one
//
// Whatever the server does costs a miss and a counter: no call waits for it longer than the timeout
// and what a value takes at RedisConnection::kLeastRate. What is put is written by a thread
// of its own. How much the server holds at most is its own setting (maxmemory), so entries and
// sizes are not known here, and List is empty.
class RedisStore : public SharedStore {
 public:
  explicit RedisStore(RedisOptions options);
  ~RedisStore() override;  // writes what waits, for a few seconds at most

  std::string_view tier() const override { return "remote"; }
  std::optional<Hit> Get(const Digest256& key) override;
  void Put(const Digest256& key, const SharedBytes& value) override;
  void Touch(const Digest256& key) override;
  void Remove(const Digest256& key) override;
  void RemoveCorrupt(const Digest256& key) override;
  Cleared Clear() override;
  std::vector<EntryInfo> List() const override { return {}; }
  TierStats Stats() const override;

  Word Take(const Digest256& key) override;
  void GiveBack(const Digest256& key) override;
  TurnStats turn_stats() const override;

  // Returns when all that was put before has been written or given up.
  void Flush();

 private:
  struct Held {
    std::string owner;  // the lease's value
    int64_t number = 0;
    bool lost = false;
  };
  struct Task {
    uint64_t bytes = 0;
    std::function<absl::Status(RedisConnection&, RedisTime&)> work;
  };

  std::string Name(std::string_view kind, std::string_view rest) const;
  std::string HeadName(const Digest256& key) const { return Name("h", key.ToHex()); }
  std::string ChunkName(const Digest256& mac, uint32_t chunk) const;

  absl::Status Read(RedisConnection& server, RedisTime& deadline, const Digest256& key,
                    std::optional<SharedBytes>& value, bool& corrupt) const;
  absl::Status Write(RedisConnection& server, RedisTime& deadline, const Digest256& key,
                     const SharedBytes& value, int64_t number);
  absl::Status Prolong(RedisConnection& server, RedisTime& deadline, const Digest256& key) const;
  absl::Status Renew(RedisConnection& server, RedisTime& deadline);
  void Count(const absl::Status& done);
  void Later(Task task);
  void WriteQueued(const std::stop_token& stop);
  void RenewHeld(const std::stop_token& stop);

  const RedisOptions options_;
  RedisLink link_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  TierStats stats_;  // guarded by mutex_, as below
  TurnStats turn_stats_;
  std::map<Digest256, Held> held_;
  std::unordered_map<Digest256, double> prolonged_;  // MonotonicSeconds
  std::deque<Task> queue_;
  uint64_t queued_bytes_ = 0;
  bool writing_ = false;
  std::jthread writer_, renewer_;  // last: they use all the others
};

}  // namespace rlx::cache
