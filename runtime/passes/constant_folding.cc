// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/base/checked.h"
#include "runtime/base/text.h"
#include "runtime/ir/evaluate.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   constant, .., constant ── op   =>   constant
// By the ops' own evaluation, so for every dtype; params are no constants. Results stay small: what
// a target computes faster than it loads is left to it, and so is work a compile should not do.
namespace rlx::passes {
namespace {

constexpr Rule kRule("constant_folding");

constexpr int64_t kMaxResultBytes = int64_t{1} << 20;
constexpr int64_t kMaxWork = int64_t{1} << 26;  // result elements × elements of the largest operand

bool SmallEnough(const Graph& graph, const Node& node) {
  int64_t read_bytes = 0, largest = 1;
  for (Value v : node.operands) {
    read_bytes += graph.type(v).ByteSize().value_or(kMaxResultBytes);
    largest = std::max(largest, graph.type(v).NumElements().value_or(kMaxWork));
  }
  for (const TensorType& type : node.results) {
    const std::optional<int64_t> bytes = type.ByteSize(), elements = type.NumElements();
    // A result no larger than what it replaces may be large.
    if (!bytes || *bytes > std::max(kMaxResultBytes, read_bytes)) return false;
    const bool pointwise = IsElementwise(node.op) || Info(node.op).op_class == OpClass::kMovement;
    const std::optional<int64_t> work = CheckedMul(*elements, pointwise ? 1 : largest);
    if (!work || *work > kMaxWork) return false;
  }
  return true;
}

// Constants known so far, original and folded, by node of the original graph.
class Folder {
 public:
  Folder(Graph& graph, PassContext& context)
      : graph_(graph), context_(context), rewriter_(graph, context), known_(graph.size()) {}

  absl::Status Run() {
    for (NodeId id = 0; id < rewriter_.size(); ++id) {
      const Node& node = graph_.node(id);
      if (node.op == OpKind::kConstant) {
        known_[id] = {node.Tensor("value")};
      } else if (Foldable(node)) {
        Fold(id);
      }
    }
    return rewriter_.Finish();
  }

 private:
  bool Foldable(const Node& node) const {
    const auto is_static = [](const TensorType& type) { return type.is_static(); };
    return !node.operands.empty() && Info(node.op).op_class != OpClass::kControlFlow &&
           std::ranges::all_of(node.operands, [&](Value v) { return !known_[v.node].empty(); }) &&
           std::ranges::all_of(node.results, is_static) && SmallEnough(graph_, node);
  }

  void Fold(NodeId id) {
    const Node node = graph_.node(id);
    std::vector<EvalTensor> operands;
    for (Value v : node.operands) operands.push_back(EvalTensor::From(known_[v.node][v.result]));
    std::vector<const EvalTensor*> pointers;
    for (const EvalTensor& operand : operands) pointers.push_back(&operand);
    const absl::StatusOr<std::vector<EvalTensor>> results = EvaluateNode(node, pointers);
    if (!results.ok()) return;  // an index out of range: the run will say so
    Applied(context_, kRule, graph_, {id}, Cat(Label(graph_, id), " has constant operands"));
    GraphBuilder& b = rewriter_.For({id});
    for (size_t r = 0; r < results->size(); ++r) {
      known_[id].push_back((*results)[r].ToHost());
      const Value constant = b.Constant(known_[id].back());
      if (constant.valid()) rewriter_.Replace({id, static_cast<int32_t>(r)}, constant);
    }
  }

  Graph& graph_;
  PassContext& context_;
  Rewriter rewriter_;
  std::vector<std::vector<HostTensor>> known_;
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
