// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/ir/evaluate.h"
#include "runtime/ir/op_info.h"

namespace rlx {

// What a matrix product can apply to its result: "none", or the name of an elementwise op.
inline constexpr std::string_view kActivationNames[] = {"none", "relu",    "gelu", "gelu_tanh",
                                                        "silu", "sigmoid", "tanh"};
inline constexpr AttrSpec kActivationAttr = {.name = "activation",
                                             .type = AttrType::kString,
                                             .required = false,
                                             .fallback = std::string_view("none"),
                                             .choices = kActivationNames,
                                             .doc = "applied after the bias"};

// x with the node's activation applied, as an op or in place.
Value Activate(GraphBuilder& b, const Node& node, Value x);
absl::Status ActivateInPlace(const Node& node, EvalTensor& x);

}  // namespace rlx
