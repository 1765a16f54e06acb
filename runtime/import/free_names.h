// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace rlx::onnx {

class GraphProto;

// The names that a nested graph reads and does not define, sorted: those of its nodes, of graphs
// within it, and of its outputs.
std::vector<std::string> FreeNames(const GraphProto& graph);

}  // namespace rlx::onnx
