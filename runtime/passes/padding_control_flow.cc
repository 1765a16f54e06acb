// SPDX-License-Identifier: Apache-2.0
// Branches and loops: their graphs are padded as the graph around them is, and are given the
// extents they ask for as captures. A scan along a padded axis has as many turns as the axis has
// places; in those that are not true
//
//   scan(c.., captures.., xs..) { body }   =>   scan(c.., t, captures.., xs..) {
//                                                 if(t < extent, ..) { body } { c.., 0.. }; t + 1 }
//
// carries stay as they are, and nothing that lies in padding is looked at.
#include "runtime/base/status.h"
#include "runtime/passes/inline.h"
#include "runtime/passes/padding_rules.h"

namespace rlx::passes {
namespace {

using Axes = std::vector<PaddedAxes>;
using Values = std::vector<Value>;

// The operands from `first` on.
struct Given {
  Values values;
  Axes axes;

  explicit Given(const Padder& p, size_t first = 0) {
    for (size_t i = first; i < p.operands(); ++i) {
      values.push_back(p.Operand(i).value);
      axes.push_back(p.Operand(i).axes);
    }
  }
};

absl::StatusOr<PaddedBody> BodyOf(const Padder& p, size_t which, const Axes& inputs) {
  return PadBody(*p.symbolic().subgraphs[which], *p.bound().subgraphs[which], inputs);
}

void TakeExtentsOf(Padder& p, const PaddedBody& body, Values& operands) {
  for (const Dim& dim : body.extents) operands.push_back(p.Extent(dim));
}

// The body with more inputs, which it does not read: `before` and `behind` the extents that it asks
// for stand those of the node's other body.
std::shared_ptr<const Graph> Among(Padder& p, const PaddedBody& body, size_t own, size_t before,
                                   size_t behind) {
  Graph graph;
  GraphBuilder b(graph);
  Values inputs;
  const std::vector<NodeId> leaves = body.graph.inputs();
  const TensorType extent{DType::kI64, {}};
  for (size_t i = 0; i < own; ++i) inputs.push_back(b.Input("", body.graph.type({leaves[i], 0})));
  for (size_t i = 0; i < before; ++i) b.Input("", extent);
  for (size_t i = own; i < leaves.size(); ++i) inputs.push_back(b.Input("", extent));
  for (size_t i = 0; i < behind; ++i) b.Input("", extent);
  for (Value made : Inline(b, body.graph, inputs)) b.Output("", made);
  if (!b.status().ok()) p.build().Fail(b.status());
  return std::make_shared<const Graph>(std::move(graph));
}

// Carries are true where they were, turn after turn.
absl::Status RequireSameCarries(const Axes& before, const Axes& after, size_t carries) {
  for (size_t i = 0; i < carries; ++i) {
    if (before[i] != after[i]) return FailedPrecondition("a turn moves what is true of carry ", i);
  }
  return absl::OkStatus();
}

void SetResults(Padder& p, const Values& made, const Axes& axes) {
  for (size_t r = 0; r < p.bound().results.size() && r < made.size(); ++r) {
    p.SetResult(r, made[r], axes[r]);
  }
}

// The node over two padded graphs.
Values EmitPair(Padder& p, const PaddedBody& first, const PaddedBody& second, size_t own,
                Values operands) {
  TakeExtentsOf(p, first, operands);
  TakeExtentsOf(p, second, operands);
  const size_t a = first.extents.size(), b = second.extents.size();
  auto graphs = {Among(p, first, own, 0, b), Among(p, second, own, a, 0)};
  return p.build().EmitAll(p.bound().op, std::move(operands), p.bound().attrs, graphs);
}

// --- scan

struct Scan {
  size_t carries, first_sequence, operands;
  explicit Scan(const Padder& p)
      : carries(static_cast<size_t>(p.bound().Int("carries"))),
        first_sequence(p.operands() - static_cast<size_t>(p.bound().Int("sequences"))),
        operands(p.operands()) {}
};

// What a turn beyond the end makes: carries as they were, and stacks of zeroes.
std::shared_ptr<const Graph> Idle(Padder& p, const PaddedBody& body, size_t carries) {
  Graph graph;
  GraphBuilder b(graph);
  Values inputs;
  for (NodeId id : body.graph.inputs()) inputs.push_back(b.Input("", body.graph.type({id, 0})));
  const std::vector<Output>& outputs = body.graph.outputs();
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorType& type = body.graph.type(outputs[i].value);
    b.Output("", i < carries ? inputs[i] : b.Expand(b.Scalar(type.dtype, 0), type.shape));
  }
  if (!b.status().ok()) p.build().Fail(b.status());
  return std::make_shared<const Graph>(std::move(graph));
}

// The scan's body: its inputs are the carries, with `padded` the turn, the captures, the extents
// (with `padded` the number of true turns first), the slices.
std::shared_ptr<const Graph> ScanBody(Padder& p, const Scan& scan, const PaddedBody& body,
                                      bool padded) {
  Graph graph;
  GraphBuilder b(graph);
  const std::vector<NodeId> leaves = body.graph.inputs();
  const TensorType count{DType::kI64, {}};
  Values inputs(leaves.size());
  const auto take = [&](size_t from, size_t to) {
    for (size_t i = from; i < to; ++i) inputs[i] = b.Input("", body.graph.type({leaves[i], 0}));
  };
  Value turn, turns;
  take(0, scan.carries);
  if (padded) turn = b.Input("", count);
  take(scan.carries, scan.first_sequence);
  if (padded) turns = b.Input("", count);
  take(scan.operands, leaves.size());
  take(scan.first_sequence, scan.operands);
  Values made;
  if (padded) {
    Values operands = {b.Emit(OpKind::kLt, {turn, turns})};
    operands.insert(operands.end(), inputs.begin(), inputs.end());
    made = b.EmitAll(OpKind::kIf, std::move(operands), {},
                     {std::make_shared<const Graph>(body.graph), Idle(p, body, scan.carries)});
  } else {
    made = Inline(b, body.graph, inputs);
  }
  for (size_t i = 0; i < made.size(); ++i) {
    if (padded && i == scan.carries) b.Output("", b.Add(turn, b.Scalar(DType::kI64, 1)));
    b.Output("", made[i]);
  }
  if (padded && made.size() == scan.carries) {
    b.Output("", b.Add(turn, b.Scalar(DType::kI64, 1)));
  }
  if (!b.status().ok()) p.build().Fail(b.status());
  return std::make_shared<const Graph>(std::move(graph));
}

}  // namespace

absl::Status PadIf(Padder& p) {
  const Given given(p, 1);
  RLX_ASSIGN(const PaddedBody yes, BodyOf(p, 0, given.axes));
  RLX_ASSIGN(const PaddedBody no, BodyOf(p, 1, given.axes));
  if (yes.outputs != no.outputs) return FailedPrecondition("its branches are true in other places");
  Values operands = {p.Operand(0).value};
  operands.insert(operands.end(), given.values.begin(), given.values.end());
  SetResults(p, EmitPair(p, yes, no, given.values.size(), std::move(operands)), yes.outputs);
  return absl::OkStatus();
}

absl::Status PadWhile(Padder& p) {
  const Given given(p);
  RLX_ASSIGN(const PaddedBody condition, BodyOf(p, 0, given.axes));
  RLX_ASSIGN(const PaddedBody body, BodyOf(p, 1, given.axes));
  RLX_TRY(RequireSameCarries(given.axes, body.outputs, body.outputs.size()));
  SetResults(p, EmitPair(p, condition, body, given.values.size(), given.values), body.outputs);
  return absl::OkStatus();
}

absl::Status PadScan(Padder& p) {
  const Scan scan(p);
  const Dim length = p.symbolic().Dims("length")[0];
  const int64_t places = p.bound().Dims("length")[0].value();
  const bool padded = !length.is_static();
  const PaddedAxis along(length, places);
  Given given(p);
  for (size_t i = scan.first_sequence; i < scan.operands; ++i) {
    if (given.axes[i][0] != along)
      return FailedPrecondition("sequence ", i, " is true in ", ToString(given.axes[i][0]));
    given.axes[i].erase(given.axes[i].begin());
  }
  RLX_ASSIGN(PaddedBody body, BodyOf(p, 0, given.axes));
  RLX_TRY(RequireSameCarries(given.axes, body.outputs, scan.carries));
  const auto at = [](Values& values, size_t i) { return values.begin() + static_cast<int64_t>(i); };
  Values operands(given.values.begin(), at(given.values, scan.first_sequence));
  if (padded) {
    operands.insert(at(operands, scan.carries), p.build().Scalar(DType::kI64, 0));
    operands.push_back(p.Extent(length));
  }
  TakeExtentsOf(p, body, operands);
  operands.insert(operands.end(), at(given.values, scan.first_sequence), given.values.end());
  std::vector<Attr> attrs = p.bound().attrs;
  for (Attr& attr : attrs) {
    if (attr.name == "carries") attr.value = static_cast<int64_t>(scan.carries + (padded ? 1 : 0));
  }
  Values made = p.build().EmitAll(OpKind::kScan, std::move(operands), std::move(attrs),
                                  {ScanBody(p, scan, body, padded)});
  RLX_TRY(p.build().status());
  if (padded) made.erase(at(made, scan.carries));
  for (size_t r = scan.carries; r < body.outputs.size(); ++r) {
    body.outputs[r].insert(body.outputs[r].begin(), along);
  }
  SetResults(p, made, body.outputs);
  return absl::OkStatus();
}

}  // namespace rlx::passes
