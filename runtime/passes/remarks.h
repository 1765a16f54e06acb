// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "runtime/ir/graph.h"
#include "runtime/passes/pass.h"
#include "runtime/passes/rules.h"

namespace rlx::passes {

// Bytes at capacity, as far as it is bounded.
struct BoundedBytes {
  // NOLINTNEXTLINE(google-explicit-constructor): a number that is known is one
  BoundedBytes(int64_t known = 0, bool more = false) : known(known), more(more) {}
  int64_t known;
  bool more;  // some values have no bound

  BoundedBytes& operator+=(const BoundedBytes& b) {
    known += b.known;
    more |= b.more;
    return *this;
  }
  friend BoundedBytes operator-(const BoundedBytes& a, const BoundedBytes& b) {
    return {a.known - b.known, a.more || b.more};
  }
  friend BoundedBytes operator*(int64_t times, const BoundedBytes& b) {
    return {times * b.known, b.more};
  }
  friend BoundedBytes operator/(const BoundedBytes& b, int64_t by) {
    return {b.known / by, b.more};
  }
};

// What a fusion saved per run.
struct Savings {
  int64_t launches = 0;
  BoundedBytes bytes = 0;  // intermediates no longer written and read back
};

// Bytes that `values` cost when each is written once and read once.
BoundedBytes RoundTripBytes(const Graph& graph, const std::vector<Value>& values);

// `nodes` are those the rewrite replaced, the one that names the place first.
void Applied(PassContext& context, Rule rule, const Graph& graph, const std::vector<NodeId>& nodes,
             std::string message, Savings savings = {});

// `message` is one sentence about node `at`.
void Missed(PassContext& context, Rule rule, Reason reason, const Graph& graph, NodeId at,
            std::string message);

}  // namespace rlx::passes
