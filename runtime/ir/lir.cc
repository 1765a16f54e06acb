// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/lir.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace rlx {
namespace {

constexpr std::string_view kStorages[] = {"arena", "view",     "input",  "output",
                                          "param", "constant", "weight", "none"};
constexpr std::string_view kPhases[] = {"prologue", "steady_state", "epilogue"};

template <class Enum, size_t n>
std::optional<Enum> Parse(const std::string_view (&names)[n], std::string_view name) {
  const auto* const found = std::find(std::begin(names), std::end(names), name);
  if (found == std::end(names)) return std::nullopt;
  return static_cast<Enum>(found - std::begin(names));
}

}  // namespace

std::string_view Name(Storage storage) { return kStorages[static_cast<size_t>(storage)]; }
std::string_view Name(Phase phase) { return kPhases[static_cast<size_t>(phase)]; }
std::optional<Storage> ParseStorage(std::string_view name) {
  return Parse<Storage>(kStorages, name);
}
std::optional<Phase> ParsePhase(std::string_view name) { return Parse<Phase>(kPhases, name); }

const Assignment& BufferPlan::of(Value v) const {
  const auto it = std::lower_bound(assignments.begin(), assignments.end(), v,
                                   [](const Assignment& a, Value b) { return a.value < b; });
  CHECK(it != assignments.end() && it->value == v, "value ", v.node, ".", v.result,
        " has no assignment");
  return *it;
}

void DescribeIo(const Graph& graph, BufferPlan& plan) {
  const auto entry = [&](const std::string& name, Value value) {
    return IoEntry{name, value, graph.type(value)};
  };
  for (NodeId id : graph.inputs()) plan.inputs.push_back(entry(graph.node(id).name, {id, 0}));
  for (NodeId id : graph.params()) plan.params.push_back(entry(graph.node(id).name, {id, 0}));
  for (const Output& output : graph.outputs()) {
    plan.outputs.push_back(entry(output.name, output.value));
  }
}

}  // namespace rlx
