// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/ir/attr.h"
#include "runtime/ir/op_kind.h"
#include "runtime/tensor/shape.h"

namespace rlx {

using NodeId = int32_t;

// A result of a node: what operands and outputs refer to. Printed `%7`, or `%7.1` for result 1.
struct Value {
  NodeId node = -1;
  int32_t result = 0;
  bool valid() const { return node >= 0; }
  friend auto operator<=>(const Value&, const Value&) = default;
};
void AppendTo(std::string& out, Value value);

// Where a node came from, so that reports speak of what the author wrote. After fusion a node has
// the sources of all that it replaced.
struct SourceRef {
  enum class Kind : uint8_t { kHir, kOnnx, kMir };
  Kind kind = Kind::kMir;
  int64_t id = 0;    // node number in the author's module
  std::string name;  // the author's name or the block's label; may be empty
  friend auto operator<=>(const SourceRef&, const SourceRef&) = default;
};

class Graph;

struct Node {
  OpKind op = OpKind::kInput;
  std::vector<Value> operands;
  std::vector<Attr> attrs;          // in the order of the row's specs, defaults filled in
  std::vector<TensorType> results;  // declared for leaves, inferred for the rest
  std::string name;  // leaves: the signature's name; others: for people, may be empty
  std::vector<SourceRef> sources;
  std::vector<std::shared_ptr<const Graph>>
      subgraphs;  // region bodies, branches; immutable, shared

  // Attribute access by name. The typed forms require presence and type, which Verify established.
  const AttrValue* Find(std::string_view attr) const;
  int64_t Int(std::string_view attr) const;
  double Float(std::string_view attr) const;
  bool Bool(std::string_view attr) const;
  const std::string& Str(std::string_view attr) const;
  const std::vector<int64_t>& Ints(std::string_view attr) const;
  const std::vector<double>& Floats(std::string_view attr) const;
  DType Type(std::string_view attr) const;
  const Shape& Dims(std::string_view attr) const;
  const HostTensor& Tensor(std::string_view attr) const;
};

struct Output {
  std::string name;
  Value value;
};

// A pair that may share one buffer when the caller donates the input: KV caches, running states.
struct AliasPair {
  int input = 0;   // position among inputs()
  int output = 0;  // position among outputs()
  friend bool operator==(const AliasPair&, const AliasPair&) = default;
};

// A module's graph, or a nested one. Nodes are in topological order: an operand's node precedes its
// user (Verify checks it, Normalize restores it). Inputs and params are part of the signature and
// survive every pass. Not thread safe while it changes; const access is.
class Graph {
 public:
  std::string name;
  SymbolTable symbols;                     // main graph only
  std::vector<DimConstraint> constraints;  // found by inference; checked when symbols are bound
  std::vector<AliasPair> aliases;          // main graph only

  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& node(NodeId id) const { return nodes_[id]; }
  Node& node(NodeId id) { return nodes_[id]; }
  int size() const { return static_cast<int>(nodes_.size()); }
  // Whether `v` names a result of a node that is there.
  bool Has(Value v) const;
  const TensorType& type(Value v) const { return nodes_[v.node].results[v.result]; }

  // Room for so many nodes in all, where it is known: a large graph that grows without it is moved
  // several times, each time into fresh pages.
  void Reserve(int nodes) { nodes_.reserve(static_cast<size_t>(nodes)); }
  // Appends as is; inference and checks are the builder's and the verifier's.
  NodeId Add(Node node);
  std::vector<NodeId> inputs() const;  // kInput nodes in order: the positional signature
  std::vector<NodeId> params() const;

  const std::vector<Output>& outputs() const { return outputs_; }
  void AddOutput(std::string name, Value value) { outputs_.push_back({std::move(name), value}); }
  void ClearOutputs() { outputs_.clear(); }

  // Adds what is not there yet.
  void AddConstraints(const std::vector<DimConstraint>& more);

  // Every operand and output that reads `from` reads `to` instead, except in node `except`.
  // O(graph); passes that rewrite much use a Rewriter (passes/rewriter.h).
  void ReplaceUses(Value from, Value to, NodeId except = -1);

  // Renumbers: leaves of the signature first, in order; then what the outputs reach, in today's
  // order but for operands that come later, which move to just before their first user: so appended
  // replacements fall into place. With `keep_dead` unreached nodes stay (in order, at their place);
  // else they go. Fails, with the graph as it was, on a cycle or a dangling operand. Returns old id
  // → new id (-1 for dropped).
  absl::StatusOr<std::vector<NodeId>> Normalize(bool keep_dead = false);

 private:
  std::vector<Node> nodes_;
  std::vector<Output> outputs_;
};

// Per node: whether it depends on params and constants alone, so that it is computed once when
// weights are bound.
std::vector<bool> WeightOnly(const Graph& graph);

// Who reads each value: consumers (node, operand position) in order, then outputs. Counts operand
// slots, so mul(x, x) is two uses. Built in O(graph), in three allocations; knows nothing of what
// the graph gets afterwards.
class Uses {
 public:
  struct Use {
    NodeId node = -1;  // -1: a graph output
    int slot = 0;      // operand position, or output position
  };
  explicit Uses(const Graph& graph);
  std::span<const Use> of(Value v) const {
    const size_t at = Index(v);
    return {uses_.data() + begin_[at], uses_.data() + begin_[at + 1]};
  }
  int Count(Value v) const { return static_cast<int>(of(v).size()); }
  bool IsOutput(Value v) const;
  // The one reader when `v` has exactly one use and that is a node; else -1.
  NodeId OnlyUser(Value v) const;

 private:
  size_t Index(Value v) const { return first_value_[v.node] + static_cast<size_t>(v.result); }
  template <class Visit>
  static void ForEach(const Graph& graph, const Visit& visit);

  std::vector<size_t> first_value_;  // by node: the index of its result 0 among all values
  std::vector<size_t> begin_;        // by value: where its uses begin; the next one's is their end
  std::vector<Use> uses_;            // grouped by value
};

struct BufferPlan;  // lir.h

// A module at a stage, as it arrives and as the stages hand it on.
enum class Stage : uint8_t { kHir = 1, kMir = 2, kLir = 3 };
enum class FusionPolicy : uint8_t { kDirect = 1, kFusable = 2 };  // see op_info.h, lower_hir

struct Module {
  Stage stage = Stage::kMir;
  FusionPolicy policy = FusionPolicy::kDirect;
  Graph graph;
  // LIR: where its values live and when its nodes run; null: to be planned. As untrusted as the
  // graph: lower::VerifyPlan judges it.
  std::shared_ptr<const BufferPlan> plan;
};

}  // namespace rlx
