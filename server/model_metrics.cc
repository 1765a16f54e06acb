// SPDX-License-Identifier: Apache-2.0
#include "server/model_metrics.h"

#include "runtime/base/text.h"
#include "server/metrics.h"
#include "server/metrics_snapshot.h"
#include "server/models/store.h"
#include "server/scheduling/sequencer.h"

namespace rlx::server {
namespace {

using Labels = Snapshot::Labels;

// Counted by each version since it was loaded; those beyond the bound are one.
void CollectInferences(const ModelStore& models, Snapshot& out) {
  struct Sum {
    double ok = 0, error = 0, queue = 0, input = 0, compute = 0, output = 0;
  };
  std::map<std::pair<std::string, std::string>, Sum> sums;
  for (const ModelStore::Served& model : models.AllReady()) {
    const bool known = sums.size() < Metrics::kMostModels;
    Sum& sum = sums[known ? std::pair(model->name(), model->version_text())
                          : std::pair<std::string, std::string>("other", "")];
    const ModelStats& stats = model->stats();
    const auto seconds = [](const ModelStats::Time& time) {
      return static_cast<double>(time.ns.load(std::memory_order_relaxed)) * 1e-9;
    };
    sum.ok += static_cast<double>(stats.success.count.load(std::memory_order_relaxed));
    sum.error += static_cast<double>(stats.fail.count.load(std::memory_order_relaxed));
    sum.queue += seconds(stats.queue);
    sum.input += seconds(stats.input);
    sum.compute += seconds(stats.infer);
    sum.output += seconds(stats.output);
  }
  for (const auto& [name, sum] : sums) {
    const auto with = [&, &name = name](const char* label, const char* value) {
      return Labels{{"model", name.first}, {"version", name.second}, {label, value}};
    };
    const auto count = [&](const char* result, double value) {
      out.SetCounter("rlxd_model_infer_total", "Requests that a version answered, by outcome",
                     with("result", result), value);
    };
    count("ok", sum.ok);
    count("error", sum.error);
    const auto phase = [&](const char* which, double value) {
      out.SetCounter("rlxd_model_infer_seconds_total",
                     "Time of the requests that succeeded, by phase", with("phase", which), value);
    };
    phase("queue", sum.queue);
    phase("input", sum.input);
    phase("compute", sum.compute);
    phase("output", sum.output);
  }
}

// Those that have a queue.
void CollectQueues(const ModelStore& models, Snapshot& out) {
  std::map<std::pair<std::string, std::string>, size_t> pending;
  for (const ModelStore::Served& model : models.AllReady()) {
    if (model->queue() == nullptr) continue;
    const bool known = pending.size() < Metrics::kMostModels;
    pending[known ? std::pair(model->name(), model->version_text())
                  : std::pair<std::string, std::string>("other", "")] +=
        model->queue()->waiting() +
        (model->sequencer() != nullptr ? model->sequencer()->waiting() : 0);
  }
  for (const auto& [name, waiting] : pending) {
    out.SetGauge("rlxd_model_pending", "Requests in the queue of a version of a model",
                 {{"model", name.first}, {"version", name.second}}, static_cast<double>(waiting));
  }
}

}  // namespace

void CollectModels(const ModelStore& models, Snapshot& out) {
  std::array<int64_t, kModelStates> by_state{};
  bool others = false, others_ready = true;
  size_t shown = 0;
  const auto row = [&](const std::string& model, const std::string& version, bool ready) {
    out.SetGauge("rlxd_model_ready", "1 while a version of a model takes requests",
                 {{"model", model}, {"version", version}}, ready ? 1 : 0);
  };
  for (const ModelStatus& status : models.Index()) {
    const bool ready = status.state == ModelState::kReady;
    ++by_state[static_cast<size_t>(status.state)];
    if (++shown <= Metrics::kMostModels) {
      row(status.name, status.version ? Cat(*status.version) : "", ready);
    } else {
      others = true;
      others_ready &= ready;
    }
  }
  if (others) row("other", "", others_ready);
  CollectInferences(models, out);
  CollectQueues(models, out);
  for (size_t i = 0; i < by_state.size(); ++i) {
    out.SetGauge("rlxd_models", "Versions of models by state",
                 {{"state", std::string(Name(static_cast<ModelState>(i)))}},
                 static_cast<double>(by_state[i]));
  }
}

}  // namespace rlx::server
