// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "runtime/device/generate/loop_nest.h"

namespace rlx::device {

// One generator a kind of node. Each emits the node's kernels into `out`; requires that the
// matching WhyNot… is empty for the node. Any dtype with a kernel type, any static shape, strided
// operands.

// Elementwise ops and elementwise_region. A region's results all have the loop's shape.
std::string WhyNotElementwise(const Graph& graph, const Node& node);
absl::Status GenerateElementwise(ProgramBuilder& out, NodeId id, const Schedule& schedule);

// layer_norm, rms_norm, fused_residual_layer_norm, fused_residual_rms_norm over the last axis: a
// row a group, mean and variance in two passes.
std::string WhyNotNormalization(const Graph& graph, const Node& node);
absl::Status GenerateNormalization(ProgramBuilder& out, NodeId id, const Schedule& schedule);

// softmax over any axis.
std::string WhyNotSoftmax(const Graph& graph, const Node& node);
absl::Status GenerateSoftmax(ProgramBuilder& out, NodeId id, const Schedule& schedule);

// reduce_sum, reduce_mean, reduce_max, reduce_min, reduce_prod over any axes.
std::string WhyNotReduction(const Graph& graph, const Node& node);
absl::Status GenerateReduction(ProgramBuilder& out, NodeId id, const Schedule& schedule);

// cumsum.
std::string WhyNotCumsum(const Graph& graph, const Node& node);
absl::Status GenerateCumsum(ProgramBuilder& out, NodeId id, const Schedule& schedule);

// reshape, transpose, narrow, expand, concat where a view will not do.
std::string WhyNotMovement(const Graph& graph, const Node& node);
absl::Status GenerateMovement(ProgramBuilder& out, NodeId id, const Schedule& schedule);

// gather of any dtype but c64. `fault` is a buffer of an i32 that becomes 1 when an index lies
// outside; what belongs there is then not written.
std::string WhyNotGather(const Graph& graph, const Node& node);
absl::Status GenerateGather(ProgramBuilder& out, NodeId id, const Schedule& schedule,
                            int32_t fault);

// concat, an operand after the other. `take`, where there is one, is asked first: true when it has
// emitted the copy of `from` to where `to` says.
using TakeCopy = std::function<bool(ProgramBuilder& out, const ProgramBuilder::Operand& from,
                                    const LoopOperand& to, const std::string& label)>;
absl::Status GenerateConcat(ProgramBuilder& out, NodeId id, const Schedule& schedule,
                            const TakeCopy& take = nullptr);

// fused_swiglu.
std::string WhyNotSwiglu(const Graph& graph, const Node& node);
absl::Status GenerateSwiglu(ProgramBuilder& out, NodeId id, const Schedule& schedule);

// matmul and fused_matmul_bias_act in any dtype, one element of the result a lane: for what no
// library routine takes.
std::string WhyNotMatMul(const Graph& graph, const Node& node);
absl::Status GenerateMatMul(ProgramBuilder& out, NodeId id, const Schedule& schedule);

// conv and pool over any number of spatial dims: for what no library routine takes.
std::string WhyNotWindow(const Graph& graph, const Node& node);
absl::Status GenerateConv(ProgramBuilder& out, NodeId id, const Schedule& schedule);
absl::Status GeneratePool(ProgramBuilder& out, NodeId id, const Schedule& schedule);

// Says which operand or result has no kernel type; empty when all have.
std::string WhyNotTypes(const Graph& graph, const Node& node);

}  // namespace rlx::device
