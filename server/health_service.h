// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"

namespace rlx::server {

// grpc.health.v1: "" is the whole server, and every service has its full name. All share one state,
// NOT_SERVING at first. Thread safe once it serves.
class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  // Before the server starts.
  void AddService(std::string full_name) { services_.insert(std::move(full_name)); }

  // Watchers hear of it.
  void SetServing(bool serving);
  // Ends all Watches as UNAVAILABLE once they have heard the last state, and those that come later.
  // Returns when the last words are out, or at the deadline.
  void EndWatches(std::chrono::steady_clock::time_point deadline);

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* context,
      const grpc::health::v1::HealthCheckRequest* request) override;

 private:
  class Watcher;
  using WatcherPtr = std::shared_ptr<Watcher>;
  grpc::health::v1::HealthCheckResponse::ServingStatus StatusLocked() const;

  std::set<std::string, std::less<>> services_{""};
  std::mutex mutex_;
  std::condition_variable none_left_;
  std::set<WatcherPtr> watchers_;  // guarded by mutex_, as below
  bool serving_ = false;
  bool ended_ = false;
};

}  // namespace rlx::server
