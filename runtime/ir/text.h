// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "runtime/ir/graph.h"

namespace rlx {

// The text form: one node a line, made for people and tests, and exact: Parse(Print(m)) prints the
// same and equals m (large constants print as their digest unless `full_constants`; a digest does
// not parse back).
//
//   mir "encoder" {
//     symbol batch in [1, 64]
//     %0 = input "x" : f32[batch,384]
//     %1 = param "w" : f32[384,384]
//     %2 = matmul(%0, %1) : f32[batch,384]        // hir 3 "ffn"
//     %3 = softmax(%2) {axis = -1} : f32[batch,384]
//     %4 = elementwise_region(%3, %2) { … nested graph … } : f32[batch,384]
//     output "y" = %3
//   }
struct PrintOptions {
  bool full_constants = true;
  bool sources = true;
};
std::string Print(const Module& module, const PrintOptions& options = {});
std::string Print(const Graph& graph, const PrintOptions& options = {});

// InvalidArgument with line and column on a syntax error; does not verify beyond syntax and op
// names (call Verify).
absl::StatusOr<Module> ParseModule(std::string_view text);

}  // namespace rlx
