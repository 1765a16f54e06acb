// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "runtime/ir/builder.h"
#include "runtime/passes/pass.h"

namespace rlx::passes {

// Collects the rewrites of one pass and applies them in one sweep, so that a pass is O(graph):
//
//   Rewriter rewriter(graph, context);
//   for (each match m) {
//     Value fused = rewriter.For(m.interior).Emit(…);   // sources of all interior nodes
//     rewriter.Replace(root, fused);
//   }
//   return rewriter.Finish();
//
// Until Finish, node ids and operands of the original nodes stay as they were: new nodes are
// appended, and operands may name values that an earlier rewrite of the same pass replaces.
class Rewriter {
 public:
  Rewriter(Graph& graph, PassContext& context);

  const Graph& graph() const { return graph_; }
  // Of the original nodes. Built when it is asked for, or with the first rewrite: a pass that finds
  // nothing to look at does not pay for it.
  const Uses& uses() const;
  int size() const { return original_size_; }  // number of original nodes

  // The builder to emit with; nodes it makes carry the sources of all `replaced`, which are taken
  // from now on.
  GraphBuilder& For(const std::vector<NodeId>& replaced);
  void Take(const std::vector<NodeId>& replaced);
  // Whether some rewrite has consumed one of the nodes.
  bool Taken(NodeId id) const { return taken_[id]; }
  bool AnyTaken(const std::vector<NodeId>& nodes) const;

  // Every reader of `from` and every output that is `from` gets `to`, which has the same type.
  void Replace(Value from, Value to);

  // Applies the replacements, drops the nodes they left without readers (those that nobody read
  // before the pass stay: they are dead code elimination's) and restores the order.
  absl::Status Finish();

 private:
  // Notes in the context what stands for `from`, and for what was taken with it.
  void Note(NodeId from, NodeId to);
  Value Resolve(Value value);
  std::vector<NodeId> Unread() const;

  Graph& graph_;
  PassContext& context_;
  mutable std::optional<Uses> uses_;
  GraphBuilder builder_;
  int original_size_;
  std::vector<bool> taken_;
  std::vector<NodeId> group_;  // taken last
  std::vector<OpKind> ops_;    // of the group, each once
  std::vector<bool> noted_;    // of the new nodes
  // [node][result]; empty or invalid: stays. Empty until something is replaced.
  std::vector<std::vector<Value>> replacement_;
};

}  // namespace rlx::passes
