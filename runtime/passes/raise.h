// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>

#include "runtime/passes/rewriter.h"
#include "runtime/passes/rules.h"

// What raising passes have in common. They find an op again that an exporter wrote out in others.
namespace rlx::passes {

// The number that all elements of a float constant are. None for a constant of many elements.
std::optional<double> UniformConstant(const Graph& graph, Value value);

// Whether `type` broadcasts to every slice of extents `tail`, and to nothing less: those extents,
// behind ones.
bool IsRowOf(const TensorType& type, std::span<const Dim> tail);

// One pass of this kind: looks at the original nodes, replaces what it recognised.
class Raising {
 public:
  Raising(Graph& graph, PassContext& context, Rule rule);

  const Graph& graph() const { return graph_; }
  const Node& node(Value value) const { return graph_.node(value.node); }
  const TensorType& type(Value value) const { return graph_.type(value); }
  const Uses& uses() const { return rewriter_.uses(); }
  int size() const { return rewriter_.size(); }
  bool Taken(NodeId id) const { return rewriter_.Taken(id); }

  // The first node that reads `value` and that `wanted` holds for; -1 when there is none.
  NodeId UserWhere(Value value, const std::function<bool(const Node&)>& wanted) const;
  // The first node that multiplies (or adds, by `op`) `value` and `other`; -1 when there is none.
  NodeId UserWith(Value value, OpKind op, Value other) const;

  // Products and quotients by numbers taken off a value, as long as they keep its type (and, if
  // `alone`, nobody else reads what they make): `value` times `factor`.
  struct Scaled {
    Value value;
    double factor = 1;
    std::vector<NodeId> nodes = {};
  };
  Scaled Unscaled(Value value, bool alone) const;

  // Whether the target runs ops of this kind.
  bool Accepts(OpKind op) const;

  void Miss(Reason reason, NodeId at, std::string message);

  // Whether `nodes`, the root first, may become one op that reads `operands`: they are nobody
  // else's, nobody else reads what they make (a remark says who does), and no donated input would
  // be read later than before.
  bool Free(const std::vector<NodeId>& nodes, const std::vector<Value>& operands,
            std::string_view what);
  // Says that `nodes` become one op, and takes them. The root's result is then to be replaced.
  GraphBuilder& Begin(const std::vector<NodeId>& nodes, std::string message);
  void Replace(NodeId root, Value by);
  // Whether the back end would take such a node apart again (a remark says so).
  bool Refused(OpKind op, const std::vector<TensorType>& operands, const std::vector<Attr>& attrs,
               NodeId root);

  absl::Status Finish() { return rewriter_.Finish(); }

 private:
  Graph& graph_;
  PassContext& context_;
  const Rule rule_;
  Rewriter rewriter_;
  const std::vector<bool> donated_;
};

}  // namespace rlx::passes
