// SPDX-License-Identifier: Apache-2.0
#include "server/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <atomic>
#include <map>
#include <mutex>

#include "runtime/device/registry.h"
#include "runtime/engine/engine.h"
#include "server/metrics_snapshot.h"
#include "server/model_metrics.h"
#include "server/process_stats.h"
#include "server/scheduling/batcher.h"
#include "server/version.h"

namespace rlx::server {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::MetricFamily;
using Labels = Snapshot::Labels;

// 10 µs, 18 µs … 62 s.
Histogram::BucketBoundaries DurationBuckets() {
  Histogram::BucketBoundaries out;
  for (double b = 1e-5; b < 64; b *= 1.8) out.push_back(b);
  return out;
}

// 64 B, 256 B … 256 MiB.
Histogram::BucketBoundaries ByteBuckets() {
  Histogram::BucketBoundaries out;
  for (double b = 64; b <= 256 << 20; b *= 4) out.push_back(b);
  return out;
}

Histogram::BucketBoundaries CountBuckets() { return {1, 3, 10, 30, 100, 300, 1000, 3000, 10000}; }

std::string_view CodeName(absl::StatusCode code) {
  static constexpr std::array<std::string_view, 17> names = {"OK",
                                                             "CANCELLED",
                                                             "UNKNOWN",
                                                             "INVALID_ARGUMENT",
                                                             "DEADLINE_EXCEEDED",
                                                             "NOT_FOUND",
                                                             "ALREADY_EXISTS",
                                                             "PERMISSION_DENIED",
                                                             "RESOURCE_EXHAUSTED",
                                                             "FAILED_PRECONDITION",
                                                             "ABORTED",
                                                             "OUT_OF_RANGE",
                                                             "UNIMPLEMENTED",
                                                             "INTERNAL",
                                                             "UNAVAILABLE",
                                                             "DATA_LOSS",
                                                             "UNAUTHENTICATED"};
  const auto i = static_cast<size_t>(code);
  return i < names.size() ? names[i] : "UNKNOWN";
}

std::string_view PathName(DispatchReport::Path path) {
  static constexpr std::array<std::string_view, 4> kNames = {"native", "common-ir", "rewritten",
                                                             "unsupported"};
  return kNames[static_cast<size_t>(path)];
}

// 1, 2, 4 … 1024.
Histogram::BucketBoundaries BatchBuckets() {
  Histogram::BucketBoundaries out;
  for (double b = 1; b <= 1024; b *= 2) out.push_back(b);
  return out;
}

class QueueMetrics final : public QueueObserver {
 public:
  QueueMetrics(Metrics& all, Histogram& waited, Histogram& rows)
      : all_(all), waited_(waited), rows_(rows) {}

  void Refused() override { all_.AdmissionRejected("queue_full"); }
  void Began(double seconds_waited) override { waited_.Observe(seconds_waited); }
  void Batched(int64_t rows) override { rows_.Observe(static_cast<double>(rows)); }
  void Expired() override { all_.Expired(); }
  void Gone() override { all_.Cancelled(engine::Name(engine::RunStage::kQueue)); }

 private:
  Metrics& all_;
  Histogram& waited_;
  Histogram& rows_;
};

class MethodMetricsImpl final : public MethodMetrics {
 public:
  MethodMetricsImpl(Family<Counter>& requests, Family<Histogram>& durations,
                    Family<Gauge>& inflight, Family<Histogram>& message_bytes, Labels labels)
      : requests_(requests),
        labels_(std::move(labels)),
        duration_(durations.Add(labels_, DurationBuckets())),
        inflight_(inflight.Add(labels_)),
        received_(message_bytes.Add(WithDirection("received"), ByteBuckets())),
        sent_(message_bytes.Add(WithDirection("sent"), ByteBuckets())) {
    by_code_[0] = &requests_.Add(WithCode(absl::StatusCode::kOk));
  }

  void Started() override { inflight_.Increment(); }
  void Received(size_t bytes) override { received_.Observe(static_cast<double>(bytes)); }
  void Sent(size_t bytes) override { sent_.Observe(static_cast<double>(bytes)); }

  void Finished(absl::StatusCode code, double seconds) override {
    inflight_.Decrement();
    duration_.Observe(seconds);
    const auto i = std::min<size_t>(static_cast<size_t>(code), by_code_.size() - 1);
    Counter* counter = by_code_[i].load(std::memory_order_acquire);
    if (counter == nullptr) {
      counter = &requests_.Add(WithCode(code));  // the same one for all who meet here
      by_code_[i].store(counter, std::memory_order_release);
    }
    counter->Increment();
  }

 private:
  Labels WithCode(absl::StatusCode code) const {
    Labels labels = labels_;
    labels["code"] = CodeName(code);
    return labels;
  }
  Labels WithDirection(const char* direction) const {
    return {{"method", labels_.at("method")}, {"direction", direction}};
  }

  Family<Counter>& requests_;
  Labels labels_;
  Histogram& duration_;
  Gauge& inflight_;
  Histogram& received_;
  Histogram& sent_;
  std::array<std::atomic<Counter*>, 18> by_code_{};
};

void CollectTiers(engine::Engine& engine, Snapshot& out) {
  for (const cache::TierStats& t : engine.CacheStats()) {
    const Labels tier = {{"tier", std::string(t.tier)}};
    const auto d = [](uint64_t v) { return static_cast<double>(v); };
    if (!t.shared) {
      out.SetGauge("rlxd_cache_size_bytes", "Bytes of artifacts in a cache tier", tier,
                   d(t.size_bytes));
      out.SetGauge("rlxd_cache_limit_bytes", "Byte budget of a cache tier", tier, d(t.limit_bytes));
      out.SetGauge("rlxd_cache_entries", "Artifacts in a cache tier", tier, d(t.entries));
      out.SetGauge("rlxd_cache_longest_idle_seconds",
                   "Time since the entry used longest ago was; 0 without entries", tier,
                   t.longest_idle_seconds);
    }
    out.SetCounter("rlxd_cache_hits_total", "Lookups that found their key", tier, d(t.hits));
    out.SetCounter("rlxd_cache_misses_total", "Lookups that did not", tier, d(t.misses));
    out.SetCounter("rlxd_cache_puts_total", "Artifacts written", tier, d(t.puts));
    out.SetCounter("rlxd_cache_evicted_bytes_total", "Bytes that went to make room", tier,
                   d(t.evicted_bytes));
    out.SetCounter("rlxd_cache_corrupt_total", "Entries that failed a check and were deleted", tier,
                   d(t.corrupt));
    out.SetCounter("rlxd_cache_errors_total", "Reads and writes that failed", tier, d(t.errors));
  }
  const cache::BlobStats blobs = engine.blobs().Stats();
  out.SetGauge("rlxd_blobs", "Uploaded blobs", {}, static_cast<double>(blobs.blobs));
  out.SetGauge("rlxd_blob_size_bytes", "Bytes of uploaded blobs, unfinished ones included", {},
               static_cast<double>(blobs.size_bytes));
  out.SetGauge("rlxd_blob_limit_bytes", "Byte budget of uploaded blobs", {},
               static_cast<double>(blobs.limit_bytes));
  out.SetCounter("rlxd_blob_evicted_bytes_total", "Blob bytes that went to make room", {},
                 static_cast<double>(blobs.evicted_bytes));
  out.SetCounter("rlxd_blob_corrupt_total", "Blobs whose bytes had changed, and were deleted", {},
                 static_cast<double>(blobs.corrupt));
}

// What the tier that replicas share does for single flight among them.
void CollectShared(const engine::EngineStats& s, Snapshot& out) {
  if (!s.shared_cache) return;
  out.SetGauge("rlxd_shared_cache_up", "1 while the shared cache answers in time", {},
               s.shared_cache->up ? 1 : 0);
  const auto turns = [&](const char* result, uint64_t count) {
    out.SetCounter("rlxd_shared_cache_turns_total", "Compiles by whose turn they were",
                   {{"result", result}}, static_cast<double>(count));
  };
  turns("taken", s.shared_cache->taken);
  turns("found", s.shared_cache->found);
  turns("alone", s.shared_cache->alone);
  turns("lost", s.shared_cache->lost);
}

// Sessions of symbolic modules: what is ready for which sizes.
void CollectVariants(const engine::EngineStats& s, Snapshot& out) {
  const auto d = [](auto v) { return static_cast<double>(v); };
  out.SetGauge("rlxd_session_variants", "Sizes of symbolic modules that are ready", {},
               d(s.variants));
  out.SetGauge("rlxd_session_variant_bytes", "Bytes of their arenas and code", {},
               d(s.variant_bytes));
  const auto runs = [&](const char* fit, uint64_t count) {
    out.SetCounter("rlxd_variant_runs_total", "Runs of symbolic modules by what served them",
                   {{"fit", fit}}, d(count));
  };
  runs("exact", s.runs_exact);
  runs("bucket", s.runs_bucket);
  runs("larger_bucket", s.runs_larger_bucket);
  runs("waited", s.runs_waited);
  const uint64_t background = s.variants_built_in_background;
  const auto builds = [&](const char* mode, uint64_t count) {
    out.SetCounter("rlxd_variant_builds_total", "Sizes made ready, by who waited for it",
                   {{"mode", mode}}, d(count));
  };
  builds("run", s.variants_built - background);
  builds("background", background);
  out.SetCounter("rlxd_variant_build_failures_total",
                 "Sizes that could not be made ready, neither in a bucket nor by themselves", {},
                 d(s.variants_failed));
  out.SetCounter("rlxd_variants_evicted_total", "Sizes that went to make room", {},
                 d(s.variants_evicted));
}

void CollectEngine(engine::Engine& engine, Snapshot& out) {
  const engine::EngineStats s = engine.Stats();
  const auto d = [](int64_t v) { return static_cast<double>(v); };
  out.SetGauge("rlxd_sessions", "Sessions by state", {{"state", "open"}}, d(s.sessions));
  out.SetGauge("rlxd_sessions", "Sessions by state", {{"state", "model"}}, d(s.pinned_sessions));
  out.SetGauge("rlxd_exec_contexts", "Execution contexts of all sessions", {}, d(s.contexts));
  out.SetGauge("rlxd_exec_context_bytes", "Bytes of their arenas", {}, d(s.context_bytes));
  out.SetCounter("rlxd_exec_contexts_evicted_total", "Idle contexts that went to make room", {},
                 d(s.contexts_evicted));
  out.SetGauge("rlxd_infer_inflight", "Runs on a device now", {}, d(s.runs_in_flight));
  out.SetGauge("rlxd_infer_pending", "Runs that wait for a context", {}, d(s.runs_waiting));
  out.SetGauge("rlxd_weight_sets", "Bound weight sets by use", {{"state", "idle"}},
               d(s.idle_weight_sets));
  out.SetGauge("rlxd_weight_sets", "Bound weight sets by use", {{"state", "used"}},
               d(s.weight_sets - s.idle_weight_sets));
  out.SetGauge("rlxd_weight_bytes", "Bytes of bound weight sets by use", {{"state", "idle"}},
               d(s.idle_weight_bytes));
  out.SetGauge("rlxd_weight_bytes", "Bytes of bound weight sets by use", {{"state", "used"}},
               d(s.weight_bytes - s.idle_weight_bytes));
  out.SetGauge("rlxd_host_memory_limit_bytes", "Budget of weight sets and arenas", {},
               d(s.host_memory_limit));
  out.SetGauge("rlxd_compile_inflight", "Compiles that run", {}, d(s.compiles_running));
  out.SetGauge("rlxd_recalled_requests", "Callers' words kept for hits to speak in", {},
               d(s.recalled_requests));
  out.SetGauge("rlxd_recalled_bytes", "Bytes of them", {}, d(s.recalled_bytes));
  out.SetGauge("rlxd_compile_queue_length", "Compiles that wait", {}, d(s.compiles_queued));
  CollectVariants(s, out);
  CollectShared(s, out);
}

// The budget that weight sets and arenas are taken from is the memory of the one device there is.
void CollectDevices(engine::Engine& engine, Snapshot& out) {
  const engine::EngineStats stats = engine.Stats();
  for (const engine::DeviceStatus& status : engine.Devices()) {
    if (!status.available) continue;
    out.SetGauge("rlxd_device_info", "Devices that sessions can be opened on",
                 {{"device", status.id},
                  {"vendor", status.vendor},
                  {"name", status.name},
                  {"driver", status.driver}},
                 1);
    out.SetGauge("rlxd_device_healthy", "1 while the device works", {{"device", status.id}}, 1);
    out.SetGauge("rlxd_device_memory_total_bytes", "Memory of the device", {{"device", status.id}},
                 static_cast<double>(status.memory_bytes));
    out.SetGauge("rlxd_device_memory_used_bytes",
                 "What rlxd holds of it: weight sets, arenas and what makes them",
                 {{"device", status.id}}, static_cast<double>(stats.host_memory_used));
    out.SetGauge("rlxd_device_memory_peak_bytes", "The most of that at once since the start",
                 {{"device", status.id}}, static_cast<double>(stats.host_memory_peak));
  }
}

void CollectProcess(Snapshot& out) {
  const ProcessStats p = ReadProcessStats();
  out.SetCounter("process_cpu_seconds_total", "User and system CPU time", {}, p.cpu_seconds);
  out.SetGauge("process_resident_memory_bytes", "Resident memory", {}, p.resident_bytes);
  out.SetGauge("process_virtual_memory_bytes", "Virtual memory", {}, p.virtual_bytes);
  out.SetGauge("process_open_fds", "Open file descriptors", {}, p.open_fds);
  out.SetGauge("process_max_fds", "Limit of open file descriptors", {}, p.max_fds);
  out.SetGauge("process_threads", "Threads", {}, p.threads);
  out.SetGauge("process_start_time_seconds", "Start, seconds since 1970", {}, p.start_seconds);
}

class MetricsImpl final : public Metrics {
 public:
  MetricsImpl() {
    BuildGauge()
        .Name("rlxd_build_info")
        .Help("1, with what this daemon was built from")
        .Register(registry_)
        .Add({{"version", std::string(kVersion)}, {"build_id", std::string(device::BuildId())}})
        .Set(1);
  }

  void SetEngine(engine::Engine* engine) override {
    std::lock_guard lock(engine_mutex_);
    engine_ = engine;
  }

  void SetModels(const ModelStore* models) override {
    std::lock_guard lock(engine_mutex_);
    models_ = models;
  }

  void SetState(bool ready, bool draining) override {
    ready_.Set(ready ? 1 : 0);
    draining_.Set(draining ? 1 : 0);
  }

  MethodMetrics& Method(std::string_view service, std::string_view method) override {
    std::lock_guard lock(methods_mutex_);
    auto& slot = methods_[{std::string(service), std::string(method)}];
    if (slot == nullptr) {
      slot = std::make_unique<MethodMetricsImpl>(
          rpc_requests_, rpc_durations_, rpc_inflight_, rpc_message_bytes_,
          Labels{{"service", std::string(service)}, {"method", std::string(method)}});
    }
    return *slot;
  }

  std::string Render() override {
    std::vector<MetricFamily> families = registry_.Collect();
    Snapshot snapshot;
    {
      std::lock_guard lock(engine_mutex_);
      if (engine_ != nullptr) {
        CollectTiers(*engine_, snapshot);
        CollectEngine(*engine_, snapshot);
        CollectDevices(*engine_, snapshot);
      }
      if (models_ != nullptr) CollectModels(*models_, snapshot);
    }
    CollectProcess(snapshot);
    for (MetricFamily& family : snapshot.Take()) families.push_back(std::move(family));
    return prometheus::TextSerializer().Serialize(families);
  }

  void ModelLoadEnded(bool ok, double seconds) override {
    const Labels result = {{"result", ok ? "ok" : "error"}};
    model_loads_.Add(result).Increment();
    model_load_durations_.Add(result, DurationBuckets()).Observe(seconds);
  }

  void CompileFinished(const engine::CompileEvent& event) override {
    const std::string target(rlx::Name(event.device));
    const std::string result = event.status.ok() ? std::string(engine::Name(event.cache)) : "error";
    compile_requests_.Add({{"target", target}, {"result", result}}).Increment();
    compile_request_durations_.Add({{"target", target}, {"result", result}}, DurationBuckets())
        .Observe(event.seconds);
    if (!event.status.ok()) {
      compile_errors_
          .Add({{"phase", std::string(engine::Name(event.phase))},
                {"code", std::string(CodeName(event.status.code()))}})
          .Increment();
    }
    if (event.phases != nullptr) {
      for (const auto& [phase, seconds] : *event.phases) {
        compile_durations_
            .Add({{"phase", std::string(engine::Name(phase))}, {"target", target}},
                 DurationBuckets())
            .Observe(seconds);
        if (phase == engine::CompilePhase::kQueued) compile_queue_.Observe(seconds);
      }
    }
    if (event.fusion != nullptr) CountFusion(*event.fusion, target);
    if (event.dispatch != nullptr) CountDispatch(*event.dispatch, target);
  }

  void RunFinished(const engine::RunEvent& event) override {
    if (event.code != absl::StatusCode::kOk) {
      infer_failures_.Add({{"reason", std::string(CodeName(event.code))}}).Increment();
      if (event.code == absl::StatusCode::kCancelled ||
          event.code == absl::StatusCode::kDeadlineExceeded) {
        infer_cancelled_.Add({{"stage", std::string(engine::Name(event.stage))}}).Increment();
      }
      return;
    }
    RunMetrics& run = runs_[static_cast<size_t>(event.device)];
    std::call_once(run.once, [&] {
      const std::string device(rlx::Name(event.device));
      run.queue =
          &infer_durations_.Add({{"phase", "queue"}, {"device", device}}, DurationBuckets());
      run.compute =
          &infer_durations_.Add({{"phase", "compute"}, {"device", device}}, DurationBuckets());
    });
    run.queue->Observe(event.queue_seconds);
    run.compute->Observe(event.compute_seconds);
  }

  void SessionOpened(DeviceKind device, bool weights_shared) override {
    sessions_opened_
        .Add({{"device", std::string(rlx::Name(device))},
              {"weights", weights_shared ? "shared" : "bound"}})
        .Increment();
  }

  void SessionEnded(DeviceKind, engine::SessionEnd end) override {
    if (end == engine::SessionEnd::kLeaseExpired) lease_expirations_.Increment();
  }

  void AdmissionRejected(std::string_view reason) override {
    admission_rejections_.Add({{"reason", std::string(reason)}}).Increment();
  }

  void Cancelled(std::string_view stage) override {
    infer_cancelled_.Add({{"stage", std::string(stage)}}).Increment();
  }

  void Expired() override {
    AdmissionRejected("deadline");
    Cancelled(engine::Name(engine::RunStage::kQueue));
  }

  QueueObserver& Queue(const std::string& model) override {
    std::lock_guard lock(methods_mutex_);
    const bool known = queues_.contains(model) || queues_.size() < kMostModels;
    auto& slot = queues_[known ? model : "other"];
    if (slot == nullptr) {
      const Labels labels = {{"model", known ? model : "other"}};
      slot = std::make_unique<QueueMetrics>(*this, queue_seconds_.Add(labels, DurationBuckets()),
                                            batch_sizes_.Add(labels, BatchBuckets()));
    }
    return *slot;
  }

  void LimitRejected(std::string_view limit) override {
    limit_rejections_.Add({{"limit", std::string(limit)}}).Increment();
  }

  void CacheOperation(std::string_view tier, std::string_view operation, double seconds) override {
    cache_operations_
        .Add({{"tier", std::string(tier)}, {"op", std::string(operation)}}, DurationBuckets())
        .Observe(seconds);
  }

  void WeightsEvicted(int64_t bytes) override {
    weights_evicted_.Increment(static_cast<double>(bytes));
  }

 private:
  void CountFusion(const FusionReport& report, const std::string& target) {
    for (const Remark& remark : report.remarks) {
      if (remark.kind == Remark::Kind::kApplied) {
        fusion_applied_.Add({{"rule", remark.rule}, {"target", target}}).Increment();
        launches_saved_.Increment(static_cast<double>(remark.launches_saved));
        bytes_saved_.Increment(static_cast<double>(remark.bytes_saved));
        if (remark.bytes_unknown) bytes_unknown_.Increment();
      } else if (remark.kind == Remark::Kind::kRewritten) {
        rewrites_.Add({{"pass", remark.pass}, {"target", target}}).Increment();
      } else if (remark.actionable) {  // what reports show
        fusion_rejected_.Add({{"rule", remark.rule}, {"reason", remark.reason}, {"target", target}})
            .Increment();
      }
    }
    ops_before_.Observe(static_cast<double>(report.nodes_before));
    ops_after_.Observe(static_cast<double>(report.nodes_after));
  }

  // By path: four of them, whatever modules hold. What runs as it stands by the nodes that do, what
  // was taken apart by those that were.
  void CountDispatch(const DispatchReport& report, const std::string& target) {
    for (const DispatchReport::Kind& kind : report.kinds) {
      const int64_t nodes = kind.nodes_after > 0 ? kind.nodes_after : kind.nodes;
      dispatch_nodes_.Add({{"path", std::string(PathName(kind.path))}, {"target", target}})
          .Increment(static_cast<double>(nodes));
    }
  }

  template <typename T>
  Family<T>& Make(prometheus::detail::Builder<T> builder, const char* name, const char* help) {
    return builder.Name(name).Help(help).Register(registry_);
  }

  struct RunMetrics {
    std::once_flag once;
    Histogram* queue = nullptr;
    Histogram* compute = nullptr;
  };

  prometheus::Registry registry_;
  Family<Counter>& rpc_requests_ =
      Make(BuildCounter(), "rlxd_rpc_requests_total", "RPCs by outcome");
  Family<Histogram>& rpc_durations_ =
      Make(BuildHistogram(), "rlxd_rpc_duration_seconds", "Time from receipt to answer");
  Family<Gauge>& rpc_inflight_ = Make(BuildGauge(), "rlxd_rpc_inflight", "RPCs being answered");
  Family<Histogram>& rpc_message_bytes_ = Make(BuildHistogram(), "rlxd_rpc_message_bytes",
                                               "Size of messages as they travel, by direction");
  Family<Counter>& compile_requests_ = Make(BuildCounter(), "rlxd_compile_requests_total",
                                            "Compile requests by where the result came from");
  Family<Histogram>& compile_request_durations_ =
      Make(BuildHistogram(), "rlxd_compile_request_duration_seconds",
           "Time a compile request took, waiting included, by where the result came from");
  Family<Histogram>& compile_durations_ =
      Make(BuildHistogram(), "rlxd_compile_duration_seconds", "Time in each phase of compiles");
  Histogram& compile_queue_ =
      Make(BuildHistogram(), "rlxd_compile_queue_seconds", "Time that compiles waited for a thread")
          .Add({}, DurationBuckets());
  Family<Counter>& compile_errors_ =
      Make(BuildCounter(), "rlxd_compile_errors_total", "Compiles that failed, by phase and code");
  Family<Counter>& dispatch_nodes_ =
      Make(BuildCounter(), "rlxd_dispatch_nodes_total",
           "Nodes of compiled modules by how their kind runs: native, common-ir, rewritten, "
           "unsupported");
  Family<Counter>& fusion_applied_ =
      Make(BuildCounter(), "rlxd_fusion_applied_total", "Fusions applied, by rule");
  Family<Counter>& rewrites_ = Make(BuildCounter(), "rlxd_rewrites_applied_total",
                                    "Rewrites of passes that fuse nothing, by pass");
  Family<Counter>& fusion_rejected_ =
      Make(BuildCounter(), "rlxd_fusion_rejected_total",
           "Fusions missed that the author can bring about, by rule and reason");
  Counter& launches_saved_ = Make(BuildCounter(), "rlxd_fusion_kernel_launches_saved_total",
                                  "Kernel launches a run no longer needs, summed over compiles")
                                 .Add({});
  Counter& bytes_saved_ = Make(BuildCounter(), "rlxd_fusion_bytes_saved_total",
                               "Intermediate bytes a run no longer moves, summed over compiles; "
                               "those of values without a bound are in no number")
                              .Add({});
  Counter& bytes_unknown_ = Make(BuildCounter(), "rlxd_fusion_bytes_unknown_total",
                                 "Fusions that save bytes of values without a bound")
                                .Add({});
  Histogram& ops_before_ =
      Make(BuildHistogram(), "rlxd_fusion_ops_before", "Nodes of modules before the passes")
          .Add({}, CountBuckets());
  Histogram& ops_after_ =
      Make(BuildHistogram(), "rlxd_fusion_ops_after", "Nodes of modules after the passes")
          .Add({}, CountBuckets());
  Family<Histogram>& infer_durations_ =
      Make(BuildHistogram(), "rlxd_infer_duration_seconds", "Time of runs by phase");
  Family<Counter>& infer_failures_ =
      Make(BuildCounter(), "rlxd_infer_failures_total", "Runs that failed, by code");
  Family<Counter>& infer_cancelled_ =
      Make(BuildCounter(), "rlxd_infer_cancelled_total",
           "Requests whose caller had gone or whose deadline had passed, by how far they came");
  Family<Histogram>& queue_seconds_ = Make(BuildHistogram(), "rlxd_infer_queue_seconds",
                                           "Time that requests waited in a model's queue");
  Family<Histogram>& batch_sizes_ = Make(BuildHistogram(), "rlxd_infer_batch_size",
                                         "Rows of the runs of models that have a queue");
  Family<Histogram>& cache_operations_ =
      Make(BuildHistogram(), "rlxd_cache_op_seconds", "Time of reads and writes of a cache tier");
  Family<Counter>& sessions_opened_ = Make(BuildCounter(), "rlxd_sessions_opened_total",
                                           "Sessions opened, by whether their weights were shared");
  Family<Counter>& model_loads_ =
      Make(BuildCounter(), "rlxd_model_loads_total", "Loads of a model's version, by outcome");
  Family<Histogram>& model_load_durations_ =
      Make(BuildHistogram(), "rlxd_model_load_duration_seconds",
           "Time to read, compile, open and warm up a model's version, by outcome");
  Counter& lease_expirations_ = Make(BuildCounter(), "rlxd_lease_expirations_total",
                                     "Sessions closed because nobody renewed them")
                                    .Add({});
  Family<Counter>& admission_rejections_ = Make(BuildCounter(), "rlxd_admission_rejections_total",
                                                "Calls refused before they began, by reason");
  Family<Counter>& limit_rejections_ =
      Make(BuildCounter(), "rlxd_limit_rejections_total", "Requests refused by a limit");
  Counter& weights_evicted_ = Make(BuildCounter(), "rlxd_weight_evicted_bytes_total",
                                   "Bytes of idle weight sets that went to make room")
                                  .Add({});
  Gauge& ready_ = Make(BuildGauge(), "rlxd_ready", "1 while the daemon takes work").Add({});
  Gauge& draining_ = Make(BuildGauge(), "rlxd_draining", "1 while it finishes what runs").Add({});

  std::array<RunMetrics, kDeviceKindCount> runs_;
  std::mutex methods_mutex_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<MethodMetricsImpl>> methods_;
  std::map<std::string, std::unique_ptr<QueueMetrics>> queues_;  // by model; of methods_mutex_ too
  std::mutex engine_mutex_;
  engine::Engine* engine_ = nullptr;
  const ModelStore* models_ = nullptr;
};

}  // namespace

std::unique_ptr<Metrics> Metrics::Create() { return std::make_unique<MetricsImpl>(); }

}  // namespace rlx::server
