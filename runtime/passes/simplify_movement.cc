// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "runtime/base/text.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/donated.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   x ─ transpose ─ .. ─ transpose   =>   x ─ transpose   (x, where the order is x's again)
//   x ─ reshape ─ .. ─ reshape       =>   x ─ reshape     (x, where the shape is x's again)
//   x ─ cast | expand | narrow | concat, to the type x has   =>   x
// Importers write such pairs around what they lower. What stands between has no other reader, but
// where x itself comes back: that is free for every reader. A donated input does not come back: its
// readers might then run too late.
namespace rlx::passes {
namespace {

constexpr Rule kRule("movement");

using Perm = std::vector<int64_t>;

bool IsIdentity(const Perm& perm) {
  for (size_t i = 0; i < perm.size(); ++i) {
    if (perm[i] != static_cast<int64_t>(i)) return false;
  }
  return true;
}

// The order of transpose(transpose(x, inner), outer) as one of x.
Perm Compose(const Perm& inner, Perm outer) {
  for (int64_t& axis : outer) axis = inner[static_cast<size_t>(axis)];
  return outer;
}

// Nodes of one op, each the only reader of the next; the first is read by something else.
struct Chain {
  std::vector<NodeId> nodes;
  Value base;  // what the last one reads
};

class Simplifying {
 public:
  Simplifying(Graph& graph, PassContext& context)
      : graph_(graph),
        context_(context),
        rewriter_(graph, context),
        donated_(DonatedInputs(graph)) {}

  absl::Status Run() {
    for (NodeId id = 0; id < rewriter_.size(); ++id) Visit(id);
    return rewriter_.Finish();
  }

 private:
  void Visit(NodeId id) {
    switch (graph_.node(id).op) {
      case OpKind::kTranspose:
        return Transposes(id);
      case OpKind::kReshape:
        return Reshapes(id);
      case OpKind::kCast:
      case OpKind::kExpand:
      case OpKind::kNarrow:
      case OpKind::kConcat:
        if (graph_.type({id, 0}) == graph_.type(First(id))) GiveBack({id}, First(id));
        return;
      default:
        return;
    }
  }

  Value First(NodeId id) const { return graph_.node(id).operands[0]; }
  bool IsSame(NodeId id, Value operand) const {
    return graph_.node(operand.node).op == graph_.node(id).op;
  }

  // None where a later node of the same op will take this one along.
  std::optional<Chain> ChainTo(NodeId id) const {
    const NodeId reader = rewriter_.uses().OnlyUser({id, 0});
    if (reader >= 0 && IsSame(id, {reader, 0})) return std::nullopt;
    Chain chain{{id}, First(id)};
    while (IsSame(id, chain.base) && rewriter_.uses().Count(chain.base) == 1) {
      chain.nodes.push_back(chain.base.node);
      chain.base = First(chain.base.node);
    }
    return chain;
  }

  void Transposes(NodeId id) {
    const std::optional<Chain> chain = ChainTo(id);
    if (!chain) return;
    Perm perm = graph_.node(id).Ints("perm");
    for (size_t i = 1; i < chain->nodes.size(); ++i)
      perm = Compose(graph_.node(chain->nodes[i]).Ints("perm"), std::move(perm));
    if (IsIdentity(perm)) return GiveBack(chain->nodes, chain->base);
    // One more that others read as well.
    if (IsSame(id, chain->base) &&
        IsIdentity(Compose(graph_.node(chain->base.node).Ints("perm"), perm))) {
      return GiveBack(chain->nodes, First(chain->base.node));
    }
    if (chain->nodes.size() == 1) return;
    Say(chain->nodes, "transposes once");
    Replace(id, rewriter_.For(chain->nodes).Transpose(chain->base, std::move(perm)));
  }

  void Reshapes(NodeId id) {
    const std::optional<Chain> chain = ChainTo(id);
    if (!chain) return;
    const TensorType& type = graph_.type({id, 0});
    if (type == graph_.type(chain->base)) return GiveBack(chain->nodes, chain->base);
    if (IsSame(id, chain->base) && type == graph_.type(First(chain->base.node)))
      return GiveBack(chain->nodes, First(chain->base.node));
    // That symbolic extents have one product may be known only step by step.
    if (chain->nodes.size() == 1 || !type.is_static() || !graph_.type(chain->base).is_static())
      return;
    Say(chain->nodes, "reshapes once");
    Shape shape = type.shape;
    Replace(id, rewriter_.For(chain->nodes).Reshape(chain->base, std::move(shape)));
  }

  void GiveBack(const std::vector<NodeId>& nodes, Value x) {
    if (donated_[x.node]) return;
    Say(nodes, Cat("is ", Label(graph_, x.node), " again"));
    rewriter_.Take(nodes);
    Replace(nodes.front(), x);
  }

  void Say(const std::vector<NodeId>& nodes, std::string what) {
    Applied(context_, kRule, graph_, nodes, Cat(Label(graph_, nodes.front()), " ", what));
  }

  void Replace(NodeId id, Value by) {
    if (by.valid()) rewriter_.Replace({id, 0}, by);
  }

  Graph& graph_;
  PassContext& context_;
  Rewriter rewriter_;
  const std::vector<bool> donated_;
};

}  // namespace

absl::Status SimplifyMovement(Graph& graph, PassContext& context) {
  return Simplifying(graph, context).Run();
}

extern const Pass kSimplifyMovementPass = {
    .name = "simplify_movement",
    .run = SimplifyMovement,
    .needs = {OpKind::kTranspose, OpKind::kReshape, OpKind::kCast, OpKind::kExpand, OpKind::kNarrow,
              OpKind::kConcat},
    .after = "common_subexpression_elimination",
    .before = "fuse_attention_block",
    .why = "After what lowering left side by side is there, before patterns that it would hide",
};

}  // namespace rlx::passes
