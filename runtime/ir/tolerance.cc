// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/tolerance.h"

#include <algorithm>

namespace rlx {
namespace {

// Half the distance from 1 to the next number: the error of one rounding.
double UnitRoundoff(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return 0x1p-53;
    case DType::kF32:
    case DType::kC64:
      return 0x1p-24;
    case DType::kF16:
      return 0x1p-11;
    case DType::kBF16:
      return 0x1p-8;
    case DType::kFp8E4M3:
      return 0x1p-4;
    case DType::kFp8E5M2:
      return 0x1p-3;
    default:
      return 0;
  }
}

// In units of one rounding. `narrow` is for 8- and 16-bit floats, whose kernels compute in f32 and
// round the result (and perhaps a staged operand): their errors are a few roundings whatever the
// op.
struct Row {
  OpClass op_class;
  Tolerance wide, narrow;
};
constexpr Row kTable[] = {
    // Bits move, nothing rounds.
    {OpClass::kLeaf, {0, 0}, {0, 0}},
    {OpClass::kMovement, {0, 0}, {0, 0}},
    // Vector exp, erf, tanh are within some 4 units; sin and cos lose digits next to their zeros;
    // a region rounds once an op.
    {OpClass::kElementwise, {16, 8}, {4, 2}},
    // n terms in any order: about √n roundings of the partial sums for random terms, at most n.
    // Tests
    // sum up to a few thousand.
    {OpClass::kReduction, {64, 64}, {4, 4}},
    {OpClass::kContraction, {64, 128}, {4, 4}},
    // Two reductions, a square root and a division on top of each other.
    {OpClass::kNormalization, {128, 64}, {8, 4}},
    // Several of the above: attention is two contractions around a softmax.
    {OpClass::kComposite, {256, 256}, {12, 8}},
    {OpClass::kSpecial, {256, 256}, {12, 8}},
    {OpClass::kControlFlow, {256, 256}, {12, 8}},
    {OpClass::kBlock, {1024, 1024}, {32, 16}},
};

Tolerance Times(Tolerance tolerance, double factor) {
  return {tolerance.relative * factor, tolerance.scale * factor};
}

bool Less(const Tolerance& a, const Tolerance& b) {
  return a.relative + a.scale < b.relative + b.scale;
}

Tolerance ToleranceOf(const Graph& graph, const Node& node) {
  Tolerance widest;
  const OpClass op_class = Info(node.op).op_class;
  for (const TensorType& type : node.results)
    widest = std::max(widest, ToleranceOf(op_class, type.dtype), Less);
  for (Value operand : node.operands)
    widest = std::max(widest, ToleranceOf(op_class, graph.type(operand).dtype), Less);
  // Nested graphs may compute in narrower types than they take and give.
  for (const auto& body : node.subgraphs) widest = std::max(widest, ToleranceOf(*body), Less);
  return widest;
}

}  // namespace

Tolerance ToleranceOf(OpClass op_class, DType dtype) {
  const bool narrow = IsNarrowFloat(dtype);
  for (const Row& row : kTable)
    if (row.op_class == op_class) return Times(narrow ? row.narrow : row.wide, UnitRoundoff(dtype));
  return {};
}

Tolerance ToleranceOf(const Graph& graph) {
  std::vector<Tolerance> chain(graph.size());
  Tolerance widest;
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    for (Value operand : node.operands) chain[id] = std::max(chain[id], chain[operand.node], Less);
    const Tolerance own = ToleranceOf(graph, node);
    chain[id] = {chain[id].relative + own.relative, chain[id].scale + own.scale};
    widest = std::max(widest, chain[id], Less);
  }
  return widest;
}

}  // namespace rlx
