// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/raise.h"

//   q [b,s,h·d] ─ reshape [b,s,h,d] ─ transpose [b,h,s,d] ─┐
//   k, v likewise ──────────────────────────────────────── attention ─ transpose ─ reshape
//   [b,s,h·d]
//        =>  attention(q, k, v)
// which takes heads where they lie in a row as well, and copies nothing. One of three that were
// split together, x [b,s,3·h·d] ─ reshape [b,s,3,h,d] ─ transpose [3,b,h,s,d] ─ part i, is columns
// of x.
namespace rlx::passes {
namespace {

constexpr Rule kRule("join_heads");

const std::vector<int64_t> kSwapHeads = {0, 2, 1, 3};

const std::vector<int64_t> kPartsFirst = {2, 0, 3, 1, 4};

// Heads where they lie: some columns of rows [b,s,n].
struct Rows {
  Value value;
  int64_t start = 0, length = 0;
};

struct Joined {
  std::vector<Rows> parts;    // q, k, v
  std::vector<NodeId> nodes;  // the root first
};

class Joining {
 public:
  Joining(Graph& graph, PassContext& context) : at_(graph, context, kRule) {}

  absl::Status Run() {
    for (NodeId id = 0; id < at_.size(); ++id) {
      const Node& node = at_.graph().node(id);
      if (node.op == OpKind::kAttention && node.results[0].rank() == 4) Try(id);
    }
    return at_.Finish();
  }

 private:
  void Try(NodeId attention) {
    Joined joined;
    if (!ReadResult(attention, joined)) return;
    const std::vector<Value> whole = at_.graph().node(attention).operands;
    for (size_t i = 0; i < 3; ++i) {
      const std::optional<Rows> rows = ReadSplit(whole[i], joined.nodes);
      if (!rows) return;
      joined.parts.push_back(*rows);
    }
    const std::vector<Attr> attrs = at_.graph().node(attention).attrs;
    const NodeId root = joined.nodes.front();
    std::vector<TensorType> types;
    std::vector<Value> read;
    for (const Rows& part : joined.parts) {
      types.push_back(at_.type(part.value));
      types.back().shape.back() = part.length;
      read.push_back(part.value);
    }
    for (size_t i = 3; i < whole.size(); ++i) {
      types.push_back(at_.type(whole[i]));
      read.push_back(whole[i]);
    }
    if (at_.Refused(OpKind::kAttention, types, attrs, root)) return;
    if (!at_.Free(joined.nodes, read, "movement of heads")) return;
    GraphBuilder& b = at_.Begin(joined.nodes, Cat(Label(at_.graph(), attention),
                                                  " takes its heads where they lie in rows"));
    for (size_t i = 0; i < 3; ++i) {
      const Rows& part = joined.parts[i];
      if (b.type(read[i]).shape.back() == Dim(part.length)) continue;
      read[i] = b.Narrow(read[i], 2, part.start, part.length);
    }
    at_.Replace(root, b.Emit(OpKind::kAttention, std::move(read), attrs));
  }

  bool Swaps(NodeId id) const {
    return id >= 0 && at_.graph().node(id).op == OpKind::kTranspose &&
           at_.graph().node(id).Ints("perm") == kSwapHeads;
  }

  // [b,h,s,d] to [b,s,h·d].
  bool ReadResult(NodeId attention, Joined& joined) const {
    const NodeId swap = at_.uses().OnlyUser({attention, 0});
    if (!Swaps(swap)) return false;
    const NodeId join = at_.uses().OnlyUser({swap, 0});
    if (join < 0 || at_.graph().node(join).op != OpKind::kReshape) return false;
    const Shape &from = at_.type({swap, 0}).shape, &to = at_.type({join, 0}).shape;
    if (to != Shape{from[0], from[1], from[2] * from[3]}) return false;
    joined.nodes = {join, swap, attention};
    return true;
  }

  // [b,s,h·d] to [b,h,s,d]. Others may read the heads on the way.
  std::optional<Rows> ReadSplit(Value heads, std::vector<NodeId>& nodes) const {
    if (!Swaps(heads.node)) return ReadPart(heads, nodes);
    const Value apart = at_.node(heads).operands[0];
    if (at_.node(apart).op != OpKind::kReshape) return std::nullopt;
    const Value rows = at_.node(apart).operands[0];
    const Shape &from = at_.type(rows).shape, &to = at_.type(apart).shape;
    if (from.size() != 3 || from[0] != to[0] || from[1] != to[1] || !from[2].is_static()) {
      return std::nullopt;
    }
    AddWhileAlone({heads, apart}, nodes);
    return Rows{rows, 0, from[2].value()};
  }

  // Part i of [b,s,p·h·d] as [b,h,s,d].
  std::optional<Rows> ReadPart(Value heads, std::vector<NodeId>& nodes) const {
    const Node& last = at_.node(heads);
    std::vector<Value> way = {heads};
    Value parts;
    int64_t index = 0;
    if (last.op == OpKind::kGather && last.Int("axis") == 0) {
      const Node& which = at_.node(last.operands[1]);
      if (which.op != OpKind::kConstant || !which.Tensor("value").dims().empty())
        return std::nullopt;
      index = which.Tensor("value").ToInts()[0];
      parts = last.operands[0];
    } else if (last.op == OpKind::kReshape) {
      const Node& one = at_.node(last.operands[0]);
      const bool part = one.op == OpKind::kNarrow && one.Int("axis") == 0 && one.Int("length") == 1;
      if (!part) return std::nullopt;
      way.push_back(last.operands[0]);
      index = one.Int("start");
      parts = one.operands[0];
    } else {
      return std::nullopt;
    }
    const Node& turn = at_.node(parts);
    if (turn.op != OpKind::kTranspose || turn.Ints("perm") != kPartsFirst) return std::nullopt;
    const Value apart = turn.operands[0];
    if (at_.node(apart).op != OpKind::kReshape) return std::nullopt;
    const Value rows = at_.node(apart).operands[0];
    const Shape &from = at_.type(rows).shape, &to = at_.type(apart).shape;
    if (from.size() != 3 || from[0] != to[0] || from[1] != to[1]) return std::nullopt;
    if (at_.type(heads).shape != Shape{to[0], to[3], to[1], to[4]}) return std::nullopt;
    const Dim width = to[3] * to[4];
    // A gather of a part that is not there fails the run, as it is.
    const bool inside = to[2].is_static() && index >= 0 && index < to[2].value();
    if (!width.is_static() || !inside) return std::nullopt;
    AddWhileAlone(way, nodes);
    return Rows{rows, index * width.value(), width.value()};
  }

  void AddWhileAlone(const std::vector<Value>& way, std::vector<NodeId>& nodes) const {
    for (const Value step : way) {
      if (at_.uses().OnlyUser(step) < 0) return;
      nodes.push_back(step.node);
    }
  }

  Raising at_;
};

}  // namespace

absl::Status JoinHeads(Graph& graph, PassContext& context) { return Joining(graph, context).Run(); }

extern const Pass kJoinHeadsPass = {
    .name = "join_heads",
    .run = JoinHeads,
    .needs = {OpKind::kAttention},
    .gate = "Attention",
    .fusion = true,
    .after = "raise_attention",
    .before = "fuse_attention_block",
    .why = "After attention was found between heads that were taken apart",
};

}  // namespace rlx::passes
