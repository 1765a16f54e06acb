// SPDX-License-Identifier: Apache-2.0
#include "runtime/cache/redis_link.h"

#include <algorithm>

#include "runtime/base/clock.h"

namespace rlx::cache {
namespace {

constexpr size_t kMaxIdle = 8;
constexpr double kBackgroundSeconds = 1;  // where nobody waits
constexpr double kStartSeconds = 0.25;    // for the first answer
constexpr int kProbes = 3;
constexpr double kLookSeconds = 1;                   // between looks at a server that is up
constexpr double kLeastPause = 0.1, kMostPause = 2;  // between tries of one that is not

}  // namespace

RedisLink::RedisLink(RedisServer server, double timeout_seconds)
    : server_(std::move(server)),
      timeout_seconds_(timeout_seconds),
      trouble_("not reached yet"),
      watcher_([this](const std::stop_token& stop) { Watch(stop); }) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, SecondsFromNow(kStartSeconds),
                      [this] { return up() || trouble_ != "not reached yet"; });
}

RedisLink::~RedisLink() = default;

std::string RedisLink::trouble() const {
  std::lock_guard lock(mutex_);
  return trouble_;
}

std::shared_ptr<const RedisEndpoint> RedisLink::endpoint() const {
  std::lock_guard lock(mutex_);
  return endpoint_;
}

std::unique_ptr<RedisConnection> RedisLink::TakeIdle() {
  std::lock_guard lock(mutex_);
  if (idle_.empty()) return nullptr;
  std::unique_ptr<RedisConnection> connection = std::move(idle_.back());
  idle_.pop_back();
  return connection;
}

void RedisLink::KeepIdle(std::unique_ptr<RedisConnection> connection) {
  std::lock_guard lock(mutex_);
  if (up() && idle_.size() < kMaxIdle) idle_.push_back(std::move(connection));
}

void RedisLink::Open(const absl::Status& why) {
  std::vector<std::unique_ptr<RedisConnection>> closed;
  {
    std::lock_guard lock(mutex_);
    up_.store(false, std::memory_order_release);
    trouble_ = Message(why);
    closed.swap(idle_);
  }
  changed_.notify_all();
}

absl::Status RedisLink::RunInBackground(Work work) { return RunWithin(kBackgroundSeconds, work); }

absl::Status RedisLink::RunWithin(double seconds, Work work) {
  if (!up()) return Unavailable("the shared cache's server is not there");
  RedisTime deadline = SecondsFromNow(seconds);
  std::unique_ptr<RedisConnection> connection = TakeIdle();
  absl::Status done = Unavailable("not connected");
  if (connection != nullptr) done = work(*connection, deadline);
  if (absl::IsUnavailable(done)) {  // or it was closed while it was idle
    auto opened = RedisConnection::Open(*endpoint(), deadline);
    done = opened.status();
    if (opened.ok()) {
      connection = *std::move(opened);
      done = work(*connection, deadline);
    }
  }
  if (!done.ok() && !absl::IsFailedPrecondition(done)) {
    Open(done);
  } else if (connection != nullptr) {
    KeepIdle(std::move(connection));
  }
  return done;
}

// What everybody would meet. The best of a few, since this machine may be what is slow.
absl::Status RedisLink::Probe(std::unique_ptr<RedisConnection>& connection) {
  if (connection == nullptr) {
    RLX_ASSIGN(std::shared_ptr<const RedisEndpoint> found, RedisEndpoint::Look(server_));
    RLX_ASSIGN(connection, RedisConnection::Open(*found, SecondsFromNow(kBackgroundSeconds)));
    std::lock_guard lock(mutex_);
    endpoint_ = std::move(found);
  }
  RedisTime deadline = SecondsFromNow(kBackgroundSeconds);
  double seconds = 0;
  for (int i = 0; i < kProbes; ++i) {
    const double began = MonotonicSeconds();
    RLX_ASSIGN(const RedisReply reply, connection->Call({"PING"}, deadline));
    seconds = MonotonicSeconds() - began;
    if (reply.text != "PONG") return DataLoss("the shared cache's server: no PONG to a PING");
    if (seconds <= timeout_seconds_) return absl::OkStatus();
  }
  return DeadlineExceeded("the shared cache's server takes ", seconds, " s to answer, more than ",
                          timeout_seconds_);
}

void RedisLink::Watch(const std::stop_token& stop) {
  double pause = kLeastPause;
  std::unique_ptr<RedisConnection> connection;
  while (!stop.stop_requested()) {
    const absl::Status probed = Probe(connection);
    if (probed.ok()) {
      pause = kLookSeconds;
      std::lock_guard lock(mutex_);
      up_.store(true, std::memory_order_release);
      trouble_.clear();
    } else {
      connection = nullptr;  // and look the server up again
      pause = up() || pause == kLookSeconds ? kLeastPause : std::min(2 * pause, kMostPause);
      Open(probed);
    }
    changed_.notify_all();
    // One who fails wakes it: then the server may be back already.
    std::unique_lock lock(mutex_);
    const bool was_up = up();
    changed_.wait_until(lock, stop, SecondsFromNow(pause), [&] { return was_up && !up(); });
    if (was_up && !up()) {
      changed_.wait_until(lock, stop, SecondsFromNow(kLeastPause), [] { return false; });
    }
  }
}

}  // namespace rlx::cache
