// SPDX-License-Identifier: Apache-2.0
// Attention sums over keys: those in padding are masked, and their values are zero.
#include <limits>
#include <numeric>

#include "runtime/base/status.h"
#include "runtime/ir/ops/attention.h"
#include "runtime/passes/padding_rules.h"

namespace rlx::passes {
namespace {

struct AttentionAt {
  PaddedValue q, k, v;
  int64_t length_axis = 1;  // rank 3: [b,s,h·d]; rank 4: [b,h,s,d]

  const PaddedAxis& queries() const { return q.axes[length_axis]; }
  const PaddedAxis& keys() const { return k.axes[length_axis]; }
};

std::vector<int64_t> UpTo(size_t count) {
  std::vector<int64_t> all(count);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

// Whether query i sees key j, the last true rows aligned: bool [1, 1, q, k].
Value Sees(Padder& p, const AttentionAt& at) {
  GraphBuilder& b = p.build();
  const Node& node = p.bound();
  // The key that a query stands at: i + true keys - true queries.
  const Value own = b.Add(p.AlongAxis(p.Places(at.queries().capacity()), 2, 4),
                          b.Sub(p.Extent(at.keys().extent()), p.Extent(at.queries().extent())));
  const Value key = p.AlongAxis(p.Places(at.keys().capacity()), 3, 4);
  const Value causal = b.Emit(OpKind::kLe, {key, own});
  if (node.Str("mask") == "causal") return causal;
  const Value window = b.Scalar(DType::kI64, static_cast<double>(node.Int("window")));
  const Value recent = b.Emit(OpKind::kGe, {key, b.Sub(own, window)});
  return b.Emit(OpKind::kLogicalAnd, {causal, recent});
}

// The node with a keep mask in place of the mask it has.
std::vector<Value> EmitKeep(Padder& p, std::vector<Value> operands) {
  std::vector<Attr> attrs;
  for (const Attr& attr : p.bound().attrs) {
    if (attr.name == "window") continue;
    attrs.push_back(attr);
    if (attr.name == "mask") attrs.back().value = std::string("keep");
  }
  return p.build().EmitAll(OpKind::kAttention, std::move(operands), std::move(attrs));
}

// Both, or the one there is.
Value And(GraphBuilder& b, Value x, Value y) {
  if (!x.valid() || !y.valid()) return x.valid() ? x : y;
  return b.Emit(OpKind::kLogicalAnd, {x, y});
}

// The node, with keys in padding masked beside those that its own mask leaves out.
absl::StatusOr<std::vector<Value>> EmitMasked(Padder& p, const AttentionAt& at,
                                              std::vector<Value> operands) {
  GraphBuilder& b = p.build();
  const std::string& mask = p.bound().Str("mask");
  const bool by_place = mask == "causal" || mask == "sliding_window";
  // Queries and keys true in the same places: a true query sees no padding.
  const bool aligned = by_place && at.queries() == at.keys();
  const bool padded = at.keys().padded() || (by_place && at.queries().padded());
  if (aligned || !padded) {
    if (HasMaskOperand(p.bound())) operands.push_back(p.Operand(3).value);
    return p.Emit(std::move(operands));
  }
  const Value keys = at.keys().padded() ? p.AlongAxis(p.TruePlaces(at.keys()), 3, 4) : Value();
  if (mask == "bias") {  // minus infinity alone masks: any finite bias may be the row's greatest
    const Value bias = p.Operand(3).value;
    if (b.type(bias).dtype == DType::kFp8E4M3) {
      return FailedPrecondition("no bias in fp8_e4m3 masks a key");
    }
    constexpr double kMasked = -std::numeric_limits<double>::infinity();
    operands.push_back(b.Where(keys, bias, b.Scalar(b.type(bias).dtype, kMasked)));
    return p.Emit(std::move(operands));
  }
  Value own;
  if (by_place) own = Sees(p, at);
  if (mask == "keep") {
    const Value given = p.Operand(3).value;
    own = b.Reshape(given, MaskShape4(p.bound(), b.type(given).shape));
  }
  operands.push_back(And(b, own, keys));
  return EmitKeep(p, std::move(operands));
}

// Axes of a mask operand as [b, h, q, k]; a keep mask of rank 2 is [b, k].
PaddedAxes MaskAxes(const Node& node, PaddedAxes axes) {
  if (axes.size() == 2 && node.Str("mask") == "keep") return {axes[0], {}, {}, axes[1]};
  axes.insert(axes.begin(), 4 - axes.size(), PaddedAxis());
  return axes;
}

absl::Status CheckPlaces(const Padder& p, const AttentionAt& at) {
  for (const PaddedValue* x : {&at.q, &at.k, &at.v}) {
    for (size_t d = 1; d < x->axes.size(); ++d) {
      if (static_cast<int64_t>(d) != at.length_axis && x->axes[d].padded()) {
        return FailedPrecondition("its heads are padded");
      }
    }
    if (!x->axes[at.length_axis].prefix()) {
      return FailedPrecondition("its rows are true in ", ToString(x->axes[at.length_axis]));
    }
  }
  const PaddedAxis heads = at.length_axis == 2 ? at.q.axes[1] : PaddedAxis();
  std::vector<PaddedAxes> scores = {{at.q.axes[0], heads, at.queries(), at.keys()},
                                    {at.k.axes[0], {}, {}, at.v.axes[at.length_axis]},
                                    {at.v.axes[0], {}, {}, {}}};
  if (HasMaskOperand(p.bound())) {
    PaddedAxes mask = MaskAxes(p.bound(), p.Operand(3).axes);
    mask[1] = {};
    scores.push_back(std::move(mask));
  }
  return BroadcastAxes(scores).status();
}

// A position beyond the true rows of a padded table fails the run.
Value CheckedPositions(Padder& p, Value positions, const PaddedAxis& rows) {
  if (!rows.padded()) return positions;
  return p.build().Emit(OpKind::kGather,
                        {p.Places(rows.capacity()), positions, p.Extent(rows.extent())},
                        {{"axis", int64_t{0}}, {"of", std::string("rope")}});
}

}  // namespace

absl::Status PadAttention(Padder& p) {
  AttentionAt at{p.Operand(0), p.Operand(1), p.Operand(2)};
  if (at.q.axes.size() == 4) at.length_axis = 2;
  RLX_TRY(CheckPlaces(p, at));
  PaddedAxes axes = at.q.axes;
  const int64_t width = p.capacities().back();
  axes.back() = PaddedAxis(width, width);
  RLX_ASSIGN(const std::vector<Value> results,
             EmitMasked(p, at,
                        {at.q.value, p.Fill(at.k, {at.length_axis}, 0),
                         p.Fill(at.v, {at.length_axis}, 0)}));
  RLX_TRY(p.build().status());
  p.SetResult(0, results[0], std::move(axes));
  return absl::OkStatus();
}

// Rows of the tables are chosen by place, or by positions, of which those in padding may be
// anything.
absl::Status PadRope(Padder& p) {
  const PaddedValue x = p.Operand(0);
  const size_t rows = x.axes.size() - 2;
  for (size_t d = 1; d < x.axes.size(); ++d) {
    if (d != rows && x.axes[d].padded()) return FailedPrecondition("its heads are padded");
  }
  std::vector<Value> operands = {x.value, p.Operand(1).value, p.Operand(2).value};
  for (size_t i : {1, 2}) {
    if (!p.Operand(i).axes[0].prefix()) return FailedPrecondition("its tables are torn");
  }
  if (p.operands() > 3) {
    const PaddedValue positions = p.Operand(3);
    RLX_TRY(BroadcastAxes({{x.axes[0], x.axes[rows]}, positions.axes}).status());
    const Value safe = p.Fill(positions, UpTo(positions.axes.size()), 0);
    operands.push_back(CheckedPositions(p, safe, p.Operand(1).axes[0]));
  } else if (!x.axes[rows].prefix()) {
    return FailedPrecondition("its rows are true in ", ToString(x.axes[rows]));
  }
  p.SetResult(0, p.Emit(std::move(operands))[0], x.axes);
  return absl::OkStatus();
}

}  // namespace rlx::passes
