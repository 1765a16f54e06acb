// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/free_names.h"

#include <set>
#include <string_view>

#include "rlx/onnx/model.pb.h"

namespace rlx::onnx {
namespace {

using Names = std::set<std::string_view>;

// Nesting is as deep as messages may be (slim.h).
Names Free(const GraphProto& graph) {
  Names defined, read;
  for (const ValueInfo& input : graph.input()) defined.insert(input.name());
  for (const TensorProto& tensor : graph.initializer()) defined.insert(tensor.name());
  const auto use = [&](std::string_view name) {
    if (!name.empty() && !defined.contains(name)) read.insert(name);
  };
  for (const NodeProto& node : graph.node()) {
    for (const std::string& name : node.input()) use(name);
    for (const AttributeProto& attribute : node.attribute())
      if (attribute.has_g())
        for (std::string_view name : Free(attribute.g())) use(name);
    for (const std::string& name : node.output()) defined.insert(name);
  }
  for (const ValueInfo& output : graph.output()) use(output.name());
  return read;
}

}  // namespace

std::vector<std::string> FreeNames(const GraphProto& graph) {
  const Names names = Free(graph);
  return {names.begin(), names.end()};
}

}  // namespace rlx::onnx
