// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/text.h"
#include "runtime/ir/text.h"
#include "runtime/ir/verify.h"
#include "runtime/passes/passes.h"
#include "tests/support/same_results.h"

namespace rlx::passes {

inline Graph ParseGraph(std::string_view text) {
  absl::StatusOr<Module> module = ParseModule(text);
  EXPECT_TRUE(module.ok()) << module.status().ToString();
  if (!module.ok()) return {};
  const absl::Status verified = Verify(*module);
  EXPECT_TRUE(verified.ok()) << verified.ToString();
  return std::move(module->graph);
}

inline std::string Text(const Graph& graph) { return Print(graph, {.sources = false}); }

// What a pass made of a module: `text` prints without sources, names or not as the pass left them.
struct Outcome {
  Graph graph;
  std::string text;
  std::vector<Remark> remarks;
  bool changed = false;

  std::vector<Remark> Missed() const {
    std::vector<Remark> missed;
    for (const Remark& remark : remarks) {
      if (remark.kind == Remark::Kind::kMissed) missed.push_back(remark);
    }
    return missed;
  }
};

// Runs the pass and checks what holds for every pass: the result verifies, keeps its signature and
// computes the same.
inline Outcome RunPass(PassFn pass, std::string_view text, PassContext context = {}) {
  Outcome outcome;
  const Graph before = ParseGraph(text);
  outcome.graph = before;
  context.remarks = &outcome.remarks;
  const absl::Status status = pass(outcome.graph, context);
  EXPECT_TRUE(status.ok()) << status.ToString();
  outcome.changed = context.changed;
  const absl::Status verified = VerifyGraph(outcome.graph);
  EXPECT_TRUE(verified.ok()) << verified.ToString() << Text(outcome.graph);
  EXPECT_EQ(outcome.graph.inputs().size(), before.inputs().size());
  EXPECT_EQ(outcome.graph.params().size(), before.params().size());
  if (before.symbols.empty()) {
    EXPECT_TRUE(test::SameResults(before, outcome.graph, 7));
  }
  outcome.text = Text(outcome.graph);
  return outcome;
}

inline void ExpectRewrite(PassFn pass, std::string_view before, std::string_view after,
                          PassContext context = {}) {
  const Outcome outcome = RunPass(pass, before, std::move(context));
  EXPECT_EQ(outcome.text, Text(ParseGraph(after)));
  EXPECT_TRUE(outcome.changed);
}

inline void ExpectUntouched(PassFn pass, std::string_view text, PassContext context = {}) {
  const Outcome outcome = RunPass(pass, text, std::move(context));
  EXPECT_EQ(outcome.text, Text(ParseGraph(text)));
  EXPECT_FALSE(outcome.changed);
}

}  // namespace rlx::passes
