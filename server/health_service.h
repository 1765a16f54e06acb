// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"

namespace rlx::server {

// grpc.health.v1: "" is the whole server, every service has its full name, and a model its own,
// also with a version ("resnet/2") or a label. Server and services share one state, NOT_SERVING at
// first; a model serves while they do and it is ready. Thread safe once it serves.
class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  // Whether a model is ready; none: there is no such model.
  using ModelReady = std::function<std::optional<bool>(const std::string& name)>;
  explicit HealthService(ModelReady model_ready);
  ~HealthService() override;

  // Before the server starts.
  void AddService(std::string full_name) { services_.insert(std::move(full_name)); }
  // Some model's readiness may have changed: watchers hear of it. Not to be called by what
  // model_ready locks.
  void ModelsChanged();

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
  using ServingStatus = grpc::health::v1::HealthCheckResponse::ServingStatus;
  ServingStatus StatusOf(const std::string& service) const;
  void TellAll();

  const ModelReady model_ready_;
  std::set<std::string, std::less<>> services_{""};
  std::mutex mutex_;
  std::condition_variable none_left_;
  std::set<WatcherPtr> watchers_;  // guarded by mutex_, as ended_
  std::atomic<bool> serving_{false};
  bool ended_ = false;
};

}  // namespace rlx::server
