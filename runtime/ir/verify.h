// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "runtime/ir/graph.h"

namespace rlx {

// What a module may cost before anything is computed from it. Advertised by GetCapabilities.
struct Limits {
  int64_t max_nodes = 100'000;  // nested graphs included
  int max_rank = 64;
  int64_t max_operands = 4096;  // of one node
  int64_t max_nesting = 64;     // of control flow
  int64_t max_name_bytes = 512;
  int64_t max_tensor_bytes = int64_t{1} << 40;     // of any one value, by capacity
  int64_t max_constant_bytes = int64_t{64} << 20;  // of all constants together
  int64_t max_symbols = 256;
  int64_t max_constraints = 1024;
  int64_t max_module_bytes = int64_t{512} << 20;  // of a module's message, once parsed
  int64_t max_sources = 400'000;                  // that a module brings, over all nodes
};

// The specification of a well-formed graph, for untrusted input and after every pass: known ops of
// the right level, arity, attributes, topological order, declared types equal to inferred ones,
// unique names in the signature, valid outputs, positive extents (zero is refused, negative too),
// products that fit, constants with the right bytes, declared symbols (or batch, seq, rows,
// past_seq), aliases whose input nobody reads after the output is made, constraints that leave no
// sizes (as far as MayHold sees; both are named, with their nodes), limits. Sizes count by
// capacity where the symbols have declared ranges, else by their least values. InvalidArgument
// naming the node (`%17 matmul "ffn": k differs (64 vs 32)`), or ResourceExhausted naming the
// limit. Iterative: nesting costs no stack.
absl::Status Verify(const Module& module, const Limits& limits = {});
// A MIR graph between passes, which keep the constraints as they were.
absl::Status VerifyGraph(const Graph& graph, const Limits& limits = {}, Stage level = Stage::kMir);

// `%17 matmul "ffn"`: how messages name a node.
std::string NodeLabel(const Graph& graph, NodeId id);
std::string NodeLabel(NodeId id, const Node& node);

// Whether a full binding is within the symbols' ranges and keeps the constraints: InvalidArgument
// naming the first that it breaks. Cheap: for every run.
absl::Status CheckSizes(const Graph& graph, const DimBinding& sizes);

// The graph with every symbol that `binding` knows replaced, all types re-inferred, ranges and
// constraints checked (a violated one is InvalidArgument, never clamped).
absl::StatusOr<Graph> BindSymbols(const Graph& graph, const DimBinding& binding);

}  // namespace rlx
