// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/ops/attention.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/raise.h"

// Of x [b,h,s,d] with halves lo and hi:
//
//   concat(lo·cos - hi·sin, hi·cos + lo·sin)
//   x·cos + concat(-hi, lo)·sin, where cos and sin are made of concat(f, f)
//        =>  rope(x, cos, sin[, positions])
//
// The tables are rows for the sequence, rows chosen by positions, or rows for each batch.
namespace rlx::passes {
namespace {

constexpr Rule kRule("raise_rope");

// cos or sin as rope takes it.
struct Table {
  Value rows;  // whose elements are those of [p,n], with columns beyond n for whole tables
  Value positions = {};    // [s] or [b,s]; invalid: by place in the sequence
  bool per_batch = false;  // rows for each element of [b,s]
};

struct Turned {
  Value x;
  Value cos, sin;                  // as they multiply
  bool whole = false;              // cos and sin have columns for both halves
  std::vector<NodeId> nodes = {};  // the root first
};

class Ropes {
 public:
  Ropes(Graph& graph, PassContext& context) : at_(graph, context, kRule) {}

  absl::Status Run() {
    for (NodeId id = 0; id < at_.size(); ++id) {
      const OpKind op = at_.graph().node(id).op;
      const TensorType& type = at_.type({id, 0});
      if (type.rank() != 4 || !IsFloat(type.dtype) || at_.Taken(id)) continue;
      if (op == OpKind::kConcat) TryHalves(id);
      if (op == OpKind::kAdd) TryWhole(id);
    }
    return at_.Finish();
  }

 private:
  // The part of x from `start` on along its last axis: half of it.
  bool IsHalf(Value value, Value x, bool high) const {
    const Node& node = at_.node(value);
    if (node.op != OpKind::kNarrow || node.operands[0] != x || node.Int("axis") != 3) return false;
    const Dim& width = at_.type(x).shape[3];
    const int64_t half = node.Int("length");
    return width == Dim(2 * half) && node.Int("start") == (high ? half : 0);
  }

  static Value Other(const Node& node, Value operand) {
    return node.operands[0] == operand ? node.operands[1] : node.operands[0];
  }

  // What `value` multiplies by; invalid when it is no product with it.
  Value Factor(Value product, Value value) const {
    const Node& node = at_.node(product);
    if (node.op != OpKind::kMul || at_.type(product) != at_.type(value)) return {};
    if (node.operands[0] != value && node.operands[1] != value) return {};
    return Other(node, value);
  }

  void TryHalves(NodeId root) {
    const Node& join = at_.graph().node(root);
    if (join.operands.size() != 2 || join.Int("axis") != 3) return;
    const Value real = join.operands[0], imaginary = join.operands[1];
    const Node &difference = at_.node(real), &sum = at_.node(imaginary);
    if (difference.op != OpKind::kSub || sum.op != OpKind::kAdd) return;
    for (const Value lo : at_.node(difference.operands[0]).operands) {
      if (at_.node(lo).op != OpKind::kNarrow) continue;
      const Value x = at_.node(lo).operands[0];
      if (!IsHalf(lo, x, false) || at_.type(x) != at_.type({root, 0})) continue;
      for (const Value hi : at_.node(difference.operands[1]).operands) {
        if (!IsHalf(hi, x, true)) continue;
        Turned t{.x = x,
                 .cos = Factor(difference.operands[0], lo),
                 .sin = Factor(difference.operands[1], hi)};
        const bool turns = t.cos.valid() && t.sin.valid() &&
                           (IsSum(sum, hi, lo, t, 0) || IsSum(sum, hi, lo, t, 1));
        if (!turns) continue;
        t.nodes = {root,
                   real.node,
                   imaginary.node,
                   difference.operands[0].node,
                   difference.operands[1].node,
                   sum.operands[0].node,
                   sum.operands[1].node};
        for (const Value half : {lo, hi}) AddWhereInside(half, t);
        return Raise(t);
      }
    }
  }

  // hi·cos + lo·sin, the first at operand `side`.
  bool IsSum(const Node& sum, Value hi, Value lo, const Turned& t, size_t side) const {
    return Factor(sum.operands[side], hi) == t.cos && Factor(sum.operands[1 - side], lo) == t.sin;
  }

  // A half that nothing outside reads.
  void AddWhereInside(Value half, Turned& t) const {
    const auto uses = at_.uses().of(half);
    const bool inside = std::ranges::all_of(uses, [&](const Uses::Use& use) {
      return use.node >= 0 && std::ranges::count(t.nodes, use.node) > 0;
    });
    if (inside) t.nodes.push_back(half.node);
  }

  void TryWhole(NodeId root) {
    const Node& sum = at_.graph().node(root);
    for (size_t side = 0; side < 2; ++side) {
      const Value turned = sum.operands[side], straight = sum.operands[1 - side];
      if (at_.node(turned).op != OpKind::kMul || at_.node(straight).op != OpKind::kMul) return;
      for (const Value swapped : at_.node(turned).operands) {
        const Node& join = at_.node(swapped);
        if (join.op != OpKind::kConcat || join.operands.size() != 2 || join.Int("axis") != 3)
          continue;
        const Node& negative = at_.node(join.operands[0]);
        if (negative.op != OpKind::kNeg || at_.node(join.operands[1]).op != OpKind::kNarrow)
          continue;
        const Value lo = join.operands[1], hi = negative.operands[0];
        const Value x = at_.node(lo).operands[0];
        if (!IsHalf(lo, x, false) || !IsHalf(hi, x, true)) continue;
        Turned t{.x = x,
                 .cos = Factor(straight, x),
                 .sin = Factor(turned, swapped),
                 .whole = true,
                 .nodes = {root, turned.node, straight.node, swapped.node, join.operands[0].node}};
        if (!t.cos.valid() || !t.sin.valid()) continue;
        for (const Value half : {lo, hi}) AddWhereInside(half, t);
        return Raise(t);
      }
    }
  }

  // Whether the last axis is two times the same, by how the value is made.
  bool IsDoubled(Value value) const {
    for (int step = 0; step < 8; ++step) {
      const Node& node = at_.node(value);
      switch (node.op) {
        case OpKind::kConcat:
          return node.operands.size() == 2 && node.operands[0] == node.operands[1] &&
                 node.Int("axis") == at_.type(value).rank() - 1;
        case OpKind::kReshape: {
          const Shape &from = at_.type(node.operands[0]).shape, &to = at_.type(value).shape;
          if (from.empty() || to.empty() || from.back() != to.back()) return false;
          break;
        }
        case OpKind::kGather:
          if (node.Int("axis") == at_.type(node.operands[0]).rank() - 1) return false;
          break;
        case OpKind::kMul:
        case OpKind::kDiv:
          if (!UniformConstant(at_.graph(), node.operands[1])) return false;
          break;
        case OpKind::kCast:
        case OpKind::kCos:
        case OpKind::kSin:
          break;
        default:
          return false;
      }
      value = node.operands[0];
    }
    return false;
  }

  // [.., s, c], where x is [b,h,s,d] and c the columns that cos and sin have.
  std::optional<Table> ReadTable(Value value, const Turned& t) const {
    const Shape& x = at_.type(t.x).shape;
    const Dim columns = t.whole ? x[3] : FloorDiv(x[3], Dim(2));
    const Shape& own = at_.type(value).shape;
    const Dim rows[] = {x[2], columns};
    Value inner = value;
    while (at_.node(inner).op == OpKind::kReshape) inner = at_.node(inner).operands[0];
    const Node& chosen = at_.node(inner);
    if (chosen.op == OpKind::kGather && chosen.Int("axis") == 0 &&
        at_.type(chosen.operands[0]).rank() == 2 &&
        at_.type(chosen.operands[0]).shape[1] == columns) {
      const Shape& positions = at_.type(chosen.operands[1]).shape;
      const bool by_row = positions == Shape{x[2]} && IsRowOf(at_.type(value), rows);
      const bool by_batch =
          positions == Shape{x[0], x[2]} && own == Shape{x[0], Dim(1), x[2], columns};
      const DType index = at_.type(chosen.operands[1]).dtype;
      if ((by_row || by_batch) && (index == DType::kI32 || index == DType::kI64)) {
        return Table{.rows = chosen.operands[0], .positions = chosen.operands[1]};
      }
    }
    if (IsRowOf(at_.type(value), rows)) return Table{.rows = value};
    if (own == Shape{x[0], Dim(1), x[2], columns}) return Table{.rows = value, .per_batch = true};
    return std::nullopt;
  }

  void Raise(const Turned& t) {
    const Graph& graph = at_.graph();
    const NodeId root = t.nodes.front();
    const Dim width = at_.type(t.x).shape[3];
    if (!width.is_static() || at_.type(t.x) != at_.type({root, 0})) return;
    if (t.whole && (!IsDoubled(t.cos) || !IsDoubled(t.sin))) {
      return at_.Miss(Reason::kRopeNotRaised, root,
                      Cat(Label(graph, root), " turns by tables whose halves may differ"));
    }
    const auto cos = ReadTable(t.cos, t), sin = ReadTable(t.sin, t);
    const bool agree =
        cos && sin && cos->positions == sin->positions && cos->per_batch == sin->per_batch;
    if (!agree) {
      return at_.Miss(Reason::kRopeNotRaised, root,
                      Cat(Label(graph, root), " turns by ", at_.type(t.cos), " and ",
                          at_.type(t.sin), ", which are no rows for ", at_.type(t.x)));
    }
    Emit(t, *cos, *sin);
  }

  void Emit(const Turned& t, const Table& cos, const Table& sin) {
    const NodeId root = t.nodes.front();
    const TensorType x = at_.type(t.x);
    const int64_t half = x.shape[3].value() / 2;
    const Dim rows = cos.positions.valid() ? at_.type(cos.rows).shape[0]
                     : cos.per_batch       ? x.shape[0] * x.shape[2]
                                           : x.shape[2];
    const bool same_rows = !cos.positions.valid() || at_.type(sin.rows).shape[0] == rows;
    const TensorType table{x.dtype, {rows, half}};
    std::vector<TensorType> types = {x, table, table};
    if (cos.positions.valid()) types.push_back(at_.type(cos.positions));
    if (cos.per_batch) types.push_back({DType::kI64, {x.shape[0], x.shape[2]}});
    const std::vector<Attr> attrs = {{"head_dim", x.shape[3].value()}};
    if (cos.per_batch && !rows.is_static() && !at_.Accepts(OpKind::kCumsum)) return;
    if (!same_rows || at_.Refused(OpKind::kRope, types, attrs, root)) return;
    if (!at_.Free(t.nodes, {t.x, t.cos, t.sin}, "rope")) return;
    GraphBuilder& b = at_.Begin(
        t.nodes, Cat(Label(at_.graph(), root), " rotates ", Label(at_.graph(), t.x.node)));
    const auto flat = [&](Value v) {
      if (t.whole) v = b.Narrow(v, b.type(v).rank() - 1, 0, half);
      return b.type(v) == table ? v : b.Reshape(v, table.shape);
    };
    std::vector<Value> operands = {t.x, flat(cos.rows), flat(sin.rows)};
    if (cos.positions.valid()) operands.push_back(cos.positions);
    if (cos.per_batch) {
      operands.push_back(b.Reshape(Count(b, rows), {x.shape[0], x.shape[2]}));
    }
    at_.Replace(root, b.Emit(OpKind::kRope, std::move(operands), attrs));
  }

  // 0, 1, … rows-1.
  Value Count(GraphBuilder& b, const Dim& rows) const {
    if (at_.Accepts(OpKind::kCumsum)) return Iota(b, rows, DType::kI64);
    std::vector<int64_t> count(static_cast<size_t>(rows.value()));
    std::iota(count.begin(), count.end(), 0);
    return b.Constant(HostTensor::FromInts(DType::kI64, {rows.value()}, count));
  }

  Raising at_;
};

}  // namespace

absl::Status RaiseRope(Graph& graph, PassContext& context) { return Ropes(graph, context).Run(); }

extern const Pass kRaiseRopePass = {
    .name = "raise_rope",
    .run = RaiseRope,
    .needs = {OpKind::kConcat},
    .gate = "Rope",
    .fusion = true,
    .after = "raise_softmax",
    .why = "Before blocks, whose queries and keys rotate",
};

}  // namespace rlx::passes
