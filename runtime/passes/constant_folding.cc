// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "runtime/base/checked.h"
#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/evaluate.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   constant, .., constant ── op   =>   constant
// By the ops' own evaluation, so for every dtype; params are no constants. Results stay small: what
// a target computes faster than it loads is left to it, and so is work a compile should not do: of
// a node, and of all in a module (FoldingBudget).
namespace rlx::passes {
namespace {

constexpr Rule kRule("constant_folding");

constexpr int64_t kMaxResultBytes = int64_t{1} << 20;
// Of a node, as Work counts it: a tenth of a second, which a caller who leaves waits out.
constexpr int64_t kMaxWork = int64_t{1} << 23;

// Elements read, and made: result elements × elements of the largest operand where an element of
// the result may come from all of them. Nothing where that is above kMaxWork.
std::optional<int64_t> Work(const Graph& graph, const Node& node) {
  int64_t work = 0, largest = 1;
  const auto add = [&](int64_t elements, int64_t each) {
    const std::optional<int64_t> more = CheckedMul(elements, each);
    if (!more || *more > kMaxWork - work) return false;
    work += *more;
    return true;
  };
  for (Value v : node.operands) {
    const int64_t elements = graph.type(v).NumElements().value_or(kMaxWork + 1);
    if (!add(elements, 1)) return std::nullopt;
    largest = std::max(largest, elements);
  }
  const bool pointwise = IsElementwise(node.op) || Info(node.op).op_class == OpClass::kMovement;
  for (const TensorType& type : node.results) {
    const std::optional<int64_t> elements = type.NumElements();
    if (!elements || !add(*elements, pointwise ? 1 : largest)) return std::nullopt;
  }
  return work;
}

// Of the results, where they are small, or no larger than what they replace.
std::optional<int64_t> ResultBytes(const Graph& graph, const Node& node) {
  int64_t read = 0, made = 0;
  for (Value v : node.operands) read += graph.type(v).ByteSize().value_or(0);
  for (const TensorType& type : node.results) {
    const std::optional<int64_t> bytes = type.ByteSize();
    if (!bytes || *bytes > std::max(kMaxResultBytes, read)) return std::nullopt;
    made += *bytes;
  }
  return made;
}

class Folder {
 public:
  Folder(Graph& graph, PassContext& context)
      : graph_(graph),
        context_(context),
        rewriter_(graph, context),
        known_(graph.size()),
        room_(context.folding.bytes) {}

  absl::Status Run() {
    FindReaders();
    for (NodeId id = 0; id < rewriter_.size(); ++id) {
      RLX_TRY(context_.cancel.Check());
      const Node& node = graph_.node(id);
      if (node.op == OpKind::kConstant) {
        known_[id].results = {node.Tensor("value")};
        room_ += known_[id].results[0].type().ByteSize().value_or(0);
      } else if (Foldable(node)) {
        Fold(id);
      }
      for (Value operand : node.operands) Read(operand.node, known_[id].folded);
    }
    Emit();
    context_.folding.bytes = std::clamp<int64_t>(room_ - held_, 0, context_.folding.bytes);
    return rewriter_.Finish();
  }

 private:
  // What stands for a node: a constant that was there, or what folding made.
  struct Known {
    std::vector<HostTensor> results;  // empty: not known, or no longer
    bool folded = false;
    bool needed = false;  // by what is not folded
    int64_t bytes = 0;    // counted in held_
    int64_t unread = 0;   // operands still to come
  };

  void FindReaders() {
    for (const Node& node : graph_.nodes()) {
      for (Value operand : node.operands) ++known_[operand.node].unread;
    }
    for (Known& known : known_) known.needed = known.unread == 0;
    for (const Output& output : graph_.outputs()) known_[output.value.node].needed = true;
  }

  bool Foldable(const Node& node) const {
    const auto is_static = [](const TensorType& type) { return type.is_static(); };
    return !node.operands.empty() && Info(node.op).op_class != OpClass::kControlFlow &&
           std::ranges::all_of(node.operands,
                               [&](Value v) { return !known_[v.node].results.empty(); }) &&
           std::ranges::all_of(node.results, is_static);
  }

  // Takes it from the module's budget. What is too large by itself takes nothing.
  bool Afford(NodeId id) {
    const std::optional<int64_t> work = Work(graph_, graph_.node(id));
    const std::optional<int64_t> bytes = ResultBytes(graph_, graph_.node(id));
    if (!work || !bytes) return false;
    FoldingBudget& budget = context_.folding;
    const bool fits = *work <= budget.work;
    if (!fits || *bytes > room_ - held_) {
      if (!std::exchange(budget.told, true)) {
        Missed(context_, kRule, Reason::kFoldingBudget, graph_, id,
               Cat(Label(graph_, id), " and others stay: folding the module takes more ",
                   fits ? "memory" : "work", " than a compile gives it"));
      }
      return false;
    }
    budget.work -= *work;
    held_ += known_[id].bytes = *bytes;
    return true;
  }

  void Release(Known& known) {
    held_ -= std::exchange(known.bytes, 0);
    known.results.clear();
  }

  void Fold(NodeId id) {
    if (!Afford(id)) return;
    const Node& node = graph_.node(id);
    Known& known = known_[id];
    std::vector<EvalTensor> operands;
    for (Value v : node.operands) {
      operands.push_back(EvalTensor::From(known_[v.node].results[v.result]));
    }
    std::vector<const EvalTensor*> pointers;
    for (const EvalTensor& operand : operands) pointers.push_back(&operand);
    const absl::StatusOr<std::vector<EvalTensor>> results = EvaluateNode(node, pointers);
    if (!results.ok()) return Release(known);  // an index out of range: the run will say so
    Applied(context_, kRule, graph_, {id}, Cat(Label(graph_, id), " has constant operands"));
    context_.became[node.op].insert(OpKind::kConstant);
    for (const EvalTensor& result : *results) known.results.push_back(result.ToHost());
    known.folded = true;
  }

  // One reader of `id` more that knows what becomes of it. With the last the value goes, where none
  // needs it.
  void Read(NodeId id, bool folded) {
    Known& known = known_[id];
    known.needed |= !folded;
    if (--known.unread == 0 && known.folded && !known.needed) Release(known);
  }

  void Emit() {
    for (NodeId id = 0; id < rewriter_.size(); ++id) {
      const Known& known = known_[id];
      if (!known.folded || !known.needed) continue;
      GraphBuilder& b = rewriter_.For({id});
      for (size_t r = 0; r < known.results.size(); ++r) {
        const Value constant = b.Constant(known.results[r]);
        if (constant.valid()) rewriter_.Replace({id, static_cast<int32_t>(r)}, constant);
      }
    }
  }

  Graph& graph_;
  PassContext& context_;
  Rewriter rewriter_;
  std::vector<Known> known_;  // by node of the original graph
  int64_t room_;              // bytes that results may take: the budget's, and the constants'
  int64_t held_ = 0;          // and what they do
};

}  // namespace

absl::Status ConstantFolding(Graph& graph, PassContext& context) {
  return Folder(graph, context).Run();
}

extern const Pass kConstantFoldingPass = {
    .name = "constant_folding",
    .run = ConstantFolding,
    .needs = {OpKind::kConstant},
    .after = "decompose_unclaimed",
    .why_out =
        [](const PassContext& c) {
          return std::string_view(c.constant_folding ? "" : "constant_folding is off");
        },
    .why = "After all lowering has brought its constants, before patterns ask for them",
};

}  // namespace rlx::passes
