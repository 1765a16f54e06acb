// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

constexpr std::span<const OpRow> (*kFamilies[])() = {
    ActivationOps, ArithmeticOps, AttentionOps, BitOps,       CastOps,   ConstantOps, ControlOps,
    ConvOps,       EinsumOps,     GatherOps,    LogicOps,     LossOps,   MatMulOps,   MovementOps,
    NormOps,       PoolOps,       QuantizeOps,  RecurrentOps, ReduceOps, RegionOps,   ResizeOps,
    SelectionOps,  SequenceOps,   ShapeOps,     SignalOps,    TextOps,   VisionOps,
};

using Rows = std::vector<const OpRow*>;

Rows Sorted() {
  Rows rows;
  for (const auto family : kFamilies)
    for (const OpRow& row : family()) rows.push_back(&row);
  std::sort(rows.begin(), rows.end(), [](const OpRow* a, const OpRow* b) {
    return std::tie(a->domain, a->name, a->since) < std::tie(b->domain, b->name, b->since);
  });
  return rows;
}

const Rows& All() {
  static const Rows rows = Sorted();
  return rows;
}

}  // namespace

const OpRow* FindOp(std::string_view domain, std::string_view name, int opset) {
  const Rows& rows = All();
  const auto key = std::pair(domain, name);
  auto found = std::lower_bound(rows.begin(), rows.end(), key, [](const OpRow* row, auto wanted) {
    return std::pair(row->domain, row->name) < wanted;
  });
  for (; found != rows.end() && std::pair((*found)->domain, (*found)->name) == key; ++found)
    if (opset >= (*found)->since && opset <= (*found)->until) return *found;
  return nullptr;
}

std::span<const OpRow* const> AllRows() { return All(); }

}  // namespace rlx::onnx
