// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/ir/evaluate.h"
#include "runtime/ir/op_info.h"

namespace rlx {

inline constexpr AttrSpec kEpsAttr = {.name = "eps",
                                      .type = AttrType::kFloat,
                                      .required = false,
                                      .fallback = 1e-5,
                                      .doc = "added to the variance or mean square"};
inline constexpr AttrSpec kNormAttrs[] = {
    {.name = "axis",
     .type = AttrType::kInt,
     .required = false,
     .fallback = int64_t{-1},
     .axis = AxisRule::kAxis,
     .doc = "first of the axes normalised together; they run to the last"},
    kEpsAttr,
};

absl::Status InferLayerNorm(InferContext& ctx);  // x, gamma, beta
absl::Status InferRmsNorm(InferContext& ctx);    // x, gamma[, beta]

// Rows of `width` elements of `x` normalised into `out`: centred for layer norm, not for rms norm.
// `gamma` and `beta` (may be null) have `width` elements.
void NormalizeRows(const EvalTensor& x, const EvalTensor& gamma, const EvalTensor* beta, double eps,
                   bool centred, EvalTensor& out);

}  // namespace rlx
