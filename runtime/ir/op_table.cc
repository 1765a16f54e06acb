// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <set>

#include "runtime/base/check.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/ops/families.h"

namespace rlx {
namespace {

#define RLX_NAME(name) #name,
constexpr std::string_view kKindNames[] = {RLX_OP_KINDS(RLX_NAME)};
#undef RLX_NAME

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
#define RLX_FAMILY(name) AddFamily(table, name());
  RLX_OP_FAMILIES(RLX_FAMILY)
#undef RLX_FAMILY
  for (int kind = 0; kind < kOpKindCount; ++kind) {
    CHECK(table.rows[kind] != nullptr, "OpKind::k", kKindNames[kind], " has no row");
  }
  return table;
}

const Table& TheTable() {
  static const Table table = Gather();
  return table;
}

}  // namespace

const OpInfo& Info(OpKind kind) { return *TheTable().rows[static_cast<int>(kind)]; }

const OpInfo* FindOp(std::string_view name) {
  const auto& names = TheTable().by_name;
  const auto found = names.find(name);
  return found == names.end() ? nullptr : found->second;
}

std::span<const OpInfo* const> AllOps() { return TheTable().rows; }

bool IsClaimName(std::string_view claim) {
  return !claim.empty() && TheTable().claims.contains(claim);
}

}  // namespace rlx
