// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/evaluate.h"

#include "runtime/base/checked.h"
#include "runtime/base/status.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"

namespace rlx {
namespace {

// How often each node is read, so that values go when nobody needs them any more.
std::vector<int> ReadCounts(const Graph& graph) {
  std::vector<int> counts(graph.size());
  for (const Node& node : graph.nodes())
    for (Value operand : node.operands) ++counts[operand.node];
  for (const Output& output : graph.outputs()) ++counts[output.value.node];
  return counts;
}

// Runs the nodes in order; `leaf(id)` gives the value of an input or param.
template <class LeafValue>
absl::StatusOr<std::vector<EvalTensor>> Run(const Graph& graph, LeafValue&& leaf) {
  std::vector<std::vector<EvalTensor>> values(graph.size());
  std::vector<int> reads = ReadCounts(graph);
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    if (node.op == OpKind::kInput || node.op == OpKind::kParam) {
      RLX_ASSIGN(EvalTensor value, leaf(id));
      values[id].push_back(std::move(value));
      continue;
    }
    std::vector<const EvalTensor*> operands;
    for (Value operand : node.operands) operands.push_back(&values[operand.node][operand.result]);
    auto results = EvaluateNode(node, std::move(operands));
    if (!results.ok()) return Annotate(results.status(), NodeLabel(graph, id));
    values[id] = *std::move(results);
    for (Value operand : node.operands)
      if (--reads[operand.node] == 0) values[operand.node].clear();
  }
  std::vector<EvalTensor> outputs;
  for (const Output& output : graph.outputs())
    outputs.push_back(values[output.value.node][output.value.result]);
  return outputs;
}

}  // namespace

int64_t EvalTensor::size() const {
  int64_t elements = 1;  // of a value in memory
  for (int64_t dim : dims) elements *= dim;
  return elements;
}

EvalTensor EvalTensor::Zeros(DType dtype, std::vector<int64_t> dims) {
  EvalTensor tensor{dtype, std::move(dims), {}, {}};
  const auto count = static_cast<size_t>(tensor.size());
  if (IsExact(dtype))
    tensor.i.resize(count);
  else
    tensor.f.resize(dtype == DType::kC64 ? 2 * count : count);
  return tensor;
}

EvalTensor EvalTensor::From(const HostTensor& tensor) {
  if (IsExact(tensor.dtype())) return {tensor.dtype(), tensor.dims(), {}, tensor.ToInts()};
  return {tensor.dtype(), tensor.dims(), tensor.ToDoubles(), {}};
}

HostTensor EvalTensor::ToHost() const {
  return IsExact(dtype) ? HostTensor::FromInts(dtype, dims, i)
                        : HostTensor::FromDoubles(dtype, dims, f);
}

absl::StatusOr<std::vector<EvalTensor>> EvaluateNode(const Node& node,
                                                     std::vector<const EvalTensor*> operands) {
  const OpInfo& info = Info(node.op);
  if (info.evaluate == nullptr) return InvalidArgument("has no value of its own");
  std::vector<EvalTensor> results;
  for (const TensorType& type : node.results) {
    if (!type.ByteSize()) return InvalidArgument("result ", type, " has no static size");
    results.push_back(EvalTensor::Zeros(type.dtype, type.StaticDims()));
  }
  EvalContext context{node, std::move(operands), results};
  RLX_TRY(info.evaluate(context));
  return results;
}

absl::StatusOr<std::vector<EvalTensor>> Evaluate(const Graph& graph, const TensorMap& inputs) {
  return Run(graph, [&](NodeId id) -> absl::StatusOr<EvalTensor> {
    const Node& node = graph.node(id);
    const auto found = inputs.find(node.name);
    if (found == inputs.end()) return InvalidArgument(NodeLabel(graph, id), " has no value");
    if (found->second.type() != node.results[0])
      return InvalidArgument(NodeLabel(graph, id), " is ", node.results[0], ", got ",
                             found->second.type());
    return EvalTensor::From(found->second);
  });
}

absl::StatusOr<std::vector<EvalTensor>> EvaluatePositional(
    const Graph& graph, const std::vector<const EvalTensor*>& inputs) {
  size_t next = 0;
  return Run(graph, [&](NodeId id) -> absl::StatusOr<EvalTensor> {
    if (next == inputs.size()) return InvalidArgument(NodeLabel(graph, id), " has no value");
    return *inputs[next++];
  });
}

}  // namespace rlx
