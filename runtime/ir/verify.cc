// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/verify.h"

#include <algorithm>
#include <set>

#include "runtime/base/checked.h"
#include "runtime/base/fault.h"
#include "runtime/ir/capacity.h"
#include "runtime/ir/check_inferred.h"
#include "runtime/ir/op_info.h"
#include "runtime/tensor/dim_system.h"

namespace rlx {
namespace {

// A graph to check: the main one, or a subgraph of a node of an earlier task. A graph that several
// nodes share is as many tasks.
struct Task {
  const Graph* graph;
  int depth;
  int owner_task = -1;
  NodeId owner = -1;
};

// `%4 if: %2 if: `, for messages.
std::string PathOf(const std::vector<Task>& tasks, const Task& task) {
  std::vector<std::string> labels;
  for (const Task* t = &task; t->owner_task >= 0; t = &tasks[t->owner_task]) {
    labels.push_back(Cat(NodeLabel(*tasks[t->owner_task].graph, t->owner), ": "));
  }
  std::reverse(labels.begin(), labels.end());
  return Join(labels, "");
}

// `status` with the place it is about: the path for people, the node of the main graph that it is,
// or is within, for programs.
absl::Status At(const std::vector<Task>& tasks, const Task& task, NodeId id, absl::Status status) {
  const Graph& main = *tasks.front().graph;
  NodeId top = id;
  for (const Task* t = &task; t->owner_task >= 0; t = &tasks[t->owner_task]) top = t->owner;
  return Annotate(AtNode(std::move(status), top, main.node(top).name), PathOf(tasks, task),
                  NodeLabel(id, task.graph->node(id)));
}

// What is counted over all graphs of a module.
struct Totals {
  int64_t nodes = 0;
  int64_t constant_bytes = 0;
};

bool IsSymbolName(std::string_view name) {
  const auto dim = ParseDim(name);
  return dim && dim->symbol() == name;
}

bool IsWellKnown(std::string_view name) {
  return name == kBatch || name == kSeq || name == kRows || name == kPastSeq;
}

absl::Status CheckName(std::string_view what, std::string_view name, const Limits& limits) {
  if (static_cast<int64_t>(name.size()) <= limits.max_name_bytes) return absl::OkStatus();
  return LimitExceeded("max_name_bytes", limits.max_name_bytes, what, " name has ", name.size(),
                       " bytes");
}

// --- Symbols, dims, types
// ---------------------------------------------------------------------------

absl::Status CheckSymbols(const Graph& main, const Limits& limits) {
  if (static_cast<int64_t>(main.symbols.size()) > limits.max_symbols)
    return LimitExceeded("max_symbols", limits.max_symbols, "the graph has ", main.symbols.size(),
                         " symbols");
  for (const auto& [name, range] : main.symbols) {
    RLX_TRY(CheckName("a symbol's", name, limits));
    if (!IsSymbolName(name)) return InvalidArgument("\"", name, "\" is no name for a symbol");
    if (range.min < 1 || range.max < range.min)
      return InvalidArgument("symbol ", name, " has the range [", range.min, ", ", range.max, "]");
  }
  return absl::OkStatus();
}

absl::Status CheckDeclared(const Dim& dim, const SymbolTable& symbols) {
  std::vector<std::string> names;
  dim.CollectSymbols(names);
  for (const std::string& name : names)
    if (!symbols.contains(name) && !IsWellKnown(name))
      return InvalidArgument("symbol ", name, " is not declared");
  return absl::OkStatus();
}

// A divisor must be able to be positive; that it is, is known when symbols are bound.
absl::Status CheckDivisors(const Dim& dim, const SymbolTable& ranges) {
  if (dim.is_static()) return absl::OkStatus();
  for (const DimTerm& term : dim.expr()->terms) {
    for (const DimAtom& atom : term.atoms) {
      if (atom.kind == DimAtom::Kind::kSymbol) continue;
      if (atom.kind == DimAtom::Kind::kFloorDiv && atom.b.UpperBound(ranges) < 1)
        return InvalidArgument("divisor ", atom.b, " of ", dim, " is never positive");
      RLX_TRY(CheckDivisors(atom.a, ranges));
      RLX_TRY(CheckDivisors(atom.b, ranges));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckConstraintList(const Graph& main, const Limits& limits) {
  if (static_cast<int64_t>(main.constraints.size()) > limits.max_constraints)
    return LimitExceeded("max_constraints", limits.max_constraints, "the graph has ",
                         main.constraints.size(), " constraints");
  for (const auto& [a, b] : main.constraints) {
    if (a.is_overflow() || b.is_overflow()) return InvalidArgument("a constraint overflows");
    if (a.is_static() && b.is_static() && a != b)
      return InvalidArgument("constraint ", a, " = ", b, " cannot hold");
    for (const Dim& side : {a, b}) {
      RLX_TRY(CheckDeclared(side, main.symbols));
      RLX_TRY(CheckDivisors(side, main.symbols));
    }
  }
  return absl::OkStatus();
}

struct Ranges {
  explicit Ranges(const SymbolTable& declared)
      : declared(declared), capacity(CapacityRanges(declared)) {}

  const SymbolTable& declared;
  SymbolTable capacity;
};

absl::Status CheckType(const TensorType& type, const Ranges& ranges, const Limits& limits) {
  if (static_cast<int>(type.dtype) >= kDTypeCount) return InvalidArgument("unknown dtype");
  if (type.rank() > limits.max_rank)
    return LimitExceeded("max_rank", limits.max_rank, "rank ", type.rank());
  for (const Dim& dim : type.shape) {
    if (dim.is_overflow()) return InvalidArgument("an extent overflows or is too long");
    if (dim.is_static() && dim.value() < 1)
      return InvalidArgument("extent ", dim, " of ", type, " is not positive");
    RLX_TRY(CheckDeclared(dim, ranges.declared));
    RLX_TRY(CheckDivisors(dim, ranges.declared));
    if (!dim.is_static() && dim.UpperBound(ranges.declared) < 1)
      return InvalidArgument("extent ", dim, " of ", type, " is never positive");
  }
  const std::optional<int64_t> bytes = CapacityBytes(type, ranges.capacity);
  if (!bytes) return InvalidArgument("the size of ", type, " overflows");
  if (*bytes > limits.max_tensor_bytes)
    return LimitExceeded("max_tensor_bytes", limits.max_tensor_bytes, type, " has ", *bytes,
                         " bytes");
  return absl::OkStatus();
}

// --- Structure: what inference takes for granted
// ----------------------------------------------------

absl::Status CheckPrecedes(const Graph& graph, NodeId id) {
  const std::vector<Value>& operands = graph.node(id).operands;
  for (size_t i = 0; i < operands.size(); ++i) {
    if (operands[i].node < id) continue;
    if (operands[i].node >= graph.size())
      return InvalidArgument("operand ", i, " refers to ", operands[i], ", which does not exist");
    return InvalidArgument("operand ", i, " refers to ", operands[i],
                           ", which does not come before it (a cycle or a forward reference)");
  }
  return absl::OkStatus();  // CompleteAndInfer checks the rest of a reference
}

absl::Status CheckConstant(const Node& node) {
  const auto* tensor = std::get_if<HostTensor>(node.Find("value"));
  if (tensor == nullptr) return InvalidArgument("has no value");
  const auto bytes = tensor->type().ByteSize();
  if (!bytes || static_cast<uint64_t>(*bytes) != tensor->bytes().size())
    return InvalidArgument("value ", tensor->type(), " has ", tensor->bytes().size(), " bytes");
  if (tensor->dtype() != DType::kBool) return absl::OkStatus();
  const auto payload = tensor->bytes().span();
  if (std::any_of(payload.begin(), payload.end(), [](uint8_t byte) { return byte > 1; }))
    return InvalidArgument("a bool is neither 0 nor 1");
  return absl::OkStatus();
}

absl::Status CheckNode(const Task& task, NodeId id, const Limits& limits, Stage level,
                       Totals& totals) {
  const Node& node = task.graph->node(id);
  const OpInfo& info = Info(node.op);
  if (info.level == Stage::kHir && level != Stage::kHir)
    return InvalidArgument("is a block, which only an HIR module may hold");
  RLX_TRY(CheckName("the node's", node.name, limits));
  for (const auto& subgraph : node.subgraphs)
    if (subgraph == nullptr) return InvalidArgument("a subgraph is missing");
  if (static_cast<int64_t>(node.operands.size()) > limits.max_operands)
    return LimitExceeded("max_operands", limits.max_operands, "has ", node.operands.size(),
                         " operands");
  RLX_TRY(CheckPrecedes(*task.graph, id));
  if (task.depth > 0 && node.op == OpKind::kParam)
    return InvalidArgument("a nested graph has no params of its own");
  if (node.op != OpKind::kConstant) return absl::OkStatus();
  RLX_TRY(CheckConstant(node));
  const auto sum = CheckedAdd<int64_t>(totals.constant_bytes,
                                       static_cast<int64_t>(node.Tensor("value").bytes().size()));
  if (!sum || *sum > limits.max_constant_bytes)
    return LimitExceeded("max_constant_bytes", limits.max_constant_bytes, "the constants' bytes");
  totals.constant_bytes = *sum;
  return absl::OkStatus();
}

absl::Status CheckOutputs(const Graph& graph, const Limits& limits) {
  if (graph.outputs().empty()) return InvalidArgument("the graph has no outputs");
  for (const Output& output : graph.outputs()) {
    RLX_TRY(CheckName("an output's", output.name, limits));
    if (!graph.Has(output.value))
      return InvalidArgument("output \"", output.name, "\" refers to ", output.value,
                             ", which does not exist");
  }
  return absl::OkStatus();
}

// Nodes, outputs and limits of every graph; the graphs found, outer before inner.
absl::StatusOr<std::vector<Task>> CheckStructure(const Graph& main, const Limits& limits,
                                                 Stage level) {
  Totals totals;
  std::vector<Task> tasks = {{&main, 0}};
  for (size_t t = 0; t < tasks.size(); ++t) {
    const Task task = tasks[t];
    totals.nodes += task.graph->size();
    if (totals.nodes > limits.max_nodes)
      return LimitExceeded("max_nodes", limits.max_nodes, "the module has ", totals.nodes,
                           " nodes");
    if (task.depth > limits.max_nesting)
      return LimitExceeded("max_nesting", limits.max_nesting, "graphs nest ", task.depth, " deep");
    for (NodeId id = 0; id < task.graph->size(); ++id) {
      const Node& node = task.graph->node(id);
      if (static_cast<int>(node.op) >= kOpKindCount)
        return WithReason(InvalidArgument(PathOf(tasks, task), "%", id, ": unknown op ",
                                          static_cast<int>(node.op)),
                          "unknown_op");
      absl::Status status = CheckNode(task, id, limits, level, totals);
      if (!status.ok()) return At(tasks, task, id, std::move(status));
      for (const auto& subgraph : node.subgraphs)
        tasks.push_back({subgraph.get(), task.depth + 1, static_cast<int>(t), id});
    }
    RLX_TRY(CheckOutputs(*task.graph, limits));
  }
  return tasks;
}

// --- Types, once the structure is sound
// -------------------------------------------------------------

absl::Status CheckTyped(InferenceChecker& checker, const Node& node, const Ranges& ranges,
                        const Limits& limits) {
  for (const TensorType& type : node.results) RLX_TRY(CheckType(type, ranges, limits));
  for (const Attr& attr : node.attrs) RLX_TRY(CheckName("an attribute's", attr.name, limits));
  return checker.Check(node);
}

// Inner graphs first: an op may take the types of its own for granted.
absl::Status CheckTypes(const std::vector<Task>& tasks, const Limits& limits) {
  const Ranges ranges(tasks.front().graph->symbols);
  for (auto at = tasks.rbegin(); at != tasks.rend(); ++at) {
    const Task& task = *at;
    InferenceChecker checker(*task.graph);
    for (NodeId id = 0; id < task.graph->size(); ++id) {
      absl::Status status = CheckTyped(checker, task.graph->node(id), ranges, limits);
      if (!status.ok()) return At(tasks, task, id, std::move(status));
    }
  }
  return absl::OkStatus();
}

// --- The main graph's signature
// ---------------------------------------------------------------------

absl::Status CheckSignature(const Graph& main) {
  std::set<std::string_view> names;
  for (NodeId id = 0; id < main.size(); ++id) {
    const Node& node = main.node(id);
    if (node.op != OpKind::kInput && node.op != OpKind::kParam) continue;
    if (node.name.empty())
      return AtNode(InvalidArgument(NodeLabel(main, id), " has no name"), id, "");
    if (!names.insert(node.name).second)
      return AtNode(InvalidArgument(NodeLabel(main, id), ": the name is taken"), id, node.name);
  }
  names.clear();
  for (const Output& output : main.outputs()) {
    if (output.name.empty()) return InvalidArgument("output ", output.value, " has no name");
    if (!names.insert(output.name).second)
      return InvalidArgument("output \"", output.name, "\" is there twice");
  }
  return absl::OkStatus();
}

// For each node the last that reads any of its results.
std::vector<NodeId> LastReaders(const Graph& graph) {
  std::vector<NodeId> last(graph.size(), -1);
  for (NodeId id = 0; id < graph.size(); ++id)
    for (Value operand : graph.node(id).operands) last[operand.node] = id;
  return last;
}

// How many outputs are a result of each node.
std::vector<int> OutputCounts(const Graph& graph) {
  std::vector<int> counts(graph.size());
  for (const Output& output : graph.outputs()) ++counts[output.value.node];
  return counts;
}

absl::Status CheckAliases(const Graph& main) {
  if (main.aliases.empty()) return absl::OkStatus();
  const std::vector<NodeId> inputs = main.inputs(), last = LastReaders(main);
  const std::vector<int> outputs_of = OutputCounts(main);
  const int input_count = static_cast<int>(inputs.size());
  const int output_count = static_cast<int>(main.outputs().size());
  std::set<int> seen_inputs, seen_outputs;
  for (const auto& [input, output] : main.aliases) {
    if (input < 0 || input >= input_count || output < 0 || output >= output_count)
      return InvalidArgument("alias ", input, " -> ", output, " is out of range");
    if (!seen_inputs.insert(input).second || !seen_outputs.insert(output).second)
      return InvalidArgument("alias ", input, " -> ", output, " repeats an input or output");
    const Value source{inputs[input], 0}, result = main.outputs()[output].value;
    if (main.type(source) != main.type(result))
      return InvalidArgument("alias ", input, " -> ", output, ": types differ (", main.type(source),
                             " vs ", main.type(result), ")");
    if (outputs_of[source.node] > (source == result ? 1 : 0))
      return InvalidArgument("alias ", input, " -> ", output, ": the input is an output too");
    if (last[source.node] > result.node)
      return InvalidArgument("alias ", input, " -> ", output, ": ",
                             NodeLabel(main, last[source.node]),
                             " reads the input after the output is made");
  }
  return absl::OkStatus();
}

// --- Constraints that leave no sizes
// ---------------------------------------------------------------------

constexpr size_t kMostNamed = 4;  // constraints of a conflict that a message names

bool Demands(const Graph& graph, NodeId id, const DimConstraint& wanted) {
  Node again = graph.node(id);
  std::vector<DimConstraint> found;
  if (!CompleteAndInfer(graph, again, found).ok()) return false;
  return std::ranges::any_of(found, [&](const DimConstraint& made) {
    return made == wanted || (made.a == wanted.b && made.b == wanted.a);
  });
}

// The node that demands it, the innermost where it is within another; none: it was declared.
std::optional<std::pair<const Task*, NodeId>> DemanderOf(const std::vector<Task>& tasks,
                                                         const DimConstraint& constraint) {
  for (auto task = tasks.rbegin(); task != tasks.rend(); ++task) {
    for (NodeId id = 0; id < task->graph->size(); ++id)
      if (Demands(*task->graph, id, constraint)) return std::pair(&*task, id);
  }
  return std::nullopt;
}

// `seq = 7 (declared)`, `seq = 8 (%3 add)`, `q ≥ 23 ..`, and the ranges that matter.
absl::Status CheckConflicts(const Graph& main, const std::vector<Task>& tasks) {
  if (MayHold(main.constraints, main.symbols)) return absl::OkStatus();
  std::vector<std::string> parts, symbols;
  std::optional<std::pair<const Task*, NodeId>> first;
  std::vector<DimConstraint> conflict;
  for (size_t at : ConflictIn(main.constraints, main.symbols)) {
    const DimConstraint& constraint = main.constraints[at];
    conflict.push_back(constraint);
    constraint.a.CollectSymbols(symbols);
    constraint.b.CollectSymbols(symbols);
    if (parts.size() == kMostNamed) continue;
    const auto by = DemanderOf(tasks, constraint);
    if (by && !first) first = by;
    const std::string who = !by ? "declared"
                                : Cat(PathOf(tasks, *by->first),
                                      NodeLabel(by->second, by->first->graph->node(by->second)));
    parts.push_back(Cat(constraint.a, " = ", constraint.b, " (", who, ")"));
  }
  // Where they fail whatever the ranges are, these are left unsaid.
  if (MayHold(conflict, {})) {
    for (const std::string& name : symbols) {
      const auto range = main.symbols.find(name);
      if (range == main.symbols.end()) continue;
      parts.push_back(Cat(name, " in [", range->second.min, ", ", range->second.max, "]"));
    }
  }
  absl::Status status = InvalidArgument("no sizes satisfy ", Join(parts, " and "));
  if (!first) return status;
  NodeId top = first->second;
  for (const Task* t = first->first; t->owner_task >= 0; t = &tasks[t->owner_task]) top = t->owner;
  return AtNode(std::move(status), top, main.node(top).name);
}

absl::Status VerifyAll(const Graph& graph, const Limits& limits, Stage level, bool conflicts) {
  RLX_TRY(CheckName("the graph's", graph.name, limits));
  RLX_TRY(CheckSymbols(graph, limits));
  RLX_TRY(CheckConstraintList(graph, limits));
  RLX_ASSIGN(const std::vector<Task> tasks, CheckStructure(graph, limits, level));
  RLX_TRY(CheckTypes(tasks, limits));
  RLX_TRY(CheckSignature(graph));
  RLX_TRY(CheckAliases(graph));
  return conflicts ? CheckConflicts(graph, tasks) : absl::OkStatus();
}

}  // namespace

absl::Status VerifyGraph(const Graph& graph, const Limits& limits, Stage level) {
  return VerifyAll(graph, limits, level, false);
}

absl::Status Verify(const Module& module, const Limits& limits) {
  if (module.plan && module.stage != Stage::kLir)
    return InvalidArgument("only a LIR module can have a plan");
  const Stage level = module.stage == Stage::kHir ? Stage::kHir : Stage::kMir;
  return VerifyAll(module.graph, limits, level, true);
}

}  // namespace rlx
