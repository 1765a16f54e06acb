// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/insert_q_dq.h"

#include <map>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"

//   v ─┬─ reader          v ─ quantize ─ dequantize ─┬─ reader
//      └─ output     =>                              └─ output
namespace rlx::passes {
namespace {

std::vector<Attr> AttrsOf(const Tap& tap, DType to) {
  std::vector<Attr> attrs = {{"scales", tap.scales}, {"zero_points", tap.zero_points}, {"to", to}};
  if (tap.axis) attrs.push_back({"axis", *tap.axis});
  return attrs;
}

// Appends the pair; returns what stands for the value.
absl::StatusOr<Value> Append(Graph& graph, const Tap& tap) {
  GraphBuilder b(graph);
  b.SetSources(graph.node(tap.value.node).sources);
  const DType real = graph.type(tap.value).dtype;
  const Value codes = b.Emit(OpKind::kQuantize, {tap.value}, AttrsOf(tap, tap.code));
  const Value reals = b.Emit(OpKind::kDequantize, {codes}, AttrsOf(tap, real));
  RLX_TRY(Annotate(b.status(), Cat("tap of ", tap.value)));
  return reals;
}

}  // namespace

absl::Status InsertQDq(Graph& graph, const std::vector<Tap>& record) {
  const int size = graph.size();
  Graph tapped = graph;
  std::map<Value, Value> stands_for;
  for (const Tap& tap : record) {
    if (tap.value.node >= size || !graph.Has(tap.value))
      return InvalidArgument("tap of ", tap.value, ": there is no such value");
    if (stands_for.contains(tap.value))
      return InvalidArgument("tap of ", tap.value, ": it is tapped already");
    RLX_ASSIGN(stands_for[tap.value], Append(tapped, tap));
  }
  const auto reroute = [&](Value& read) {
    const auto it = stands_for.find(read);
    if (it != stands_for.end()) read = it->second;
  };
  for (NodeId id = 0; id < size; ++id) {
    for (Value& operand : tapped.node(id).operands) reroute(operand);
  }
  const std::vector<Output> outputs = tapped.outputs();
  tapped.ClearOutputs();
  for (Output output : outputs) {
    reroute(output.value);
    tapped.AddOutput(std::move(output.name), output.value);
  }
  RLX_TRY(tapped.Normalize(/*keep_dead=*/true).status());
  graph = std::move(tapped);
  return absl::OkStatus();
}

}  // namespace rlx::passes
