// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/hoist_casts.h"

#include <algorithm>
#include <map>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/rewriter.h"

namespace rlx::passes {
namespace {

// The operands that bodies capture, and where the first of them is among a body's inputs.
struct Captures {
  size_t begin = 0, end = 0, first_input = 0;
};

Captures CapturesOf(const Node& node) {
  const size_t operands = node.operands.size();
  if (node.op == OpKind::kIf) return {1, operands, 0};
  const auto carries = static_cast<size_t>(node.Int("carries"));
  const int64_t sequences = node.op == OpKind::kScan ? node.Int("sequences") : 0;
  return {carries, operands - static_cast<size_t>(sequences), carries};
}

// In what types bodies read a captured value: none, one narrower than f32, or any other.
enum class Reads : uint8_t { kNothing, kNarrow, kOther };
struct Reading {
  Reads reads = Reads::kNothing;
  DType as = DType::kF32;

  void Add(const Graph& body, const Uses::Use& use) {
    const bool casts = use.node >= 0 && body.node(use.node).op == OpKind::kCast;
    const DType to = casts ? body.node(use.node).Type("to") : DType::kF32;
    const bool same = reads == Reads::kNothing || as == to;
    reads = IsNarrowFloat(to) && same && reads != Reads::kOther ? Reads::kNarrow : Reads::kOther;
    as = to;
  }
};

// The body with captured inputs of the types that it reads them in, without the casts to these.
absl::StatusOr<Graph> Retyped(const Graph& body, size_t first, const std::vector<Reading>& how) {
  Graph out = body;
  const std::vector<NodeId> inputs = body.inputs();
  std::vector<bool> retyped(static_cast<size_t>(out.size()));
  for (size_t i = 0; i < how.size(); ++i) {
    if (how[i].reads != Reads::kNarrow) continue;
    const NodeId input = inputs[first + i];
    out.node(input).results[0].dtype = how[i].as;
    retyped[static_cast<size_t>(input)] = true;
  }
  PassContext silent;
  Rewriter rewriter(out, silent);
  for (NodeId id = 0; id < rewriter.size(); ++id) {
    const Node& node = out.node(id);
    const bool drops =
        node.op == OpKind::kCast && retyped[static_cast<size_t>(node.operands[0].node)];
    if (drops) rewriter.Replace({id, 0}, node.operands[0]);
  }
  RLX_TRY(rewriter.Finish());
  return out;
}

class Hoisting {
 public:
  explicit Hoisting(Graph& graph) : graph_(graph) {}

  absl::StatusOr<bool> Run() {
    for (NodeId id = 0, size = graph_.size(); id < size; ++id) {
      if (Info(graph_.node(id).op).op_class == OpClass::kControlFlow) RLX_TRY(Hoist(id));
    }
    if (casts_.empty()) return false;
    RLX_TRY(graph_.Normalize(/*keep_dead=*/true).status());
    return true;
  }

 private:
  absl::Status Hoist(NodeId id) {
    const Captures captures = CapturesOf(graph_.node(id));
    const std::vector<Reading> how = Readings(graph_.node(id), captures);
    if (std::ranges::count(how, Reads::kNarrow, &Reading::reads) == 0) return absl::OkStatus();
    for (size_t i = 0; i < how.size(); ++i) {
      if (how[i].reads != Reads::kNarrow) continue;
      const Value operand = graph_.node(id).operands[captures.begin + i];
      RLX_ASSIGN(const Value cast, Cast(id, operand, how[i].as));
      graph_.node(id).operands[captures.begin + i] = cast;
    }
    for (auto& body : graph_.node(id).subgraphs) {
      RLX_ASSIGN(Graph made, Retyped(*body, captures.first_input, how));
      body = std::make_shared<const Graph>(std::move(made));
    }
    return absl::OkStatus();
  }

  // By capture. An operand that is no f32 is never narrow here.
  std::vector<Reading> Readings(const Node& node, const Captures& captures) const {
    std::vector<Reading> how(captures.end - captures.begin);
    for (const auto& body : node.subgraphs) {
      const Uses uses(*body);
      const std::vector<NodeId> inputs = body->inputs();
      for (size_t i = 0; i < how.size(); ++i) {
        const Value input{inputs[captures.first_input + i], 0};
        if (body->type(input).dtype != DType::kF32) how[i].reads = Reads::kOther;
        for (const Uses::Use& use : uses.of(input)) how[i].Add(*body, use);
      }
    }
    return how;
  }

  // The value in another type: what it was widened from, if that is it, or one cast for all.
  absl::StatusOr<Value> Cast(NodeId id, Value value, DType to) {
    const auto [it, first] = casts_.try_emplace({value, to});
    if (!first) return it->second;
    const Node& made_by = graph_.node(value.node);
    if (made_by.op == OpKind::kCast && graph_.type(made_by.operands[0]).dtype == to) {
      return it->second = made_by.operands[0];
    }
    GraphBuilder b(graph_);
    b.SetSources(graph_.node(id).sources);
    it->second = b.Cast(value, to);
    RLX_TRY(b.status());
    return it->second;
  }

  Graph& graph_;
  std::map<std::pair<Value, DType>, Value> casts_;
};

}  // namespace

absl::StatusOr<bool> HoistCasts(Graph& graph) { return Hoisting(graph).Run(); }

}  // namespace rlx::passes
