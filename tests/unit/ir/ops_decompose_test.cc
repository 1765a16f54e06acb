// SPDX-License-Identifier: Apache-2.0
// Every op that decomposes means the same as its parts, on random instances of its row's own
// sample.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "tests/unit/ir/op_testing.h"

namespace rlx {
namespace {

std::vector<const OpInfo*> Composites() {
  std::vector<const OpInfo*> rows;
  for (const OpInfo* row : AllOps()) {
    if (row->level == Stage::kMir && row->decompose && row->sample) rows.push_back(row);
  }
  return rows;
}

class Decompose : public testing::TestWithParam<const OpInfo*> {};

TEST_P(Decompose, MeansTheSame) {
  Rng rng(17);
  for (int round = 0; round < 150; ++round) {
    const OpCase op_case = DrawCase(GetParam()->kind, rng);
    const auto whole = EvalOp(op_case), parts = EvalParts(op_case);
    ASSERT_TRUE(whole.ok()) << Message(whole.status()) << "\n" << Describe(op_case);
    ASSERT_TRUE(parts.ok()) << Message(parts.status()) << "\n" << Describe(op_case);
    for (size_t i = 0; i < whole->size(); ++i) {
      ASSERT_LT(MaxDifference((*whole)[i], (*parts)[i]), 1e-9) << Describe(op_case);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, Decompose, testing::ValuesIn(Composites()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace rlx
