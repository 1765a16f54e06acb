// SPDX-License-Identifier: Apache-2.0
#include "runtime/cache/redis_store.h"

#include "runtime/base/clock.h"
#include "runtime/base/random.h"
#include "runtime/cache/shared_entry.h"

namespace rlx::cache {
namespace {

constexpr double kProlongSeconds = 3600;  // an entry in use is told so often that it is
constexpr size_t kMaxProlonged = 65536;
constexpr double kFenceSeconds = 86400;
constexpr std::chrono::seconds kLastWords{3};
constexpr double kClearSeconds = 10;
constexpr double kCallSeconds = 1;  // each of many in the background

// Ends of GETRANGE: a byte more than there may be, so that nobody's garbage is read to its end.
const std::string kMostHead = Cat(kSharedHeadBytes + kSharedChunkBytes);
const std::string kMostChunk = Cat(kSharedChunkBytes);

// KEYS: head, lease, fence. ARGV: owner, milliseconds, the fence's. {1, number}: taken; {2}: the
// entry is there; {0}: someone else's. Asked twice, it answers the same.
constexpr std::string_view kTake = R"(
if redis.call('EXISTS', KEYS[1]) == 1 then return {2, 0} end
local owner = redis.call('GET', KEYS[2])
if owner == ARGV[1] then return {1, tonumber(redis.call('GET', KEYS[3]) or 0)} end
if owner then return {0, 0} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
local number = redis.call('INCR', KEYS[3])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return {1, number})";

// KEYS: lease. ARGV: owner, milliseconds. A lease that is gone (the server was emptied, or we
// slept) is taken up again unless another has it; 0: another has.
constexpr std::string_view kRenew = R"(
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1)";

// KEYS: lease. ARGV: owner.
constexpr std::string_view kGiveBack = R"(
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0)";

// KEYS: head, fence. ARGV: the head, milliseconds, number of the turn or 0. 0: a later turn began.
constexpr std::string_view kPut = R"(
local number = redis.call('GET', KEYS[2])
if ARGV[3] ~= '0' and number and number ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1)";

std::string Milliseconds(double seconds) { return Cat(static_cast<int64_t>(seconds * 1e3)); }

int64_t ItemOf(const RedisReply& reply, size_t i) {
  return i < reply.items.size() ? reply.items[i].number : 0;
}

}  // namespace

RedisStore::RedisStore(RedisOptions options)
    : options_(std::move(options)),
      link_(options_.server, options_.timeout_seconds),
      writer_([this](const std::stop_token& stop) { WriteQueued(stop); }),
      renewer_([this](const std::stop_token& stop) { RenewHeld(stop); }) {
  stats_.tier = tier();
}

RedisStore::~RedisStore() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kLastWords,
                    [this] { return (queue_.empty() && !writing_) || !link_.up(); });
}

std::string RedisStore::Name(std::string_view kind, std::string_view rest) const {
  return Cat("rlx1:", options_.space, ":", kind, ":", rest);
}

std::string RedisStore::ChunkName(const Digest256& mac, uint32_t chunk) const {
  return Name("c", Cat(mac.ToHex(), ":", chunk));
}

void RedisStore::Count(const absl::Status& done) {
  if (done.ok()) return;
  std::lock_guard lock(mutex_);
  ++stats_.errors;
}

// --- Entries
// ---------------------------------------------------------------------------------------

std::optional<Hit> RedisStore::Get(const Digest256& key) {
  std::optional<SharedBytes> value;
  bool corrupt = false;
  const bool up = link_.up();
  const absl::Status done = link_.Run([&](RedisConnection& server, RedisTime& deadline) {
    return Read(server, deadline, key, value, corrupt);
  });
  if (corrupt) RemoveCorrupt(key);
  if (value) Touch(key);
  std::lock_guard lock(mutex_);
  ++(value ? stats_.hits : stats_.misses);
  if (up && !done.ok()) ++stats_.errors;  // not one for each who asks while it is gone
  if (!value) return std::nullopt;
  return Hit{*std::move(value), tier()};
}

// `value` where it is there, whole, and put by one of us; `corrupt` where something else is.
absl::Status RedisStore::Read(RedisConnection& server, RedisTime& deadline, const Digest256& key,
                              std::optional<SharedBytes>& value, bool& corrupt) const {
  RLX_ASSIGN(RedisReply reply, server.Call({"GETRANGE", HeadName(key), "0", kMostHead}, deadline));
  if (reply.text.empty()) return absl::OkStatus();
  const std::optional<SharedHead> head = ParseSharedHead(reply.text, key);
  corrupt = !head;
  // One that another replica's larger limit let in is its own matter.
  if (!head || head->length > options_.max_entry_bytes) return absl::OkStatus();
  std::string bytes;
  if (head->chunks == 0) {
    bytes = std::move(reply.text);
    bytes.erase(0, kSharedHeadBytes);
  }
  for (uint32_t i = 0; i < head->chunks; ++i) {
    RLX_ASSIGN(const RedisReply chunk,
               server.Call({"GETRANGE", ChunkName(head->mac, i), "0", kMostChunk}, deadline));
    if (chunk.text.empty()) return absl::OkStatus();  // evicted in part
    bytes += chunk.text;
    if (bytes.size() > head->length) break;  // no entry of ours
  }
  corrupt = !MatchesHead(options_.secret, key, *head, bytes);
  if (!corrupt) value = SharedBytes(std::move(bytes));
  return absl::OkStatus();
}

void RedisStore::Put(const Digest256& key, const SharedBytes& value) {
  if (!link_.up() || value.size() > options_.max_entry_bytes) return;
  int64_t number = 0;
  {
    std::lock_guard lock(mutex_);
    if (const auto held = held_.find(key); held != held_.end()) number = held->second.number;
  }
  Later({value.size(), [this, key, value, number](RedisConnection& server, RedisTime& deadline) {
           return Write(server, deadline, key, value, number);
         }});
}

// The chunks first: a head speaks of what is there.
absl::Status RedisStore::Write(RedisConnection& server, RedisTime& deadline, const Digest256& key,
                               const SharedBytes& value, int64_t number) {
  std::string entry = SharedEntryHead(options_.secret, key, value.view());
  const std::string keep = Milliseconds(options_.keep_seconds);
  const SharedHead head = *ParseSharedHead(entry, key);
  if (head.chunks == 0) entry += value.view();
  for (uint32_t i = 0; i < head.chunks; ++i) {
    const std::string_view chunk =
        value.view().substr(size_t{i} * kSharedChunkBytes, kSharedChunkBytes);
    RLX_TRY(server.Call({"SET", ChunkName(head.mac, i), chunk, "PX", keep}, deadline).status());
    deadline = SecondsFromNow(kCallSeconds);
  }
  RLX_ASSIGN(const RedisReply reply, server.Call({"EVAL", kPut, "2", HeadName(key),
                                                  Name("f", key.ToHex()), entry, keep, Cat(number)},
                                                 deadline));
  std::lock_guard lock(mutex_);
  ++(reply.number == 1 ? stats_.puts : turn_stats_.lost);
  return absl::OkStatus();
}

void RedisStore::Touch(const Digest256& key) {
  if (!link_.up()) return;
  {
    const double now = MonotonicSeconds();
    std::lock_guard lock(mutex_);
    if (prolonged_.size() >= kMaxProlonged) prolonged_.clear();
    const auto [place, added] = prolonged_.emplace(key, now);
    if (!added && now - place->second < kProlongSeconds) return;
    place->second = now;
  }
  Later({0, [this, key](RedisConnection& server, RedisTime& deadline) {
           return Prolong(server, deadline, key);
         }});
}

absl::Status RedisStore::Prolong(RedisConnection& server, RedisTime& deadline,
                                 const Digest256& key) const {
  const std::string keep = Milliseconds(options_.keep_seconds);
  const std::string last = Cat(kSharedHeadBytes - 1);
  RLX_ASSIGN(const RedisReply reply, server.Call({"GETRANGE", HeadName(key), "0", last}, deadline));
  const std::optional<SharedHead> head = ParseSharedHead(reply.text, key);
  if (!head || head->length > options_.max_entry_bytes) return absl::OkStatus();
  for (uint32_t i = 0; i < head->chunks; ++i) {
    deadline = SecondsFromNow(kCallSeconds);
    RLX_TRY(server.Call({"PEXPIRE", ChunkName(head->mac, i), keep}, deadline).status());
  }
  deadline = SecondsFromNow(kCallSeconds);
  return server.Call({"PEXPIRE", HeadName(key), keep}, deadline).status();
}

void RedisStore::Remove(const Digest256& key) {
  if (!link_.up()) return;
  Count(link_.Run([&](RedisConnection& server, RedisTime& deadline) {
    return server.Call({"UNLINK", HeadName(key)}, deadline).status();
  }));
}

void RedisStore::RemoveCorrupt(const Digest256& key) {
  Remove(key);
  std::lock_guard lock(mutex_);
  ++stats_.corrupt;
}

// Everything of this build and salt, chunks and turns too; other spaces stay.
Cleared RedisStore::Clear() {
  Cleared cleared;
  RedisTime end = SecondsFromNow(kClearSeconds);
  const std::string entries = Name("h", "");
  Count(link_.RunInBackground([&](RedisConnection& server, RedisTime&) {
    std::string cursor = "0";
    do {
      RLX_ASSIGN(
          const RedisReply page,
          server.Call(
              {"SCAN", cursor, "MATCH", Cat("rlx1:", options_.space, ":*"), "COUNT", "1000"}, end));
      if (page.items.size() != 2) return DataLoss("the shared cache's server: no answer to SCAN");
      cursor = page.items[0].text;
      for (const RedisReply& name : page.items[1].items) {
        RLX_ASSIGN(const RedisReply size, server.Call({"STRLEN", name.text}, end));
        RLX_ASSIGN(const RedisReply gone, server.Call({"UNLINK", name.text}, end));
        cleared.entries += name.text.starts_with(entries) ? 1 : 0;
        cleared.bytes += gone.number == 1 ? static_cast<uint64_t>(size.number) : 0;
      }
    } while (cursor != "0");
    return absl::OkStatus();
  }));
  return cleared;
}

TierStats RedisStore::Stats() const {
  const std::string trouble = link_.trouble();
  std::lock_guard lock(mutex_);
  TierStats stats = stats_;
  stats.shared = true;
  stats.trouble = trouble;
  return stats;
}

// --- Turns
// -----------------------------------------------------------------------------------------

Turns::Word RedisStore::Take(const Digest256& key) {
  const std::string owner = RandomId::New().ToHex();
  const std::string hex = key.ToHex();
  int64_t word = -1, number = 0;
  const bool up = link_.up();
  const absl::Status done = link_.Run([&](RedisConnection& server, RedisTime& deadline) {
    RLX_ASSIGN(
        const RedisReply reply,
        server.Call({"EVAL", kTake, "3", HeadName(key), Name("l", hex), Name("f", hex), owner,
                     Milliseconds(options_.lease_seconds), Milliseconds(kFenceSeconds)},
                    deadline));
    word = reply.items.size() == 2 ? ItemOf(reply, 0) : -1;
    number = ItemOf(reply, 1);
    return absl::OkStatus();
  });
  std::lock_guard lock(mutex_);
  if (up && !done.ok()) ++stats_.errors;
  switch (word) {
    case 0:
      return Word::kTheirs;
    case 1:
      ++turn_stats_.taken;
      held_[key] = {owner, number};
      changed_.notify_all();
      return Word::kMine;
    case 2:
      ++turn_stats_.found;
      return Word::kThere;
    default:
      ++turn_stats_.alone;
      return Word::kAlone;
  }
}

void RedisStore::GiveBack(const Digest256& key) {
  Held held;
  {
    std::lock_guard lock(mutex_);
    const auto found = held_.find(key);
    if (found == held_.end()) return;
    held = std::move(found->second);
    held_.erase(found);
  }
  if (!link_.up()) return;  // it passes on by itself
  Later({0, [this, key, held](RedisConnection& server, RedisTime& deadline) {
           return server
               .Call({"EVAL", kGiveBack, "1", Name("l", key.ToHex()), held.owner}, deadline)
               .status();
         }});
}

absl::Status RedisStore::Renew(RedisConnection& server, RedisTime& deadline) {
  std::map<Digest256, Held> held;
  {
    std::lock_guard lock(mutex_);
    held = held_;
  }
  for (const auto& [key, mine] : held) {
    if (mine.lost) continue;
    RLX_ASSIGN(const RedisReply reply,
               server.Call({"EVAL", kRenew, "1", Name("l", key.ToHex()), mine.owner,
                            Milliseconds(options_.lease_seconds)},
                           deadline));
    if (reply.number == 1) continue;
    std::lock_guard lock(mutex_);
    const auto still = held_.find(key);
    if (still != held_.end() && still->second.owner == mine.owner) still->second.lost = true;
  }
  return absl::OkStatus();
}

TurnStats RedisStore::turn_stats() const {
  std::lock_guard lock(mutex_);
  TurnStats stats = turn_stats_;
  stats.up = link_.up();
  return stats;
}

// --- In the background
// -----------------------------------------------------------------------------

void RedisStore::Later(Task task) {
  std::lock_guard lock(mutex_);
  if (queued_bytes_ + task.bytes > options_.max_pending_bytes) {
    ++stats_.errors;
    return;
  }
  queued_bytes_ += task.bytes;
  queue_.push_back(std::move(task));
  changed_.notify_all();
}

void RedisStore::WriteQueued(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return !queue_.empty(); })) {
    if (stop.stop_requested()) return;
    const Task task = std::move(queue_.front());
    queue_.pop_front();
    queued_bytes_ -= task.bytes;
    writing_ = true;
    lock.unlock();
    Count(link_.RunInBackground(
        [&](RedisConnection& server, RedisTime& deadline) { return task.work(server, deadline); }));
    lock.lock();
    writing_ = false;
    changed_.notify_all();
  }
}

void RedisStore::Flush() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return queue_.empty() && !writing_; });
}

void RedisStore::RenewHeld(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return !held_.empty(); })) {
    changed_.wait_until(lock, stop, SecondsFromNow(options_.lease_seconds / 3),
                        [] { return false; });
    if (stop.stop_requested()) return;
    if (!link_.up()) continue;
    lock.unlock();
    Count(link_.RunInBackground(
        [this](RedisConnection& server, RedisTime& deadline) { return Renew(server, deadline); }));
    lock.lock();
  }
}

}  // namespace rlx::cache
