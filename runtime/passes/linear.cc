// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/linear.h"

#include <algorithm>
#include <set>

#include "runtime/base/text.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/epilogue.h"

namespace rlx::passes {
namespace {

std::optional<Linear> ReadProduct(const Graph& graph, Value value) {
  const Node& node = graph.node(value.node);
  if (node.op == OpKind::kMatMul) {
    if (graph.type(node.operands[1]).rank() != 2) return std::nullopt;
    return Linear{.x = node.operands[0], .w = node.operands[1], .bias = {}, .nodes = {value.node}};
  }
  if (node.op != OpKind::kFusedMatMulBiasAct || node.Bool("has_residual")) return std::nullopt;
  return Linear{.x = node.operands[0],
                .w = node.operands[1],
                .bias = node.Bool("has_bias") ? node.operands[2] : Value{},
                .activation = node.Str("activation"),
                .nodes = {value.node}};
}

std::optional<Linear> ReadSum(const Graph& graph, Value value) {
  const Node& node = graph.node(value.node);
  if (node.op != OpKind::kAdd) return ReadProduct(graph, value);
  for (size_t side = 0; side < 2; ++side) {
    const Value bias = node.operands[1 - side];
    if (graph.node(node.operands[side].node).op != OpKind::kMatMul) continue;
    std::optional<Linear> product = ReadProduct(graph, node.operands[side]);
    if (!product || !IsRow(graph.type(bias), node.results[0].shape.back())) continue;
    if (graph.type(node.operands[side]) != node.results[0]) continue;  // the bias stretches it
    product->bias = bias;
    product->nodes.insert(product->nodes.begin(), value.node);
    return product;
  }
  return std::nullopt;
}

}  // namespace

bool IsRow(const TensorType& bias, const Dim& n) {
  for (int d = 0; d + 1 < bias.rank(); ++d) {
    if (bias.shape[d] != Dim(1)) return false;
  }
  return bias.rank() >= 1 && bias.shape.back() == n;
}

std::optional<Linear> ReadProjection(const Graph& graph, Value value) {
  std::optional<Linear> linear = ReadSum(graph, value);
  if (linear && linear->activation != "none") return std::nullopt;
  return linear;
}

std::optional<Linear> ReadLinear(const Graph& graph, Value value) {
  const Node& node = graph.node(value.node);
  if (!IsEpilogueActivation(node.op)) return ReadSum(graph, value);
  std::optional<Linear> linear = ReadProjection(graph, node.operands[0]);
  if (!linear) return std::nullopt;
  linear->activation = Name(node.op);
  linear->nodes.insert(linear->nodes.begin(), value.node);
  return linear;
}

std::optional<Leak> FindLeak(const Graph& graph, const Uses& uses,
                             const std::vector<NodeId>& nodes) {
  const std::set<NodeId> inside(nodes.begin(), nodes.end());
  for (NodeId id : inside) {
    if (id == nodes.front()) continue;
    for (int32_t r = 0; r < static_cast<int32_t>(graph.node(id).results.size()); ++r) {
      for (const Uses::Use& use : uses.of({id, r})) {
        if (use.node < 0) {
          return Leak{Reason::kGraphOutput, id,
                      Cat(Label(graph, id), " is an output of the module")};
        }
        if (inside.count(use.node) > 0) continue;
        return Leak{Reason::kMultiConsumer, id,
                    Cat(Label(graph, id), " is read by ", Label(graph, use.node), " too")};
      }
    }
  }
  return std::nullopt;
}

bool WouldRun(const PassContext& context, OpKind op, const std::vector<TensorType>& operands,
              const std::vector<Attr>& attrs) {
  Graph probe;
  GraphBuilder b(probe);
  std::vector<Value> inputs;
  for (const TensorType& type : operands) inputs.push_back(b.Input("", type));
  const Value made = b.Emit(op, std::move(inputs), attrs);
  if (!b.status().ok()) return false;
  const auto is_static = [](const TensorType& type) { return type.is_static(); };
  if (!std::ranges::all_of(operands, is_static)) return true;  // asked again once it is bound
  return !context.runs || context.runs(probe, made.node);
}

}  // namespace rlx::passes
