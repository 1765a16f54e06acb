// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "runtime/ir/graph.h"

namespace rlx {

class GraphBuilder;
struct EvalContext;

enum class OpClass : uint8_t {
  kLeaf,
  kElementwise,
  kReduction,
  kContraction,
  kNormalization,
  kMovement,
  kComposite,
  kSpecial,  // decoding, sampling, transforms, solvers: nobody fuses into these
  kControlFlow,
  kBlock,  // HIR
};

// What inference reads and fills. `results` starts empty; `constraints` collects what must hold
// between symbols. Errors name the operand or attribute, the caller adds the node.
struct InferContext {
  const Node& node;
  std::vector<TensorType> operands;
  std::vector<TensorType> results;
  std::vector<DimConstraint> constraints;
};

// An operand that can fail a run by what it holds, and what it may always hold: with the safe value
// in each of them an op cannot fail. Code that is run although nobody asks for its results (the
// branch not taken, turns beyond the end of a loop) is given safe values.
struct RunCheck {
  enum class Safe : uint8_t { kZero, kOne, kIdentity };  // of the matrices in the last two axes
  int operand;                                           // -1: each one of an integer type
  Safe safe = Safe::kZero;
};

// A random valid instance of an op, for generated tests.
struct OpSample {
  struct Operand {
    TensorType type;            // static
    double low = -2, high = 2;  // element range (integers: inclusive); masks: 0 and 1
  };
  std::vector<Operand> operands;
  std::vector<Attr> attrs;
  std::vector<std::shared_ptr<const Graph>> subgraphs = {};
};
using Rng = std::mt19937_64;

// Everything the compiler knows about an op, in one row: verifier, text form, builder, wire, fusion
// legality, evaluation, decomposition, generated conformance tests and docs iterate the table.
struct OpInfo {
  OpKind kind;
  std::string_view name;   // text form and wire: "matmul"
  std::string_view claim;  // the op kind that claim lists and reports speak of: "MatMul",
                           // "Activation", "Binary", "Compare" …; empty for blocks
  OpClass op_class;
  Stage level = Stage::kMir;  // kHir: a block, gone after HIR lowering
  int min_operands = 0;
  int max_operands = 0;  // -1: any number from min_operands
  int results = 1;       // -1: as many as inference finds
  int subgraphs = 0;
  bool commutative = false;
  std::span<const AttrSpec> attrs = {};
  // What a run checks; empty: no run can fail here. Operands that a node lacks are not checked.
  std::span<const RunCheck> checks = {};
  // Result types from operand types and attributes; required for every op but inputs and params
  // (whose type is declared).
  absl::Status (*infer)(InferContext&) = nullptr;
  // The op's meaning in double or exact integers; required for every MIR op.
  absl::Status (*evaluate)(EvalContext&) = nullptr;
  // The op in terms of others, for composites and fused ops: emits into the builder and returns one
  // value per result. HIR blocks: their lowering under the builder's FusionPolicy. Null: primitive.
  absl::StatusOr<std::vector<Value>> (*decompose)(GraphBuilder&, const Node&) = nullptr;
  // Draws a random valid instance. Required for every MIR op but leaves.
  OpSample (*sample)(Rng&) = nullptr;
  std::string_view doc = {};  // one sentence with the formula and operand order
  // What reports call one in an HIR module that the author did not name. Null: a block's name,
  // without "hir.".
  std::string (*label)(const Node&) = nullptr;
};

const OpInfo& Info(OpKind kind);
inline std::string_view Name(OpKind kind) { return Info(kind).name; }
// What reports call a node of an HIR module: the author's name, else a block's label, else
// `mir(matmul)`.
std::string HirLabel(const Node& node);
const OpInfo* FindOp(std::string_view name);  // null when unknown
std::span<const OpInfo* const> AllOps();      // in OpKind order
bool IsClaimName(std::string_view claim);     // whether some row carries it

inline bool IsLeaf(OpKind kind) { return Info(kind).op_class == OpClass::kLeaf; }
inline bool IsElementwise(OpKind kind) { return Info(kind).op_class == OpClass::kElementwise; }

// Checks arity, checks attributes against the row's specs, puts them in order and fills defaults;
// then infers result types, which must be those declared where `node.results` is not empty.
// `node.operands` refer into `graph`; subgraphs have valid outputs. The message names the attribute
// or operand. On failure `node` is in between.
absl::Status CompleteAndInfer(const Graph& graph, Node& node,
                              std::vector<DimConstraint>& constraints);

}  // namespace rlx
