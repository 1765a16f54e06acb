// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "runtime/passes/match.h"
#include "runtime/passes/rewriter.h"

namespace rlx::passes {

// The elementwise ops that fused products and convolutions can apply, under their own names.
const std::vector<OpKind>& EpilogueActivations();
bool IsEpilogueActivation(OpKind op);

// What is applied to a result.
struct Epilogue {
  std::string_view activation = "none";
  Value residual = {};  // invalid: no sum

  bool acts() const { return activation != "none"; }
};

// Kinds of ops that take along what is applied to their results.
struct EpilogueTaker {
  Rule rule;
  // Why the node that makes `value` does not take it; nothing where it does.
  std::optional<Refusal> (*refusal)(const Graph& graph, Value value, const Epilogue& epilogue);
  // The node with it.
  Value (*emit)(GraphBuilder& b, const Node& node, const Epilogue& epilogue);
};

// One pass of this kind. Its patterns capture the taker's result as "base", a residual as
// "residual", and an activation that is one node as "activation".
class EpilogueFusion {
 public:
  EpilogueFusion(Graph& graph, PassContext& context, const EpilogueTaker& taker);

  // Calls visit(root, op) for what may end a pattern, users first, so that what is applied last
  // takes along what was before it.
  template <class Visit>
  absl::Status Run(const Visit& visit) {
    for (NodeId root = rewriter_.size() - 1; root >= 0; --root) {
      if (!rewriter_.Taken(root) && !fixed_[root]) visit(root, graph_.node(root).op);
    }
    return rewriter_.Finish();
  }
  // Fuses what the pattern finds at `root`. `written`: the activation that it writes out in others,
  // and what else must hold of it then.
  bool Try(NodeId root, const Pattern& pattern, std::string_view written = "none",
           const Guard& guard = nullptr);

 private:
  Epilogue EpilogueOf(const Match& match, std::string_view written) const;
  std::optional<Refusal> Check(const Match& match, std::string_view written) const;
  void Report(const std::vector<NodeId>& nodes, NodeId base, const Epilogue& epilogue);

  Graph& graph_;
  PassContext& context_;
  const EpilogueTaker& taker_;
  Rewriter rewriter_;
  Matcher matcher_;
  const std::vector<bool> fixed_;
};

}  // namespace rlx::passes
