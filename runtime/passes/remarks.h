// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "runtime/ir/graph.h"
#include "runtime/passes/pass.h"
#include "runtime/passes/rules.h"

namespace rlx::passes {

// What a fusion saved per run.
struct Savings {
  int64_t launches = 0;
  int64_t bytes = 0;  // intermediates no longer written and read back, at capacity
};

// Bytes that `values` cost when each is written once and read once.
int64_t RoundTripBytes(const Graph& graph, const std::vector<Value>& values);

// `nodes` are those the rewrite replaced, the one that names the place first.
void Applied(PassContext& context, Rule rule, const Graph& graph, const std::vector<NodeId>& nodes,
             std::string message, Savings savings = {});

// `message` is one sentence about node `at`.
void Missed(PassContext& context, Rule rule, Reason reason, const Graph& graph, NodeId at,
            std::string message);

}  // namespace rlx::passes
