// SPDX-License-Identifier: Apache-2.0
#include "server/scheduling/batch_queue.h"

#include <algorithm>

#include "runtime/base/fault.h"

namespace rlx::server {

absl::Status BatchQueue::Full(size_t waiting, size_t limit) {
  return TryLater(
      WithLimit(ResourceExhausted("Exceeds maximum queue size: ", waiting, " requests wait"),
                "max_queued_requests", limit));
}

absl::Status BatchQueue::TooLate() {
  return DeadlineExceeded("the deadline has passed while the request waited");
}

absl::Status BatchQueue::Push(const WaitingPtr& request, double now) {
  const QueuePolicy& policy = options_.PolicyOf(request->level);
  size_t& size = sizes_[request->level];
  if (size >= policy.max_size) return Full(size, policy.max_size);
  ++size;
  request->arrival = now;
  double patience = policy.timeout;
  if (policy.may_override) patience = std::min(patience, request->timeout);
  request->times_out_ = now + patience;
  const double urgency =
      options_.in_order ? 0 : std::min({request->deadline, request->times_out_, now + kPatience});
  request->place_ = {request->level, false, urgency, next_number_++};
  Insert(request);
  return absl::OkStatus();
}

double BatchQueue::ExpiryOf(const Waiting& request) const {
  return request.place_.late ? request.deadline : std::min(request.deadline, request.times_out_);
}

void BatchQueue::Insert(const WaitingPtr& request) {
  waiting_.emplace(request->place_, request);
  request->queued_ = true;
  const double expiry = ExpiryOf(*request);
  if (expiry < kNever) expiries_.emplace(expiry, request.get());
}

WaitingPtr BatchQueue::Extract(Waiting& request) {
  const auto found = waiting_.find(request.place_);
  WaitingPtr taken = std::move(found->second);
  waiting_.erase(found);
  expiries_.erase({ExpiryOf(request), &request});
  request.queued_ = false;
  return taken;
}

WaitingPtr BatchQueue::Remove(Waiting& request) {
  if (!request.queued_) return nullptr;
  WaitingPtr taken = Extract(request);
  const auto size = sizes_.find(taken->level);
  if (--size->second == 0) sizes_.erase(size);
  return taken;
}

std::vector<WaitingPtr> BatchQueue::Expire(double now) {
  std::vector<WaitingPtr> ended;
  while (NextExpiry() <= now) {
    Waiting& request = *expiries_.begin()->second;
    const bool dead = request.deadline <= now;
    if (!dead && options_.PolicyOf(request.level).delay) {
      const WaitingPtr late = Extract(request);
      late->place_.late = true;
      late->place_.urgency = 0;
      Insert(late);
      continue;
    }
    ended.push_back(Remove(request));
    ended.back()->status =
        dead ? TooLate()
             : DeadlineExceeded("Request timeout expired: it waited ", now - request.arrival, " s");
  }
  return ended;
}

void BatchQueue::Join(const WaitingPtr& request, double now, std::vector<Group>& groups) const {
  const auto same = [&](const Group& g) { return g.members.front()->shape == request->shape; };
  auto group = std::find_if(groups.begin(), groups.end(), same);
  if (group == groups.end()) {
    if (!groups.empty() && MayRun(groups.front(), now)) return;
    group = groups.emplace(groups.end());
  } else if (group->full) {
    return;
  } else if (request->rows > options_.max_rows - group->rows) {
    group->full = true;  // who comes behind does not pass
    return;
  }
  group->members.push_back(request);
  group->rows += request->rows;
  group->full = group->rows >= options_.max_rows;
  if (std::ranges::binary_search(options_.preferred, group->rows)) {
    group->preferred = group->members.size();
  }
  // Of what is left until its deadline a request waits half, or all but what its run takes.
  const double left = request->deadline - request->arrival;
  group->due = std::min({group->due, request->arrival + options_.max_delay,
                         request->arrival + std::min(left / 2, left - request->run_seconds)});
}

bool BatchQueue::MayRun(const Group& group, double now) const {
  return group.preferred > 0 || group.full || hurry_ || group.due <= now;
}

// Once it is certain who runs, no more than those.
std::vector<BatchQueue::Group> BatchQueue::Groups(double now) const {
  std::vector<Group> groups;
  for (const auto& [place, request] : waiting_) {
    Join(request, now, groups);
    if (groups.front().full) break;
  }
  return groups;
}

BatchQueue::Taken BatchQueue::Take(double now) {
  Taken taken;
  for (Group& group : Groups(now)) {
    if (!MayRun(group, now)) {
      taken.look_again = std::min(taken.look_again, group.due);
      continue;
    }
    if (group.preferred > 0) group.members.resize(group.preferred);
    for (const WaitingPtr& request : group.members) Remove(*request);
    taken.requests = std::move(group.members);
    break;
  }
  return taken;
}

}  // namespace rlx::server
