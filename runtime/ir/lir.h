// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/ir/graph.h"

namespace rlx {

// Where a value lives while a program runs.
enum class Storage : uint8_t {
  kArena,     // a slot of the run's arena
  kView,      // an alias of another value
  kInput,     // the caller's buffer
  kOutput,    // written straight into the caller's output buffer
  kParam,     // the weights as bound
  kConstant,  // in the artifact
  kWeight,    // computed once when weights are bound: depends on params and constants alone
  kNone,      // never materialised (inside a fused step), or symbolic: no slot until bound
};

std::string_view Name(Storage storage);  // "arena", "view" …
std::optional<Storage> ParseStorage(std::string_view name);

enum class Phase : uint8_t { kPrologue, kSteadyState, kEpilogue };
std::string_view Name(Phase phase);  // "prologue", "steady_state", "epilogue"
std::optional<Phase> ParsePhase(std::string_view name);

struct Assignment {
  Value value;
  Storage storage = Storage::kNone;
  int64_t offset = 0;  // kArena: bytes from the arena's start, aligned
  int64_t bytes = 0;
  // kView: the value aliased (never itself a view), the element offset into it, and the element
  // strides when the view is not dense.
  Value root;
  int64_t element_offset = 0;
  std::vector<int64_t> strides;
  friend bool operator==(const Assignment&, const Assignment&) = default;
};

struct IoEntry {
  std::string name;
  Value value;
  TensorType type;
  friend bool operator==(const IoEntry&, const IoEntry&) = default;
};

struct BufferPlan {
  int64_t arena_bytes = 0;
  int64_t alignment = 64;
  int64_t unshared_bytes = 0;           // the arena without reuse
  std::vector<Assignment> assignments;  // sorted by value, one per value
  std::vector<NodeId> schedule;
  std::vector<Phase> phases;      // per node id
  std::vector<bool> weight_only;  // per node id, as WeightOnly() says: run when weights are bound
  std::vector<IoEntry> inputs, params, outputs;
  std::vector<std::string> dynamic_symbols;  // unbound: empty when runnable

  const Assignment& of(Value v) const;  // CHECKs that it is there
  friend bool operator==(const BufferPlan&, const BufferPlan&) = default;
};

// Of a graph that computes at one capacity what another computes at any smaller size
// (passes/pad_to_capacity.h): the input that says how much of it is true.
struct ExtentsInput {
  std::string name;       // i64[dims.size()]; empty: the graph is not padded
  std::vector<Dim> dims;  // what to feed it: these, at the sizes of the run
};

// Fills inputs, params and outputs: what `graph` binds by name.
void DescribeIo(const Graph& graph, BufferPlan& plan);

struct LirModule {
  Graph graph;
  BufferPlan plan;
  ExtentsInput extents;
};

}  // namespace rlx
