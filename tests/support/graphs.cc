// SPDX-License-Identifier: Apache-2.0
#include "tests/support/graphs.h"

#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/text.h"
#include "runtime/ir/verify.h"

namespace rlx::test {

Graph ParseGraph(std::string_view text) {
  auto module = ParseModule(text);
  EXPECT_TRUE(module.ok()) << Message(module.status());
  if (!module.ok()) return {};
  const absl::Status sound = Verify(*module);
  EXPECT_TRUE(sound.ok()) << Message(sound);
  return sound.ok() ? std::move(module->graph) : Graph{};
}

Graph SampleGraph(const OpInfo& info, const OpSample& sample) {
  Graph graph;
  GraphBuilder b(graph);
  std::vector<Value> operands;
  for (const OpSample::Operand& operand : sample.operands)
    operands.push_back(b.Input(Cat("x", operands.size()), operand.type));
  const std::vector<Value> results = b.EmitAll(info.kind, operands, sample.attrs, sample.subgraphs);
  for (size_t i = 0; i < results.size(); ++i) b.Output(Cat("y", i), results[i]);
  EXPECT_TRUE(b.status().ok()) << Message(b.status());
  return graph;
}

TensorMap SampleInputs(const OpSample& sample, Rng& rng) {
  TensorMap inputs;
  for (const auto& [type, low, high] : sample.operands) {
    std::string name = Cat("x", inputs.size());
    inputs.emplace(std::move(name), RandomTensor(type, low, high, rng));
  }
  return inputs;
}

HostTensor RandomTensor(const TensorType& type, double low, double high, Rng& rng) {
  const auto count = static_cast<size_t>(*type.NumElements());
  if (IsExact(type.dtype)) {
    std::vector<int64_t> values(count);
    const auto span = static_cast<uint64_t>(high - low) + 1;
    for (int64_t& value : values)
      value = static_cast<int64_t>(low) + static_cast<int64_t>(rng() % span);
    return HostTensor::FromInts(type.dtype, type.StaticDims(), values);
  }
  std::vector<double> values(type.dtype == DType::kC64 ? 2 * count : count);
  for (double& value : values)
    value = low + (high - low) * static_cast<double>(rng() >> 11) * 0x1p-53;
  return HostTensor::FromDoubles(type.dtype, type.StaticDims(), values);
}

absl::StatusOr<Graph> Decompose(const Graph& graph, NodeId id) {
  Graph out = graph;
  GraphBuilder b(out);
  const Node& node = graph.node(id);
  RLX_ASSIGN(const std::vector<Value> values, Info(node.op).decompose(b, node));
  RLX_TRY(b.status());
  for (size_t i = 0; i < values.size(); ++i)
    out.ReplaceUses({id, static_cast<int32_t>(i)}, values[i]);
  RLX_TRY(out.Normalize().status());
  return out;
}

}  // namespace rlx::test
