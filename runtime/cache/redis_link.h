// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "runtime/base/function_ref.h"
#include "runtime/cache/redis_connection.h"

namespace rlx::cache {

// A way to a Redis server that may be gone: open connections, and a circuit breaker. Callers never
// wait for a server that is not there: the first who notices opens the circuit, everybody after
// that is refused at once, and a thread of its own closes it again once the server answers in time.
// The same thread asks the name service. Thread safe.
class RedisLink {
 public:
  // What is done on a connection: everything by the deadline, as RedisConnection::Call has it.
  using Work = FunctionRef<absl::Status(RedisConnection&, RedisTime& deadline)>;

  // `timeout_seconds`: what callers give the server, and what it must answer in to count as up.
  // Waits a moment for the first answer, so that who starts finds what is there.
  RedisLink(RedisServer server, double timeout_seconds);
  ~RedisLink();

  bool up() const { return up_.load(std::memory_order_acquire); }
  // Why it is not up; empty when it is.
  std::string trouble() const;

  // `work` on a connection, connecting included within the time. It may be done twice, where the
  // first connection had been closed. Unavailable at once unless up. FailedPrecondition (the server
  // refused) leaves the circuit as it is; every other error opens it.
  absl::Status Run(Work work) { return RunWithin(timeout_seconds_, work); }
  // The same where nobody waits.
  absl::Status RunInBackground(Work work);

 private:
  absl::Status RunWithin(double seconds, Work work);
  std::shared_ptr<const RedisEndpoint> endpoint() const;
  std::unique_ptr<RedisConnection> TakeIdle();
  void KeepIdle(std::unique_ptr<RedisConnection> connection);
  void Open(const absl::Status& why);  // the circuit
  void Watch(const std::stop_token& stop);
  absl::Status Probe(std::unique_ptr<RedisConnection>& connection);

  const RedisServer server_;
  const double timeout_seconds_;
  std::atomic<bool> up_{false};
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::string trouble_;                            // guarded by mutex_, as below
  std::shared_ptr<const RedisEndpoint> endpoint_;  // null until it was found
  std::vector<std::unique_ptr<RedisConnection>> idle_;
  std::jthread watcher_;  // last: it uses all the others
};

}  // namespace rlx::cache
