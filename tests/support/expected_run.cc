// SPDX-License-Identifier: Apache-2.0
#include "tests/support/expected_run.h"

#include <algorithm>
#include <memory>

#include "runtime/base/status.h"
#include "runtime/base/text.h"

namespace rlx::test {
namespace {

// A value, or why there is none.
using Result = absl::StatusOr<std::shared_ptr<const EvalTensor>>;
using Results = std::vector<Result>;

Result Made(EvalTensor tensor) { return std::make_shared<const EvalTensor>(std::move(tensor)); }

Results RunGraph(const Graph& graph, const Results& inputs);

Results Failed(const absl::Status& status, size_t count) { return Results(count, Result(status)); }

// Ops without graphs of their own depend on all that they read.
Results RunOp(const Node& node, const Results& operands) {
  std::vector<const EvalTensor*> values;
  for (const Result& operand : operands) {
    if (!operand.ok()) return Failed(operand.status(), node.results.size());
    values.push_back(operand->get());
  }
  auto made = EvaluateNode(node, std::move(values));
  if (!made.ok()) return Failed(made.status(), node.results.size());
  Results results;
  for (EvalTensor& tensor : *made) results.push_back(Made(std::move(tensor)));
  return results;
}

Results RunIf(const Node& node, const Results& operands) {
  const Result& predicate = operands[0];
  if (!predicate.ok()) return Failed(predicate.status(), node.results.size());
  const int branch = (*predicate)->i[0] != 0 ? 0 : 1;
  return RunGraph(*node.subgraphs[branch], Results(operands.begin() + 1, operands.end()));
}

Results RunWhile(const Node& node, const Results& operands) {
  const int64_t most = node.Int("max_iterations");
  const bool must_end = node.Bool("must_end");
  Results values = operands;
  for (int64_t step = 0; step < most || must_end; ++step) {
    const Result holds = RunGraph(*node.subgraphs[0], values)[0];
    if (!holds.ok()) return Failed(holds.status(), node.results.size());
    if ((*holds)->i[0] == 0) break;
    if (step == most) return Failed(InvalidArgument("does not end"), node.results.size());
    Results next = RunGraph(*node.subgraphs[1], values);
    std::move(next.begin(), next.end(), values.begin());
  }
  values.resize(node.results.size(), absl::UnknownError(""));
  return values;
}

// Elements [first, first + size) of a row-major tensor as one of `dims`.
EvalTensor Part(const EvalTensor& x, int64_t first, std::vector<int64_t> dims) {
  EvalTensor part = EvalTensor::Zeros(x.dtype, std::move(dims));
  const int64_t width = x.dtype == DType::kC64 ? 2 : 1;
  if (x.i.empty())
    std::copy_n(x.f.begin() + first * width, part.f.size(), part.f.begin());
  else
    std::copy_n(x.i.begin() + first, part.i.size(), part.i.begin());
  return part;
}

Result Slice(const Result& x, int64_t t) {
  if (!x.ok()) return x;
  const std::vector<int64_t> dims((*x)->dims.begin() + 1, (*x)->dims.end());
  const int64_t size = (*x)->dims[0] == 0 ? 0 : (*x)->size() / (*x)->dims[0];
  return Made(Part(**x, t * size, dims));
}

Result Stack(const Results& slices) {
  EvalTensor all;
  for (const Result& slice : slices) {
    if (!slice.ok()) return slice;
    all.dtype = (*slice)->dtype;
    all.dims = (*slice)->dims;
    all.f.insert(all.f.end(), (*slice)->f.begin(), (*slice)->f.end());
    all.i.insert(all.i.end(), (*slice)->i.begin(), (*slice)->i.end());
  }
  all.dims.insert(all.dims.begin(), static_cast<int64_t>(slices.size()));
  return Made(std::move(all));
}

Results RunScan(const Node& node, const Results& operands) {
  const auto carries = static_cast<size_t>(node.Int("carries"));
  const size_t first = operands.size() - static_cast<size_t>(node.Int("sequences"));
  Results inputs = operands;
  std::vector<Results> stacks(node.results.size() - carries);
  for (int64_t t = 0; t < node.Dims("length")[0].value(); ++t) {
    for (size_t i = first; i < inputs.size(); ++i) inputs[i] = Slice(operands[i], t);
    const Results made = RunGraph(*node.subgraphs[0], inputs);
    std::copy_n(made.begin(), carries, inputs.begin());
    for (size_t s = 0; s < stacks.size(); ++s) stacks[s].push_back(made[carries + s]);
  }
  Results results(inputs.begin(), inputs.begin() + static_cast<int64_t>(carries));
  for (const Results& stack : stacks) results.push_back(Stack(stack));
  return results;
}

Results RunNode(const Node& node, const Results& operands) {
  switch (node.op) {
    case OpKind::kIf:
      return RunIf(node, operands);
    case OpKind::kWhile:
      return RunWhile(node, operands);
    case OpKind::kScan:
      return RunScan(node, operands);
    case OpKind::kCustom:
      return RunGraph(*node.subgraphs[0], operands);
    default:
      return RunOp(node, operands);
  }
}

// Every node is run on what its operands came to; `inputs` are those of the graph, by position.
Results RunGraph(const Graph& graph, const Results& inputs) {
  std::vector<Results> values;
  size_t next = 0;
  for (const Node& node : graph.nodes()) {
    if (node.op == OpKind::kInput || node.op == OpKind::kParam) {
      values.push_back({inputs[next++]});
      continue;
    }
    Results operands;
    for (Value operand : node.operands) operands.push_back(values[operand.node][operand.result]);
    values.push_back(RunNode(node, operands));
  }
  Results outputs;
  for (const Output& output : graph.outputs())
    outputs.push_back(values[output.value.node][output.value.result]);
  return outputs;
}

}  // namespace

std::vector<absl::StatusOr<EvalTensor>> EvaluateEach(const Graph& graph, const TensorMap& inputs) {
  Results leaves;
  for (const Node& node : graph.nodes()) {
    if (node.op != OpKind::kInput && node.op != OpKind::kParam) continue;
    leaves.push_back(Made(EvalTensor::From(inputs.at(node.name))));
  }
  std::vector<absl::StatusOr<EvalTensor>> outputs;
  for (const Result& result : RunGraph(graph, leaves)) {
    if (result.ok())
      outputs.emplace_back(**result);
    else
      outputs.emplace_back(result.status());
  }
  return outputs;
}

ExpectedRun Expect(const Graph& graph, const TensorMap& inputs) {
  ExpectedRun run;
  auto outputs = Evaluate(graph, inputs);
  run.all = outputs.status();
  if (outputs.ok()) {
    run.outputs = *std::move(outputs);
    return run;
  }
  for (absl::StatusOr<EvalTensor>& output : EvaluateEach(graph, inputs)) {
    if (!output.ok()) run.live.Update(output.status());
    if (output.ok()) run.outputs.push_back(*std::move(output));
  }
  if (!run.live.ok()) run.outputs.clear();
  return run;
}

::testing::AssertionResult ExpectedRun::Allows(const absl::Status& status) const {
  if (status.code() == all.code() || status.code() == live.code())
    return ::testing::AssertionSuccess();
  if (live.code() == all.code())
    return ::testing::AssertionFailure() << Cat(status, " where ", live);
  return ::testing::AssertionFailure() << Cat(status, " where dead code has ", all);
}

}  // namespace rlx::test
