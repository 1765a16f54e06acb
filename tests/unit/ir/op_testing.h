// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/ir/evaluate.h"
#include "runtime/ir/op_info.h"

namespace rlx {

// One op over given operands.
struct OpCase {
  OpKind op;
  std::vector<HostTensor> operands;
  std::vector<Attr> attrs;
  std::vector<std::shared_ptr<const Graph>> subgraphs = {};
};

// A sample with its operands drawn; floats as f64, so that results compare to the last digits,
// unless a nested graph says what they are.
OpCase DrawCase(OpKind op, Rng& rng);

// Results of the op, or of its decomposition, as evaluate gives them.
absl::StatusOr<std::vector<EvalTensor>> EvalOp(const OpCase& op_case);
absl::StatusOr<std::vector<EvalTensor>> EvalParts(const OpCase& op_case);

// Result types of the op, or why it is refused.
absl::StatusOr<std::vector<TensorType>> InferOp(OpKind op, std::vector<TensorType> operands,
                                                std::vector<Attr> attrs = {});
// The message of that refusal; empty when there is none.
std::string WhyNot(OpKind op, std::vector<TensorType> operands, std::vector<Attr> attrs = {});

TensorType F32(Shape shape);
// Values uniform in [low, high).
HostTensor RandomF64(Rng& rng, std::vector<int64_t> dims, double low = -2, double high = 2);
// A one-line text of the case, for failure messages.
std::string Describe(const OpCase& op_case);
// The largest |a - b|; infinity when shapes or finiteness differ.
double MaxDifference(const EvalTensor& a, const EvalTensor& b);

}  // namespace rlx
