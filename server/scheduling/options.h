// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/model_config.pb.h"

namespace rlx::server {

// What becomes of the requests of one priority. Times are in seconds.
struct QueuePolicy {
  double timeout = std::numeric_limits<double>::infinity();  // in the queue
  bool delay = false;         // then: behind all others of its priority; otherwise refused
  bool may_override = false;  // a request's own timeout holds where it is shorter
  size_t max_size = 0;        // more are refused
};

// One model's queue, as its config.pbtxt says it.
struct QueueOptions {
  int64_t max_rows = 1;            // of a batch; one request may have more
  std::vector<int64_t> preferred;  // sizes that run at once, ascending; none: max_rows
  double max_delay = 0;            // what a request waits for others when a run could begin
  bool in_order = false;           // answers leave in the order in which requests came
  int instances = 1;               // runs at a time
  uint64_t levels = 1;             // of priority: 1 is first
  uint64_t default_level = 1;
  QueuePolicy policy;
  std::map<uint64_t, QueuePolicy> by_level;  // of these instead
  size_t sequences = 0;                      // at a time; 0: its requests are of none
  double max_idle = 1;                       // of a sequence

  const QueuePolicy& PolicyOf(uint64_t level) const {
    const auto found = by_level.find(level);
    return found == by_level.end() ? policy : found->second;
  }
  // What a request's parameter means: 0, and a level that there is none of, is the default.
  uint64_t LevelOf(uint64_t asked) const {
    return asked == 0 || asked > levels ? default_level : asked;
  }
};

// What holds where a model says nothing.
struct QueueDefaults {
  size_t max_size = 1024;
};

// None for a model that says nothing of batching or of instances: its requests run as they come.
// InvalidArgument for what contradicts itself.
absl::StatusOr<std::optional<QueueOptions>> ReadQueueOptions(const inference::ModelConfig& config,
                                                             const QueueDefaults& defaults);

// Runs of the model at a time, all groups together; 0: it does not say.
int InstancesOf(const inference::ModelConfig& config);

}  // namespace rlx::server
