// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/donated.h"
#include "runtime/passes/linear.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   x [n,c,h,w] ─ conv ─ relu ─ conv   =>   x ─ transpose ─ fused_conv_bias_act ─ relu
//                                             ─ fused_conv_bias_act ─ transpose
//
// Every convolution of planes becomes one of rows, [n,h,w,c], and its result is handed on in both
// orders; who can work on rows takes those: other convolutions, pools, means over the planes, what
// goes element by element, concatenation of channels. An order that nobody reads is never made, so
// transposes are left only where something else reads or makes the planes.
namespace rlx::passes {
namespace {

constexpr Rule kRule("channels_last");

using Ints = std::vector<int64_t>;
const Ints kToPlanes = {0, 3, 1, 2};  // [n,h,w,c] to [n,c,h,w]
const Ints kToRows = {0, 2, 3, 1};    // and back

TensorType AsRows(const TensorType& type) {
  const Shape& s = type.shape;
  return {type.dtype, {s[0], s[2], s[3], s[1]}};
}

bool IsOne(const Dim& dim) { return dim.is_static() && dim.value() == 1; }

class ChannelsLastPass {
 public:
  ChannelsLastPass(Graph& graph, PassContext& context)
      : graph_(graph),
        context_(context),
        rewriter_(graph, context),
        fixed_(WeightOnly(graph)),
        donated_(DonatedInputs(graph)) {}

  absl::Status Run() {
    for (NodeId id = 0; id < rewriter_.size(); ++id) {
      if (!fixed_[id] && !ReadsDonated(id)) Visit(id);
    }
    return rewriter_.Finish();
  }

 private:
  // Who reads a donated input has to run before an output takes its buffer: it stays where it is.
  bool ReadsDonated(NodeId id) const {
    return std::ranges::any_of(graph_.node(id).operands, [&](Value v) { return donated_[v.node]; });
  }

  void Visit(NodeId id) {
    const OpKind op = graph_.node(id).op;
    if (op == OpKind::kConv) return Convolution(id);
    if (rows_.empty()) return;
    if (op == OpKind::kPool) return Pooling(id);
    if (op == OpKind::kReduceMean) return MeanOfPlanes(id);
    if (op == OpKind::kConcat) return Channels(id);
    if (IsElementwise(op)) return Pointwise(id);
  }

  // The value as rows, where it has been made so.
  Value Rows(Value v) const {
    const auto it = rows_.find(v);
    return it == rows_.end() ? Value() : it->second;
  }
  Value AnyRows(GraphBuilder& b, Value v) const {
    const Value rows = Rows(v);
    return rows.valid() ? rows : b.Transpose(v, kToRows);
  }
  void HandOn(NodeId id, GraphBuilder& b, Value rows) {
    rows_[{id, 0}] = rows;
    rewriter_.Replace({id, 0}, b.Transpose(rows, kToPlanes));
  }
  void Say(NodeId id, std::string_view what) {
    Applied(context_, kRule, graph_, {id}, Cat(Label(graph_, id), " ", what));
  }

  void Convolution(NodeId id) {
    const Node node = graph_.node(id);  // a copy: emitting moves nodes
    const bool bias = node.operands.size() == 3;
    if (graph_.type(node.operands[0]).rank() != 4) return;
    std::vector<Attr> attrs = node.attrs;
    attrs.push_back({"has_bias", bias});
    std::vector<TensorType> types;
    for (Value v : node.operands) types.push_back(graph_.type(v));
    types[0] = AsRows(types[0]);
    if (!WouldRun(context_, OpKind::kFusedConvBiasAct, types, attrs)) return;
    Say(id, "takes the channels of a place side by side");
    GraphBuilder& b = rewriter_.For({id});
    std::vector<Value> operands = node.operands;
    operands[0] = AnyRows(b, operands[0]);
    HandOn(id, b, b.Emit(OpKind::kFusedConvBiasAct, std::move(operands), std::move(attrs)));
  }

  bool WouldPool(Value x, const std::vector<Attr>& attrs) const {
    return context_.Accepts(Info(OpKind::kPoolChannelsLast).claim) &&
           WouldRun(context_, OpKind::kPoolChannelsLast, {graph_.type(x)}, attrs);
  }

  void Pooling(NodeId id) {
    const Node node = graph_.node(id);
    const Value x = Rows(node.operands[0]);
    if (!x.valid()) return;
    if (!WouldPool(x, node.attrs)) return;
    Say(id, "pools channels side by side");
    GraphBuilder& b = rewriter_.For({id});
    HandOn(id, b, b.Emit(OpKind::kPoolChannelsLast, {x}, node.attrs));
  }

  // A mean over whole planes is a pool with one window.
  void MeanOfPlanes(NodeId id) {
    const Node node = graph_.node(id);
    const Value x = Rows(node.operands[0]);
    if (!x.valid() || node.Ints("axes") != Ints{2, 3}) return;
    const Shape& shape = graph_.type(x).shape;
    if (!shape[1].is_static() || !shape[2].is_static()) return;
    const std::vector<Attr> attrs = {{"mode", std::string("mean")},
                                     {"kernel", Ints{shape[1].value(), shape[2].value()}},
                                     {"strides", Ints{1, 1}},
                                     {"pads", Ints{0, 0, 0, 0}}};
    if (!WouldPool(x, attrs)) return;
    Say(id, "is a pool with one window");
    GraphBuilder& b = rewriter_.For({id});
    const Value mean = b.Emit(OpKind::kPoolChannelsLast, {x}, attrs);
    if (node.Bool("keep_dims")) return HandOn(id, b, mean);
    rewriter_.Replace({id, 0}, b.Reshape(mean, node.results[0].shape));
  }

  void Channels(NodeId id) {
    const Node node = graph_.node(id);
    std::vector<Value> parts;
    for (Value v : node.operands) parts.push_back(Rows(v));
    if (node.Int("axis") != 1 || !std::ranges::all_of(parts, &Value::valid)) return;
    Say(id, "joins channels side by side");
    GraphBuilder& b = rewriter_.For({id});
    HandOn(id, b, b.Concat(std::move(parts), 3));
  }

  // How an operand that broadcasts against rows gets to them.
  enum class Way : uint8_t { kNone, kRows, kAsIs, kMoveChannels, kChannels, kTranspose };

  Way WayOf(Value v) const {
    if (Rows(v).valid()) return Way::kRows;
    const Shape& s = graph_.type(v).shape;
    if (std::ranges::all_of(s, IsOne) && s.size() < 4) return Way::kAsIs;
    if (s.size() == 4 && IsOne(s[2]) && IsOne(s[3])) return Way::kMoveChannels;
    if (s.size() == 3 && IsOne(s[1]) && IsOne(s[2])) return Way::kChannels;
    return s.size() == 4 && fixed_[v.node] ? Way::kTranspose : Way::kNone;
  }

  Value Bring(GraphBuilder& b, Value v, Way way) const {
    const Shape s = b.type(v).shape;
    switch (way) {
      case Way::kRows:
        return Rows(v);
      case Way::kMoveChannels:
        return b.Reshape(v, {s[0], 1, 1, s[1]});
      case Way::kChannels:
        return b.Reshape(v, {s[0]});
      case Way::kTranspose:
        return b.Transpose(v, kToRows);
      default:
        return v;
    }
  }

  void Pointwise(NodeId id) {
    const Node node = graph_.node(id);
    if (node.results.size() != 1 || node.results[0].rank() != 4) return;
    if (!node.subgraphs.empty()) return;  // a body is typed in planes
    std::vector<Way> ways;
    bool whole = false;  // some operand as large as the result comes as rows
    for (Value v : node.operands) {
      ways.push_back(WayOf(v));
      if (ways.back() == Way::kNone) return;
      whole |= ways.back() == Way::kRows && graph_.type(v).shape == node.results[0].shape;
    }
    if (!whole) return;
    GraphBuilder& b = rewriter_.For({id});
    std::vector<Value> operands;
    for (size_t i = 0; i < ways.size(); ++i) {
      operands.push_back(Bring(b, node.operands[i], ways[i]));
    }
    const std::vector<Value> made = b.Clone(node, std::move(operands));
    if (!made.empty()) HandOn(id, b, made[0]);
  }

  Graph& graph_;
  PassContext& context_;
  Rewriter rewriter_;
  const std::vector<bool> fixed_, donated_;
  std::map<Value, Value> rows_;  // of values of the graph as it was
};

}  // namespace

absl::Status ChannelsLast(Graph& graph, PassContext& context) {
  return ChannelsLastPass(graph, context).Run();
}

extern const Pass kChannelsLastPass = {
    .name = "channels_last",
    .run = ChannelsLast,
    .needs = {OpKind::kConv},
    .gate = "FusedConvBiasAct",
    .fusion = true,
    .after = "fuse_matmul_epilogue",
    .why = "After patterns over other ops; before convolutions take what follows them along",
};

}  // namespace rlx::passes
