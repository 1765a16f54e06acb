// SPDX-License-Identifier: Apache-2.0
#include "server/health_service.h"

#include <grpcpp/support/server_callback.h>

namespace rlx::server {

HealthService::HealthService(ModelReady model_ready) : model_ready_(std::move(model_ready)) {}
HealthService::~HealthService() = default;

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using ServingStatus = HealthCheckResponse::ServingStatus;

// One Watch. Of several changes while a slow client reads, it hears the last.
class HealthService::Watcher final : public grpc::ServerWriteReactor<HealthCheckResponse>,
                                     public std::enable_shared_from_this<Watcher> {
 public:
  Watcher(HealthService& service, std::string of) : service_(service), of_(std::move(of)) {}

  // As it is now. Of two that look at once the later look is told.
  void Look() {
    std::unique_lock lock(mutex_);
    wanted_ = service_.StatusOf(of_);
    Advance(std::move(lock));
  }
  void End() {
    std::unique_lock lock(mutex_);
    ending_ = true;
    Advance(std::move(lock));
  }

  void OnWriteDone(bool ok) override {
    std::unique_lock lock(mutex_);
    writing_ = false;
    gone_ = gone_ || !ok;
    Advance(std::move(lock));
  }
  void OnCancel() override {
    std::unique_lock lock(mutex_);
    gone_ = true;
    Advance(std::move(lock));
  }
  void OnDone() override {
    const auto self = shared_from_this();
    const std::lock_guard lock(service_.mutex_);
    service_.watchers_.erase(self);
    if (service_.watchers_.empty()) service_.none_left_.notify_all();
  }

 private:
  // gRPC may call back before StartWrite returns, so without the lock.
  void Advance(std::unique_lock<std::mutex> lock) {
    if (finished_ || writing_) return;
    if (gone_ || (ending_ && told_ == wanted_)) {
      finished_ = true;
      const bool gone = gone_;
      lock.unlock();
      return Finish(gone ? grpc::Status::CANCELLED
                         : grpc::Status(grpc::UNAVAILABLE, "the server stops"));
    }
    if (told_ == wanted_) return;
    told_ = wanted_;
    writing_ = true;
    message_.set_status(told_);
    lock.unlock();
    StartWrite(&message_);
  }

  HealthService& service_;
  const std::string of_;
  std::mutex mutex_;
  HealthCheckResponse message_;
  ServingStatus told_ = HealthCheckResponse::UNKNOWN;
  ServingStatus wanted_ = HealthCheckResponse::SERVICE_UNKNOWN;
  bool writing_ = false;
  bool gone_ = false;
  bool ending_ = false;
  bool finished_ = false;
};

ServingStatus HealthService::StatusOf(const std::string& service) const {
  const std::optional<bool> ready = services_.contains(service) ? true : model_ready_(service);
  if (!ready) return HealthCheckResponse::SERVICE_UNKNOWN;
  return *ready && serving_.load() ? HealthCheckResponse::SERVING
                                   : HealthCheckResponse::NOT_SERVING;
}

void HealthService::SetServing(bool serving) {
  serving_.store(serving);
  TellAll();
}

void HealthService::ModelsChanged() { TellAll(); }

void HealthService::TellAll() {
  std::set<WatcherPtr> watchers;
  {
    const std::lock_guard lock(mutex_);
    watchers = watchers_;
  }
  for (const WatcherPtr& watcher : watchers) watcher->Look();
}

void HealthService::EndWatches(std::chrono::steady_clock::time_point deadline) {
  std::set<WatcherPtr> watchers;
  std::unique_lock lock(mutex_);
  ended_ = true;
  watchers = watchers_;
  lock.unlock();
  for (const WatcherPtr& watcher : watchers) watcher->End();
  watchers.clear();
  lock.lock();
  none_left_.wait_until(lock, deadline, [this] { return watchers_.empty(); });
}

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const HealthCheckRequest* request,
                                               HealthCheckResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const ServingStatus status = StatusOf(request->service());
  if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
    reactor->Finish(grpc::Status(grpc::NOT_FOUND, "no such service"));
    return reactor;
  }
  response->set_status(status);
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerWriteReactor<HealthCheckResponse>* HealthService::Watch(
    grpc::CallbackServerContext*, const HealthCheckRequest* request) {
  const auto watcher = std::make_shared<Watcher>(*this, request->service());
  std::unique_lock lock(mutex_);
  watchers_.insert(watcher);
  const bool ended = ended_;
  lock.unlock();
  watcher->Look();
  if (ended) watcher->End();
  return watcher.get();
}

}  // namespace rlx::server
