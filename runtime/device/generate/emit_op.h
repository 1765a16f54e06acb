// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "runtime/ir/graph.h"
#include "runtime/kernel/builder.h"

// Generators of kernels: what every back end with kernel IR shares. Each turns one node into a
// kernel and its launch, for vectors of a given number of lanes.
namespace rlx::device {

// The kernel type in which elements of `dtype` are computed (f16 → f32, i8 → i32).
kernel::Type WideType(DType dtype);

// Why the kernel IR cannot say this elementwise node; empty when it can.
std::string WhyNotEmitted(const Graph& graph, const Node& node);

// One elementwise op on wide values: `operands` and the result are of the operand dtypes' wide
// types. Requires WhyNotEmitted() to be empty.
kernel::Value EmitOp(kernel::Builder& b, const Node& node, std::span<const kernel::Value> operands);

// Kernel instructions that EmitOp() makes of a node, functions counted as what they expand to.
// Requires WhyNotEmitted() to be empty.
int64_t EmittedWork(const Graph& graph, const Node& node);

// A constant node's single element as an immediate.
kernel::Value EmitImmediate(kernel::Builder& b, const HostTensor& scalar);

// The activations that fused ops name ("none", "relu", "gelu", "gelu_tanh", "silu", "sigmoid",
// "tanh"), as elementwise ops; none for "none".
kernel::Value EmitActivation(kernel::Builder& b, std::string_view name, kernel::Value x);

}  // namespace rlx::device
