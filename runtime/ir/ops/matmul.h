// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "runtime/ir/evaluate.h"
#include "runtime/ir/op_info.h"

namespace rlx {

// The type of a·b: `[..,M,K]·[..,K,N]`, leading dims broadcast.
absl::StatusOr<TensorType> MatMulType(InferContext& ctx, const TensorType& a, const TensorType& b);

// out += a·b, by definition.
void MatMulInto(const EvalTensor& a, const EvalTensor& b, EvalTensor& out);

}  // namespace rlx
