// SPDX-License-Identifier: Apache-2.0
#include "server/scheduling/options.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/status.h"

namespace rlx::server {
namespace {

using inference::ModelConfig;
using inference::ModelDynamicBatching;
using inference::ModelInstanceGroup;
using inference::ModelQueuePolicy;
using inference::ModelSequenceBatching;

constexpr int kMaxInstances = 256;

double Seconds(uint64_t microseconds) { return static_cast<double>(microseconds) * 1e-6; }

QueuePolicy ToPolicy(const ModelQueuePolicy& said, const QueueDefaults& defaults) {
  QueuePolicy out;
  if (said.default_timeout_microseconds() > 0) {
    out.timeout = Seconds(said.default_timeout_microseconds());
  }
  out.delay = said.timeout_action() == ModelQueuePolicy::DELAY;
  out.may_override = said.allow_timeout_override();
  out.max_size = said.max_queue_size() > 0 ? said.max_queue_size() : defaults.max_size;
  return out;
}

absl::Status CheckInstances(const ModelConfig& config) {
  int64_t sum = 0;
  for (const ModelInstanceGroup& group : config.instance_group()) {
    if (group.count() < 0) return InvalidArgument("instance_group: count ", group.count());
    if (group.kind() != config.instance_group(0).kind()) {
      return InvalidArgument("instance_group: all groups of a model run on one kind of device");
    }
    sum += std::max(1, group.count());
  }
  if (sum <= kMaxInstances) return absl::OkStatus();
  return InvalidArgument("instance_group: ", sum, " instances are above ", kMaxInstances);
}

absl::Status ReadPriorities(const ModelDynamicBatching& said, const QueueDefaults& defaults,
                            QueueOptions& out) {
  if (said.priority_levels() > 0) {
    out.levels = said.priority_levels();
    out.default_level = said.default_priority_level();
    if (out.default_level < 1 || out.default_level > out.levels) {
      return InvalidArgument("default_priority_level ", out.default_level, " is not in [1, ",
                             out.levels, "]");
    }
  }
  out.policy = ToPolicy(said.default_queue_policy(), defaults);
  for (const auto& [level, policy] : said.priority_queue_policy()) {
    if (level < 1 || level > out.levels) {
      return InvalidArgument("priority_queue_policy: ", level, " is not in [1, ", out.levels, "]");
    }
    out.by_level.emplace(level, ToPolicy(policy, defaults));
  }
  return absl::OkStatus();
}

// Triton's rule too: an order and another order.
absl::Status CheckOrder(const QueueOptions& options) {
  if (!options.in_order) return absl::OkStatus();
  bool delays = options.policy.delay;
  for (const auto& [level, policy] : options.by_level) delays |= policy.delay;
  if (options.levels == 1 && !delays) return absl::OkStatus();
  return InvalidArgument("preserve_ordering takes one priority level, and no timeout_action DELAY");
}

absl::Status ReadPreferred(const google::protobuf::RepeatedField<int32_t>& sizes,
                           QueueOptions& out) {
  for (int32_t size : sizes) {
    if (size < 1 || size > out.max_rows) {
      return InvalidArgument("preferred_batch_size ", size, " is not in [1, ", out.max_rows, "]");
    }
    out.preferred.push_back(size);
  }
  std::ranges::sort(out.preferred);
  return absl::OkStatus();
}

absl::Status ReadBatching(const ModelConfig& config, const QueueDefaults& defaults,
                          QueueOptions& out) {
  const ModelDynamicBatching& said = config.dynamic_batching();
  out.max_rows = config.max_batch_size();
  if (out.max_rows < 1) return InvalidArgument("takes a max_batch_size above 0");
  RLX_TRY(ReadPreferred(said.preferred_batch_size(), out));
  out.max_delay = Seconds(said.max_queue_delay_microseconds());
  out.in_order = said.preserve_ordering();
  RLX_TRY(ReadPriorities(said, defaults, out));
  return CheckOrder(out);
}

absl::Status ReadSequences(const ModelConfig& config, QueueOptions& out) {
  const ModelSequenceBatching& said = config.sequence_batching();
  out.max_rows = std::max(1, config.max_batch_size());
  out.sequences = static_cast<size_t>(out.max_rows) * static_cast<size_t>(out.instances);
  const uint64_t idle = said.max_sequence_idle_microseconds();
  if (idle > 0) out.max_idle = Seconds(idle);
  for (const auto& state : said.state()) {
    for (const auto& initial : state.initial_state()) {
      if (!initial.zero_data()) return InvalidArgument("initial_state takes zero_data: true");
    }
  }
  if (said.has_oldest()) {
    const auto& oldest = said.oldest();
    if (oldest.max_candidate_sequences() < 0) {
      return InvalidArgument("max_candidate_sequences ", oldest.max_candidate_sequences());
    }
    if (oldest.max_candidate_sequences() > 0) {
      out.sequences = static_cast<size_t>(oldest.max_candidate_sequences());
    }
    out.max_delay = Seconds(oldest.max_queue_delay_microseconds());
    out.in_order = oldest.preserve_ordering();
    return ReadPreferred(oldest.preferred_batch_size(), out);
  }
  const float share = said.direct().minimum_slot_utilization();
  if (!(share >= 0 && share <= 1)) {
    return InvalidArgument("minimum_slot_utilization ", share, " is not in [0, 1]");
  }
  if (share == 0) return absl::OkStatus();
  out.max_delay = Seconds(said.direct().max_queue_delay_microseconds());
  out.preferred.push_back(
      std::max<int64_t>(1, std::llround(std::ceil(share * static_cast<float>(out.max_rows)))));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::optional<QueueOptions>> ReadQueueOptions(const ModelConfig& config,
                                                             const QueueDefaults& defaults) {
  RLX_TRY(CheckInstances(config));
  QueueOptions out;
  out.policy = ToPolicy({}, defaults);
  out.instances = std::max(1, InstancesOf(config));
  if (config.has_dynamic_batching()) {
    RLX_TRY(Annotate(ReadBatching(config, defaults, out), "dynamic_batching"));
  } else if (config.has_sequence_batching()) {
    RLX_TRY(Annotate(ReadSequences(config, out), "sequence_batching"));
  } else if (config.instance_group().empty()) {
    return std::optional<QueueOptions>();
  }
  return std::optional(std::move(out));
}

int InstancesOf(const ModelConfig& config) {
  int sum = 0;
  for (const ModelInstanceGroup& group : config.instance_group()) sum += std::max(1, group.count());
  return sum;
}

}  // namespace rlx::server
