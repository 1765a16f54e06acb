// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "rlx/v1/module.pb.h"
#include "runtime/ir/lir.h"
#include "runtime/ir/verify.h"

namespace rlx::wire {

// Bytes of an uploaded blob's slice, or NotFound. Called for constants that travel as blobs.
using BlobSource = std::function<absl::StatusOr<SharedBytes>(const v1::BlobSlice&)>;

// Builds the IR of an untrusted module and infers every result type. Names, ops, references,
// nesting and attribute forms are checked here, the rest by Verify and (a plan) lower::VerifyPlan,
// which the caller runs next.
// Errors are InvalidArgument naming the node (`node 17 "ffn": unknown op "matmull"`), or
// ResourceExhausted naming the limit. Never recurses on what the client sent.
absl::StatusOr<Module> ModuleFromWire(const v1::GraphModule& module, const Limits& limits,
                                      const BlobSource& blobs);

void ModuleToWire(const Module& module, v1::GraphModule& out);

// The plan of a LIR module. From the wire: every value it names is in the graph; no more is
// checked.
absl::StatusOr<BufferPlan> PlanFromWire(const v1::MemoryPlan& plan, const Graph& graph);
void PlanToWire(const BufferPlan& plan, v1::MemoryPlan& out);

// The interface of an executable.
void ManifestToWire(const BufferPlan& plan, const Graph& graph, v1::Manifest& out);

}  // namespace rlx::wire
