// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

// Of log probabilities [n, classes, …]: minus those of the targets [n, …], weighted, reduced.
absl::StatusOr<Value> LossOf(OpNode& n, Value log_probabilities) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const std::string reduction, n.Choice("reduction", "mean", {"none", "sum", "mean"}));
  const int rank = n.rank(0);
  if (rank < 2 || n.rank(1) != rank - 1)
    return InvalidArgument("operands have rank ", rank, " and ", n.rank(1));
  const Dim classes = n.shape(0)[1];
  const Value target = To(b, n.In(1), DType::kI64);
  Shape lifted = n.shape(1);
  lifted.insert(lifted.begin() + 1, Dim(1));
  const Value hit = b.Emit(
      OpKind::kEq, {Along(b, EmitIota(b, classes), 1, rank), b.Reshape(target, std::move(lifted))});
  const Value zero = Like(b, log_probabilities, 0);
  const auto chosen = [&](Value of) {
    return b.Reduce(OpKind::kReduceSum, b.Where(hit, of, zero), {1}, false);
  };
  Value weight = n.Has(2) ? chosen(Along(b, n.In(2), 1, rank))
                          : b.Expand(Like(b, log_probabilities, 1), n.shape(1));
  if (n.HasAttr("ignore_index")) {
    const auto ignored = static_cast<double>(n.Int("ignore_index", 0));
    weight = b.Where(b.Emit(OpKind::kEq, {target, Like(b, target, ignored)}), zero, weight);
  }
  const Value loss = b.Unary(OpKind::kNeg, b.Mul(weight, chosen(log_probabilities)));
  if (reduction == "none") return loss;
  std::vector<int64_t> axes;
  for (int i = 0; i + 1 < rank; ++i) axes.push_back(i);
  const Value sum = b.Reduce(OpKind::kReduceSum, loss, axes, false);
  if (reduction == "sum") return sum;
  return b.Div(sum, b.Reduce(OpKind::kReduceSum, weight, axes, false));
}

Results NegativeLogLikelihood(OpNode& n) {
  RLX_ASSIGN(const Value loss, LossOf(n, n.In(0)));
  return One(loss);
}

Results SoftmaxCrossEntropy(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value x = n.In(0);
  if (n.rank(0) < 2) return InvalidArgument("operand 0 has rank ", n.rank(0), ", less than 2");
  const Value shifted = b.Sub(x, b.Reduce(OpKind::kReduceMax, x, {1}, true));
  const Value sum = b.Reduce(OpKind::kReduceSum, b.Unary(OpKind::kExp, shifted), {1}, true);
  const Value log_probabilities = b.Sub(shifted, b.Unary(OpKind::kLog, sum));
  RLX_ASSIGN(const Value loss, LossOf(n, log_probabilities));
  return std::vector<Value>{loss, log_probabilities};
}

constexpr OpRow kRows[] = {
    {kOnnx, "NegativeLogLikelihoodLoss", 12, INT32_MAX, 2, 3, "ignore_index reduction",
     NegativeLogLikelihood},
    {kOnnx, "SoftmaxCrossEntropyLoss", 12, INT32_MAX, 2, 3, "ignore_index reduction",
     SoftmaxCrossEntropy},
};

}  // namespace

std::span<const OpRow> LossOps() { return kRows; }

}  // namespace rlx::onnx
