// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/match.h"

#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/rewriter.h"

namespace rlx::passes {

Pattern Pattern::As(std::string_view name) const {
  Pattern copy = *this;
  copy.capture = name;
  return copy;
}

Pattern Pattern::Shared() const {
  Pattern copy = *this;
  copy.shared = true;
  return copy;
}

Pattern Any(std::string_view capture) { return {{}, {}, capture, false}; }
Pattern Op(OpKind op, std::vector<Pattern> operands) {
  return {{op}, std::move(operands), {}, false};
}
Pattern OneOf(std::vector<OpKind> ops, std::vector<Pattern> operands) {
  return {std::move(ops), std::move(operands), {}, false};
}

Value Match::at(std::string_view capture) const {
  const auto it = std::ranges::find(bound, capture, [](const auto& pair) { return pair.first; });
  CHECK(it != bound.end(), "no capture ", capture);
  return it->second;
}

// What is left to match, and what was matched on the way here. Copied where operands can be
// swapped.
struct Matcher::State {
  std::vector<std::pair<Value, const Pattern*>> goals;  // the last one is next
  Match match;
  int matched = 0;
  std::optional<Refusal> blocked;  // the first interior node with other readers
  NodeId blocked_at = -1;
};

Matcher::Matcher(const Rewriter& rewriter) : graph_(rewriter.graph()), rewriter_(&rewriter) {}

std::optional<Match> Matcher::Find(NodeId root, const Pattern& pattern, const Guard& guard) {
  why_ = {};
  deepest_ = -1;
  guard_ = &guard;
  root_ = root;
  State state;
  state.goals.push_back({Value{root, 0}, &pattern});
  if (!Solve(std::move(state))) return std::nullopt;
  return std::move(found_);
}

// Depth first over goals; true once some order of operands satisfies all of them.
bool Matcher::Solve(State state) {
  while (!state.goals.empty()) {
    const auto [value, pattern] = state.goals.back();
    state.goals.pop_back();
    const Node& node = graph_.node(value.node);
    if (!pattern->ops.empty() &&
        (value.result != 0 || std::ranges::count(pattern->ops, node.op) == 0)) {
      Differs(state, value.node, pattern->ops.front());
      return false;
    }
    if (!pattern->capture.empty()) {
      auto same = [&](const auto& pair) { return pair.first == pattern->capture; };
      const auto it = std::ranges::find_if(state.match.bound, same);
      if (it != state.match.bound.end() && it->second != value) {
        Differs(state, value.node, it->second.node);
        return false;
      }
      if (it == state.match.bound.end()) state.match.bound.push_back({pattern->capture, value});
    }
    ++state.matched;
    if (pattern->ops.empty()) continue;
    if (!pattern->shared) {
      state.match.interior.push_back(value.node);
      if (value.node != root_ && !state.blocked) {
        state.blocked = OtherReaders(value.node);
        if (state.blocked) state.blocked_at = value.node;
      }
    }
    if (pattern->operands.empty()) continue;
    if (pattern->operands.size() != node.operands.size()) {
      Differs(state, value.node, node.operands.size());
      return false;
    }
    const bool swappable = Info(node.op).commutative && node.operands.size() == 2;
    if (swappable) {
      State swapped = state;
      swapped.goals.push_back({node.operands[1], &pattern->operands[0]});
      swapped.goals.push_back({node.operands[0], &pattern->operands[1]});
      State straight = std::move(state);
      straight.goals.push_back({node.operands[1], &pattern->operands[1]});
      straight.goals.push_back({node.operands[0], &pattern->operands[0]});
      return Solve(std::move(straight)) || Solve(std::move(swapped));
    }
    for (size_t i = node.operands.size(); i-- > 0;) {
      state.goals.push_back({node.operands[i], &pattern->operands[i]});
    }
  }
  return Finish(state);
}

// Everything is in place: whether the rewrite may happen.
bool Matcher::Finish(const State& state) {
  std::optional<Refusal> refusal = *guard_ ? (*guard_)(state.match) : std::nullopt;
  NodeId at = root_;
  // A guard that finds another pattern than the one meant outweighs who else reads it.
  if (!refusal && state.blocked) {
    refusal = state.blocked;
    at = state.blocked_at;
  }
  if (!refusal) {
    found_ = state.match;
    return true;
  }
  if (refusal->reason == Reason::kOtherOp) {
    Differs(state, at, refusal->message);
  } else if (!why_.near) {
    why_ = {true, refusal->reason, at, Cat(Label(graph_, at), " ", refusal->message)};
  }
  return false;
}

void Matcher::Differs(const State& state, NodeId node, Difference difference) {
  if (why_.near || state.matched <= deepest_) return;
  deepest_ = state.matched;
  why_ = {false, Reason::kOtherOp, node, {}};
  difference_ = std::move(difference);
}

Explanation Matcher::why() const {
  Explanation why = why_;
  if (why.near || why.node < 0) return why;
  why.message = Label(graph_, why.node) + " ";
  if (const auto* op = std::get_if<OpKind>(&difference_)) why.message += Cat("is not ", Name(*op));
  if (const auto* node = std::get_if<NodeId>(&difference_))
    why.message += Cat("is not ", Label(graph_, *node));
  if (const auto* count = std::get_if<size_t>(&difference_))
    why.message += Cat("has ", *count, " operands");
  if (const auto* said = std::get_if<std::string>(&difference_)) why.message += *said;
  return why;
}

std::optional<Refusal> Matcher::OtherReaders(NodeId id) const {
  const Uses& uses = rewriter_ == nullptr ? *uses_ : rewriter_->uses();
  int count = 0;
  for (int r = 0; r < static_cast<int>(graph_.node(id).results.size()); ++r) {
    if (uses.IsOutput({id, r})) return Refusal{Reason::kGraphOutput, "is an output of the module"};
    count += uses.Count({id, r});
  }
  if (count == 1) return std::nullopt;
  return Refusal{Reason::kMultiConsumer, Cat("has ", count, " users")};
}

}  // namespace rlx::passes
