// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/ir/graph.h"
#include "runtime/passes/rules.h"

// Patterns over a graph, as values:
//
//   const Pattern kBias = Op(OpKind::kAdd, {Op(OpKind::kMatMul, {Any("x"), Any("w")}),
//   Any("bias")}); Matcher matcher(graph, uses); if (std::optional<Match> m = matcher.Find(root,
//   kBias, check_bias)) … m->at("bias") … else if (matcher.why().near) … matcher.why().message …
namespace rlx::passes {

class Rewriter;

struct Pattern {
  std::vector<OpKind> ops;        // what the node may be; empty: any value
  std::vector<Pattern> operands;  // one per operand, or empty: any operands
  std::string_view capture;       // binds the value; a second use must bind the same value
  bool shared = false;            // the node stays, so others may read it too

  Pattern As(std::string_view name) const;
  Pattern Shared() const;
};
Pattern Any(std::string_view capture = {});
Pattern Op(OpKind op, std::vector<Pattern> operands);
Pattern OneOf(std::vector<OpKind> ops, std::vector<Pattern> operands);

struct Match {
  std::vector<std::pair<std::string_view, Value>> bound;
  std::vector<NodeId> interior;  // the nodes a rewrite replaces, root first

  Value at(std::string_view capture) const;  // CHECKs that the pattern has it
};

// Why there was no match. `near`: the whole pattern is there, but other readers or the guard forbid
// the rewrite. Otherwise `message` tells the deepest place where the graph differs.
struct Explanation {
  bool near = false;
  Reason reason = Reason::kOtherOp;
  NodeId node = -1;
  std::string message;  // `%3 (silu) has 2 users`
};

// A condition beyond structure, tried for each way the pattern fits. Nothing when it holds.
struct Refusal {
  Reason reason = Reason::kOtherOp;
  std::string message;
};
using Guard = std::function<std::optional<Refusal>(const Match&)>;

// Finds patterns. Operands of commutative ops match in either order. Every interior node but the
// root must be read by the match alone: no other reader, no module output, no other result read.
class Matcher {
 public:
  Matcher(const Graph& graph, const Uses& uses) : graph_(graph), uses_(&uses) {}
  // Over the rewriter's original nodes. Asks it who reads what only once an operand has matched.
  explicit Matcher(const Rewriter& rewriter);

  std::optional<Match> Find(NodeId root, const Pattern& pattern, const Guard& guard = nullptr);
  // About the last Find that returned nothing. Put into words here: most who look find nothing, and
  // do not ask.
  Explanation why() const;

 private:
  struct State;
  // What a node is not: of this op, that node, a node of so many operands; or what a guard says.
  using Difference = std::variant<OpKind, NodeId, size_t, std::string>;
  bool Solve(State state);
  bool Finish(const State& state);
  void Differs(const State& state, NodeId node, Difference difference);
  std::optional<Refusal> OtherReaders(NodeId id) const;

  const Graph& graph_;
  const Uses* uses_ = nullptr;
  const Rewriter* rewriter_ = nullptr;  // null: uses_ is there
  const Guard* guard_ = nullptr;
  NodeId root_ = -1;
  int deepest_ = -1;
  Explanation why_;
  Difference difference_;  // for its message, unless it is near
  Match found_;
};

}  // namespace rlx::passes
