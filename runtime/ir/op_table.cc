// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <set>

#include "runtime/base/check.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/ops/families.h"

namespace rlx {
namespace {

struct Table {
  std::vector<const OpInfo*> rows;  // by kind
  std::map<std::string_view, const OpInfo*> by_name;
  std::set<std::string_view> claims;
};

void AddFamily(Table& table, std::span<const OpInfo> family) {
  for (const OpInfo& row : family) {
    const OpInfo*& slot = table.rows[static_cast<int>(row.kind)];
    CHECK(slot == nullptr, row.name, " has two rows");
    slot = &row;
    CHECK(table.by_name.emplace(row.name, &row).second, row.name, " names two kinds");
    if (row.level == Stage::kMir) table.claims.insert(row.claim);
  }
}

Table Gather() {
  Table table;
  table.rows.resize(kOpKindCount);
  for (const auto family :
       {LeafOps,          UnaryOps,        BinaryOps,  RegionOps,      MovementOps,
        ReductionOps,     ControlFlowOps,  MatMulOps,  ConvolutionOps, QuantizedWeightOps,
        NormalizationOps, AttentionOps,    FusedOps,   FusedBlockOps,  HirLinearOps,
        CustomOps,        HirAttentionOps, HirConvOps, HirLlamaOps,    HirBertOps,
        HirQwenOps}) {
    AddFamily(table, family());
  }
  return table;
}

const Table& TheTable() {
  static const Table table = Gather();
  return table;
}

}  // namespace

const OpInfo& Info(OpKind kind) {
  const OpInfo* row = TheTable().rows[static_cast<int>(kind)];
  CHECK(row != nullptr, "kind ", static_cast<int>(kind), " has no row");
  return *row;
}

const OpInfo* FindOp(std::string_view name) {
  const auto& names = TheTable().by_name;
  const auto found = names.find(name);
  return found == names.end() ? nullptr : found->second;
}

std::span<const OpInfo* const> AllOps() {
  static const std::vector<const OpInfo*> present = [] {
    std::vector<const OpInfo*> rows = TheTable().rows;
    std::erase(rows, nullptr);
    return rows;
  }();
  return present;
}

bool IsClaimName(std::string_view claim) {
  return !claim.empty() && TheTable().claims.contains(claim);
}

}  // namespace rlx
