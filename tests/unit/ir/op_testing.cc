// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/ir/op_testing.h"

#include <cmath>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/text.h"

namespace rlx {
namespace {

std::string InputName(size_t i) { return Cat("in", i); }

// The case's operands as inputs of `b`.
std::vector<Value> Inputs(GraphBuilder& b, const OpCase& op_case) {
  std::vector<Value> inputs;
  for (const HostTensor& operand : op_case.operands) {
    inputs.push_back(b.Input(InputName(inputs.size()), operand.type()));
  }
  return inputs;
}

absl::StatusOr<std::vector<EvalTensor>> EvaluateOutputs(GraphBuilder& b, const OpCase& op_case,
                                                        const std::vector<Value>& outputs) {
  for (size_t i = 0; i < outputs.size(); ++i) b.Output(Cat("out", i), outputs[i]);
  RLX_TRY(b.status());
  TensorMap inputs;
  for (size_t i = 0; i < op_case.operands.size(); ++i) inputs[InputName(i)] = op_case.operands[i];
  return Evaluate(b.graph(), inputs);
}

HostTensor DrawTensor(const OpSample::Operand& operand, bool widen, Rng& rng) {
  const std::vector<int64_t> dims = operand.type.StaticDims();
  if (IsFloat(operand.type.dtype)) {
    const HostTensor wide = RandomF64(rng, dims, operand.low, operand.high);
    return widen ? wide : HostTensor::FromDoubles(operand.type.dtype, dims, wide.ToDoubles());
  }
  if (operand.type.dtype == DType::kC64) {
    std::vector<int64_t> parts = dims;
    parts.push_back(2);
    const HostTensor wide = RandomF64(rng, std::move(parts), operand.low, operand.high);
    return HostTensor::FromDoubles(DType::kC64, dims, wide.ToDoubles());
  }
  const auto low = static_cast<int64_t>(operand.low), high = static_cast<int64_t>(operand.high);
  std::vector<int64_t> values(*operand.type.NumElements());
  for (int64_t& value : values) {
    value = low + static_cast<int64_t>(rng() % static_cast<uint64_t>(high - low + 1));
  }
  return HostTensor::FromInts(operand.type.dtype, dims, values);
}

}  // namespace

HostTensor RandomF64(Rng& rng, std::vector<int64_t> dims, double low, double high) {
  int64_t size = 1;
  for (int64_t dim : dims) size *= dim;
  std::vector<double> values(size);
  for (double& value : values) {
    value = low + (high - low) * (static_cast<double>(rng() >> 11) * 0x1p-53);
  }
  return HostTensor::FromDoubles(DType::kF64, std::move(dims), values);
}

OpCase DrawCase(OpKind op, Rng& rng) {
  OpSample sample = Info(op).sample(rng);
  OpCase op_case{op, {}, std::move(sample.attrs), std::move(sample.subgraphs)};
  const bool widen = op_case.subgraphs.empty();
  for (const auto& operand : sample.operands) {
    op_case.operands.push_back(DrawTensor(operand, widen, rng));
  }
  return op_case;
}

absl::StatusOr<std::vector<EvalTensor>> EvalOp(const OpCase& op_case) {
  Graph graph;
  GraphBuilder b(graph);
  const std::vector<Value> inputs = Inputs(b, op_case);
  return EvaluateOutputs(b, op_case,
                         b.EmitAll(op_case.op, inputs, op_case.attrs, op_case.subgraphs));
}

absl::StatusOr<std::vector<EvalTensor>> EvalParts(const OpCase& op_case) {
  Graph whole;
  GraphBuilder w(whole);
  const std::vector<Value> results =
      w.EmitAll(op_case.op, Inputs(w, op_case), op_case.attrs, op_case.subgraphs);
  RLX_TRY(w.status());
  Graph graph;
  GraphBuilder b(graph);
  Node node = whole.node(results[0].node);
  node.operands = Inputs(b, op_case);
  RLX_ASSIGN(const std::vector<Value> parts, Info(op_case.op).decompose(b, node));
  if (parts.size() != node.results.size()) return Internal("wrong number of results");
  for (size_t i = 0; i < parts.size(); ++i) {
    if (b.type(parts[i]) == node.results[i]) continue;
    return Internal("result ", i, " is ", b.type(parts[i]), " where ", node.results[i],
                    " was inferred");
  }
  return EvaluateOutputs(b, op_case, parts);
}

absl::StatusOr<std::vector<TensorType>> InferOp(OpKind op, std::vector<TensorType> operands,
                                                std::vector<Attr> attrs) {
  Graph graph;
  GraphBuilder b(graph);
  std::vector<Value> inputs;
  for (TensorType& type : operands) {
    inputs.push_back(b.Input(InputName(inputs.size()), std::move(type)));
  }
  const std::vector<Value> results = b.EmitAll(op, inputs, std::move(attrs));
  RLX_TRY(b.status());
  return graph.node(results[0].node).results;
}

std::string WhyNot(OpKind op, std::vector<TensorType> operands, std::vector<Attr> attrs) {
  const auto types = InferOp(op, std::move(operands), std::move(attrs));
  return types.ok() ? "" : std::string(Message(types.status()));
}

TensorType F32(Shape shape) { return {DType::kF32, std::move(shape)}; }

std::string Describe(const OpCase& op_case) {
  Graph graph;
  GraphBuilder b(graph);
  b.EmitAll(op_case.op, Inputs(b, op_case), op_case.attrs, op_case.subgraphs);
  return Print(graph);
}

double MaxDifference(const EvalTensor& a, const EvalTensor& b) {
  if (a.dims != b.dims || a.dtype != b.dtype) return INFINITY;
  double most = 0;
  for (int64_t k = 0; k < a.size(); ++k) {
    if (std::isfinite(a.at(k)) != std::isfinite(b.at(k))) return INFINITY;
    if (std::isfinite(a.at(k))) most = std::max(most, std::abs(a.at(k) - b.at(k)));
  }
  return most;
}

}  // namespace rlx
