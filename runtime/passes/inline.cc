// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/inline.h"

#include <set>

#include "runtime/base/status.h"
#include "runtime/ir/verify.h"
#include "runtime/passes/guard.h"

namespace rlx::passes {
namespace {

// Nodes get the builder's sources unless they carry their own.
std::vector<Value> Append(GraphBuilder& builder, const Node& node, std::vector<Value> operands) {
  return node.sources.empty()
             ? builder.EmitAll(node.op, std::move(operands), node.attrs, node.subgraphs)
             : builder.Clone(node, std::move(operands));
}

std::vector<Value> AppendGuarded(GraphBuilder& builder, Node node, std::vector<Value> operands,
                                 Value on) {
  node.operands = std::move(operands);
  Guard(builder, on, node);
  return Append(builder, node, node.operands);
}

// Appends what is no leaf of the signature; `made` says what the leaves are.
std::vector<Value> InlineNodes(GraphBuilder& builder, const Graph& body,
                               std::vector<std::vector<Value>> made, Value on = {}) {
  for (NodeId id = 0; id < body.size(); ++id) {
    if (!made[id].empty()) continue;
    const Node& node = body.node(id);
    std::vector<Value> mapped;
    for (Value v : node.operands) mapped.push_back(made[v.node][v.result]);
    made[id] = on.valid() && MayFail(node) ? AppendGuarded(builder, node, std::move(mapped), on)
                                           : Append(builder, node, std::move(mapped));
    if (!builder.status().ok()) return {};
  }
  std::vector<Value> outputs;
  for (const Output& output : body.outputs()) {
    outputs.push_back(made[output.value.node][output.value.result]);
  }
  return outputs;
}

absl::Status CheckBound(GraphBuilder& builder, const Graph& source, NodeId leaf, Value value) {
  const TensorType& want = source.node(leaf).results[0];
  if (builder.graph().Has(value) && builder.type(value) == want) return absl::OkStatus();
  return InvalidArgument(NodeLabel(source, leaf), " is ", want, " and is bound to ",
                         builder.graph().Has(value) ? Cat(builder.type(value)) : "nothing");
}

}  // namespace

std::vector<Value> Inline(GraphBuilder& builder, const Graph& body,
                          const std::vector<Value>& operands, Value on) {
  std::vector<std::vector<Value>> made(body.size());
  size_t next_input = 0;
  for (NodeId id : body.inputs()) made[id] = {operands[next_input++]};
  return InlineNodes(builder, body, std::move(made), on);
}

absl::StatusOr<std::vector<Value>> InlineInto(GraphBuilder& builder, const Graph& source,
                                              const std::map<std::string, Value>& bindings) {
  std::vector<std::vector<Value>> made(source.size());
  std::set<std::string> used;
  for (NodeId id = 0; id < source.size(); ++id) {
    const Node& node = source.node(id);
    if (node.op != OpKind::kInput && node.op != OpKind::kParam) continue;
    const auto bound = bindings.find(node.name);
    if (bound != bindings.end()) {
      RLX_TRY(CheckBound(builder, source, id, bound->second));
      used.insert(node.name);
      made[id] = {bound->second};
    } else if (node.op == OpKind::kParam) {
      made[id] = {builder.Param(node.name, node.results[0])};
    } else {
      return InvalidArgument(NodeLabel(source, id), ": input \"", node.name,
                             "\" is bound to nothing");
    }
  }
  for (const auto& [name, value] : bindings) {
    if (used.count(name) == 0) return InvalidArgument("nothing to bind is called \"", name, "\"");
  }
  for (const auto& [name, range] : source.symbols) builder.graph().symbols.emplace(name, range);
  builder.graph().AddConstraints(source.constraints);
  std::vector<Value> outputs = InlineNodes(builder, source, std::move(made));
  RLX_TRY(builder.status());
  return outputs;
}

}  // namespace rlx::passes
