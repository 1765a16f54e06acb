// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "runtime/ir/graph.h"

namespace rlx {

// The text form: one node a line, made for people and tests, and exact: Parse(Print(m)) prints the
// same and equals m (without `full_constants` large constants print as their digest, which does not
// parse back).
//
//   mir "encoder" {
//     symbol batch in [1, 64]
//     constraint batch = rows
//     %0 = input "x" : f32[batch,384]
//     %1 = param "w" : f32[384,384]
//     %2 = constant {value = f32[2] (1, 2.5)} : f32[2]
//     %3 = matmul "ffn.up" (%0, %1) : f32[batch,384] from hir 3 "ffn", onnx 7
//     %4 = softmax(%3) {axis = 1} : f32[batch,384]
//     %5 = elementwise_region(%4, %3) graph { … nested graph … } : f32[batch,384]
//     %6 = topk(%5) {k = 2, axis = 1} : f32[batch,2], i64[batch,2]
//     alias 0 -> 1                                // input 0 and output 1 may share a buffer
//     output "y" = %5
//     output "top" = %6.1
//     plan {                                      // lir only, last
//       arena 4096 aligned 64 unshared 9216       // bytes
//       unbound batch                             // symbols
//       %3 arena 1536 at 0                        // bytes, and where
//       %4 view 12 of %3 at 16 strides [4,1]      // elements; strides where it is not dense
//       %5 output 1536
//       run steady_state %3 %4 %5                 // the schedule, by phase
//     }
//   }
//
// A stage is `hir`, `mir` or `lir`; `fusable` before the name is that policy. Nodes are numbered in
// order. `//` comments and line breaks are white space, but a constraint ends with its line.
struct PrintOptions {
  bool full_constants = true;
  bool sources = true;
};
std::string Print(const Module& module, const PrintOptions& options = {});
std::string Print(const Graph& graph, const PrintOptions& options = {});
// A node's attributes alone, `axis = 1, keep_dims = true`; constants as their digests.
std::string PrintAttrs(const Node& node);

// InvalidArgument with line and column on a syntax error. Result types may be left out, attributes
// with defaults too: a node that is sound is completed (CompleteAndInfer), any other is left as
// written, for Verify to say what is wrong.
absl::StatusOr<Module> ParseModule(std::string_view text);

}  // namespace rlx
