// SPDX-License-Identifier: Apache-2.0
// Every op that decomposes means the same as its parts, on random instances of its row's own
// sample.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "runtime/base/text.h"
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

// What the whole refuses, its parts refuse: no index is passed over.
TEST(Decompose, PartsCheckIndicesToo) {
  Rng rng(3);
  const auto floats = [&](std::vector<int64_t> dims) { return RandomF64(rng, std::move(dims)); };
  struct Indexed {
    OpCase op_case;  // without the indices, which come last and are below 3
    DType dtype;
    std::string_view message;
  };
  const Indexed cases[] = {
      {{OpKind::kScatterAdd, {floats({2, 4})}, {{"rows", Shape{3}}}},
       DType::kU8,
       "scatter_add index "},
      {{OpKind::kGroupedMatMul, {floats({2, 4}), floats({3, 4, 5})}, {}},
       DType::kI64,
       "grouped_matmul index "},
      {{OpKind::kRope,
        {floats({1, 2, 4}), floats({3, 2}), floats({3, 2})},
        {{"head_dim", int64_t{4}}}},
       DType::kI32,
       "rope index "},
  };
  for (const Indexed& c : cases) {
    for (const int64_t index : {2, 3, 200, -1}) {
      if (index < 0 && c.dtype == DType::kU8) continue;
      SCOPED_TRACE(Cat(c.message, index));
      OpCase op_case = c.op_case;
      const std::vector<int64_t> indices = {0, index};
      op_case.operands.push_back(HostTensor::FromInts(c.dtype, {2}, indices));
      const absl::Status whole = EvalOp(op_case).status(), parts = EvalParts(op_case).status();
      EXPECT_EQ(whole.ok(), index == 2) << whole;
      EXPECT_EQ(parts.code(), whole.code()) << parts;
      if (parts.ok()) continue;
      EXPECT_THAT(Message(parts),
                  testing::HasSubstr(Cat(c.message, index, " is outside extent 3")));
    }
  }
}

}  // namespace
}  // namespace rlx
