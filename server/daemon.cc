// SPDX-License-Identifier: Apache-2.0
#include "server/daemon.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <thread>

#include "runtime/base/clock.h"
#include "runtime/base/file.h"
#include "runtime/base/status.h"
#include "server/blob_service.h"
#include "server/compiler_service.h"
#include "server/health_service.h"
#include "server/http.h"
#include "server/infer_queue.h"
#include "server/inference_service.h"
#include "server/info_services.h"
#include "server/session_service.h"
#include "server/sockets.h"

namespace rlx::server {
namespace {

constexpr int kExecutorThreads = 256;
constexpr size_t kExecutorQueue = 4096;
constexpr std::chrono::seconds kLastWords{2};  // for answers on their way when all has run

// Sleeps, waking early when `now` is set.
void SleepUnless(double seconds, const std::atomic<bool>& now) {
  const double end = MonotonicSeconds() + seconds;
  while (!now.load() && MonotonicSeconds() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

class DaemonImpl final : public Daemon {
 public:
  DaemonImpl(const Settings& settings, Logger& log)
      : settings_(settings), log_(log), metrics_(Metrics::Create()) {}

  ~DaemonImpl() override {
    static const std::atomic<bool> now{true};
    if (!shut_down_) Shutdown(now);
  }

  // Where the environment asks for files; what is wrong is told to who set it.
  absl::Status MakeFolders() const {
    for (const auto& [variable, folder] : {std::pair("RLX_IR_DUMP", &settings_.ir_dump_dir),
                                           std::pair("RLX_TRACE_PERFETTO", &settings_.trace_dir)}) {
      if (!folder->empty()) RLX_TRY(Annotate(EnsureDir(*folder), variable, "=", *folder));
    }
    return absl::OkStatus();
  }

  absl::Status Begin(device::Registry registry) {
    for (const auto& failure : registry.failures()) {
      log_.Warning("back end not loaded", {{"file", failure.file}, {"why", failure.why}});
    }
    RLX_TRY(MakeFolders());
    RLX_ASSIGN(engine_, engine::Engine::Create(ToEngineOptions(settings_), std::move(registry),
                                               metrics_.get()));
    metrics_->SetEngine(engine_.get());
    for (const engine::Warning& warning : engine_->Warnings()) {
      log_.Warning("needs attention", {{"what", warning.what}, {"detail", warning.detail}});
    }
    executor_ = std::make_unique<Executor>(kExecutorThreads, kExecutorQueue);
    frontend_.reset(new Frontend{*engine_, *metrics_, *executor_, log_,
                                 ToWireLimits(settings_.config), settings_.log_fusion,
                                 settings_.log_dispatch});
    frontend_->admit_by_latency = settings_.config.admit_by_latency();
    metrics_->SetModels(&models_);
    health_ = std::make_unique<HealthService>(
        [this](const std::string& service) { return models_.IsReady(service); });
    models_.Listen([this] { health_->ModelsChanged(); });
    ModelKeeper::Hooks hooks;
    hooks.ready = [this] { Prepared(); };
    hooks.load_ended = [this](bool ok, double seconds) { metrics_->ModelLoadEnded(ok, seconds); };
    hooks.make_queue = [this](const std::string& model, QueueOptions options) {
      const auto run = [this](Batch& batch) { RunQueued(*frontend_, batch); };
      ModelQueue queue;
      queue.batcher = frontend_->queues.Make(options, run, &metrics_->Queue(model));
      if (options.sequences > 0) {
        queue.sequencer = frontend_->queues.MakeSequencer(queue.batcher, &metrics_->Queue(model));
      }
      return queue;
    };
    RLX_ASSIGN(keeper_, ModelKeeper::Start(ToKeeperOptions(settings_.config), *engine_, models_,
                                           log_, std::move(hooks)));
    RLX_TRY(StartGrpc());
    if (!settings_.config.metrics_listen().empty()) {
      RLX_ASSIGN(http_,
                 HttpEndpoint::Start(settings_.config.metrics_listen(), *metrics_, readiness_));
    }
    Prepared();
    return absl::OkStatus();
  }

  const std::vector<int>& ports() const override { return ports_; }
  int metrics_port() const override { return http_ ? http_->port() : 0; }

  bool Shutdown(const std::atomic<bool>& now) override {
    shut_down_ = true;
    NotReady();
    if (keeper_) keeper_->Stop();
    if (grpc_) SleepUnless(settings_.config.drain_delay_seconds(), now);
    const bool drained = frontend_ == nullptr || Drain(now);
    if (grpc_) CloseGrpc(drained);
    http_.reset();
    grpc_.reset();
    services_.clear();
    if (frontend_) frontend_->queues.Stop();
    executor_.reset();  // finishes its tasks, which use the engine
    keeper_.reset();
    health_.reset();  // which it tells of
    metrics_->SetModels(nullptr);
    models_.Clear();
    metrics_->SetEngine(nullptr);
    engine_.reset();
    return drained;
  }

 private:
  // `Contract` is the generated class, whose name the service has. A service makes and ends itself
  // in its own source: what gRPC generates for it takes seconds to compile, and is compiled once.
  template <typename Contract, typename Service, typename... Args>
  void Serve(grpc::ServerBuilder& builder, Args&&... args) {
    auto service = std::make_unique<Service>(*frontend_, std::forward<Args>(args)...);
    builder.RegisterService(service.get());
    health_->AddService(Contract::service_full_name());
    services_.push_back(std::move(service));
  }

  // What ran has its answer, or is cut off; then the port closes.
  void CloseGrpc(bool drained) {
    frontend_->calls.Shut();
    frontend_->closing.request_stop();
    const auto deadline = CancelToken::Clock::now() + kLastWords;
    health_->EndWatches(deadline);
    if (drained) frontend_->calls.WaitEmpty(CancelToken({}, deadline));
    HangUp(bound_);
    grpc_->Shutdown(std::chrono::system_clock::now());
    grpc_->Wait();
  }

  absl::Status StartGrpc() {
    grpc::EnableDefaultHealthCheckService(false);  // ours knows every service, and ends its streams
    // Reflection is a plug-in of the process, once and for all builders.
    static const bool reflection = settings_.config.reflection();
    static const int initialised = [&] {
      if (reflection) grpc::reflection::InitProtoReflectionServerBuilderPlugin();
      return 0;
    }();
    (void)initialised;
    grpc::ServerBuilder builder;
    const auto most = static_cast<int>(settings_.config.limits().max_message_bytes());
    builder.SetMaxReceiveMessageSize(most);
    builder.SetMaxSendMessageSize(most);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
    // Inputs are not decompressed: a few bytes could become gigabytes.
    builder.SetDefaultCompressionAlgorithm(GRPC_COMPRESS_NONE);
    std::vector<int> bound(static_cast<size_t>(settings_.config.listen_size()), -1);
    for (int i = 0; i < settings_.config.listen_size(); ++i) {
      const std::string& listen = settings_.config.listen(i);
      RLX_ASSIGN(const Address address, ParseAddress(listen));
      if (IsTaken(address)) return Unavailable("cannot listen on ", listen, ": it is in use");
      builder.AddListeningPort(listen, grpc::InsecureServerCredentials(),
                               &bound[static_cast<size_t>(i)]);
    }
    builder.RegisterService(health_.get());
    Serve<v1::Compiler, CompilerService>(builder);
    Serve<v1::Blobs, BlobService>(builder);
    Serve<v1::Sessions, SessionService>(builder);
    Serve<v1::Devices, DeviceService>(builder);
    Serve<v1::Server, CapabilityService>(builder);
    Serve<v1::Admin, AdminService>(builder, [this] { NotReady(); });
    Serve<inference::GRPCInferenceService, InferenceService>(
        builder, models_, *keeper_, readiness_, settings_.config.system_shared_memory());
    grpc_ = builder.BuildAndStart();
    for (size_t i = 0; i < bound.size(); ++i) {
      const std::string& listen = settings_.config.listen(static_cast<int>(i));
      RLX_ASSIGN(Address address, ParseAddress(listen));
      const bool tcp = address.kind == Address::Kind::kTcp;
      if (grpc_ == nullptr || (bound[i] <= 0 && tcp)) {
        return Unavailable("cannot listen on ", listen);
      }
      address.port = tcp ? bound[i] : 0;
      ports_.push_back(address.port);
      bound_.push_back(std::move(address));
    }
    return absl::OkStatus();
  }

  // Ready once the ports are open and the models of the start serve, unless the end came first.
  void Prepared() {
    std::lock_guard lock(ready_mutex_);
    if (--unprepared_ > 0 || ending_) return;
    SetReady(true);
    log_.Info("ready");
  }

  void NotReady() {
    std::lock_guard lock(ready_mutex_);
    ending_ = true;
    SetReady(false);
  }

  void SetReady(bool ready) {
    readiness_.ready.store(ready, std::memory_order_release);
    metrics_->SetState(ready, !ready);
    if (health_ != nullptr) health_->SetServing(ready);
  }

  // Waits for what runs, in slices, so that a second signal cuts it short.
  bool Drain(const std::atomic<bool>& now) {
    const double end = MonotonicSeconds() + settings_.config.drain_timeout_seconds();
    for (;;) {
      const CancelToken slice({}, CancelToken::Clock::now() + std::chrono::milliseconds(50));
      const int64_t running = DrainAll(*frontend_, slice);
      if (running == 0) return true;
      if (now.load() || MonotonicSeconds() >= end) {
        log_.Warning("drain cut short", {{"running", running}});
        return false;
      }
    }
  }

  const Settings settings_;
  Logger& log_;
  std::unique_ptr<Metrics> metrics_;
  Readiness readiness_;
  std::mutex ready_mutex_;
  int unprepared_ = 2;  // guarded by ready_mutex_, as below
  bool ending_ = false;
  std::unique_ptr<engine::Engine> engine_;
  ModelStore models_;  // whose sessions are the engine's
  std::unique_ptr<ModelKeeper> keeper_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<Frontend> frontend_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<HealthService> health_;
  std::unique_ptr<grpc::Server> grpc_;
  std::unique_ptr<HttpEndpoint> http_;
  std::vector<int> ports_;
  std::vector<Address> bound_;  // with ports as bound
  bool shut_down_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const Settings& settings,
                                                      device::Registry registry, Logger& log) {
  auto daemon = std::make_unique<DaemonImpl>(settings, log);
  RLX_TRY(daemon->Begin(std::move(registry)));
  return daemon;
}

}  // namespace rlx::server
