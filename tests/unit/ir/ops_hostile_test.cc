// SPDX-License-Identifier: Apache-2.0
// Whatever a client writes into a node, completing it ends in a result or in a message, and what is
// accepted can be taken apart. Run under the sanitizers, this finds checks that are missing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/ops/rules.h"
#include "tests/unit/ir/op_testing.h"

namespace rlx {
namespace {

constexpr int64_t kOdd[] = {0, 1, 2, 3, -1, -2, 7, 64, int64_t{1} << 31, INT64_MAX, INT64_MIN};
constexpr double kOddFloats[] = {0, -1, 1e-300, 1e300, -0.0};

template <class T, size_t N>
T Any(Rng& rng, const T (&values)[N]) {
  return values[Draw(rng, 0, N - 1)];
}

Dim AnyDim(Rng& rng) {
  switch (Draw(rng, 0, 3)) {
    case 0:
      return Dim::Symbol(kSeq);
    case 1:
      return FloorDiv(Dim::Symbol(kBatch) * Dim(3), Dim(2));
    default:
      return std::max(int64_t{1}, Any(rng, kOdd));
  }
}

void Spoil(Rng& rng, TensorType& type) {
  switch (Draw(rng, 0, 3)) {
    case 0:
      type.dtype = static_cast<DType>(Draw(rng, 0, kDTypeCount - 1));
      break;
    case 1:
      type.shape.push_back(AnyDim(rng));
      break;
    case 2:
      if (!type.shape.empty()) type.shape.pop_back();
      break;
    default:
      if (!type.shape.empty()) type.shape[rng() % type.shape.size()] = AnyDim(rng);
  }
}

void Spoil(Rng& rng, AttrValue& value) {
  if (auto* i = std::get_if<int64_t>(&value)) *i = Any(rng, kOdd);
  if (auto* f = std::get_if<double>(&value)) *f = Any(rng, kOddFloats);
  if (auto* b = std::get_if<bool>(&value)) *b = !*b;
  if (auto* list = std::get_if<std::vector<int64_t>>(&value)) {
    if (list->empty() || Flip(rng))
      list->push_back(Any(rng, kOdd));
    else
      (*list)[rng() % list->size()] = Any(rng, kOdd);
  }
}

// A well-formed start: MIR rows draw their own, blocks start from a shape that fits nothing.
OpSample Start(const OpInfo& row, Rng& rng) {
  if (row.sample != nullptr) return row.sample(rng);
  OpSample sample;
  for (int i = 0; i < row.min_operands; ++i) sample.operands.push_back(FloatOperand({2, 4, 8}));
  for (const AttrSpec& spec : row.attrs) {
    if (spec.required && spec.type == AttrType::kInt) {
      sample.attrs.push_back({std::string(spec.name), Any(rng, kOdd)});
    } else if (spec.required) {
      sample.attrs.push_back({std::string(spec.name), Any(rng, kOddFloats)});
    }
  }
  return sample;
}

void Spoil(Rng& rng, OpSample& sample) {
  const int64_t operands = static_cast<int64_t>(sample.operands.size());
  const int64_t attrs = static_cast<int64_t>(sample.attrs.size());
  const int64_t at = Draw(rng, -2, operands + attrs - 1);
  if (at == -2)
    sample.operands.push_back(FloatOperand({AnyDim(rng)}));
  else if (at == -1 && operands > 0)
    sample.operands.pop_back();
  else if (at >= operands)
    Spoil(rng, sample.attrs[at - operands].value);
  else if (at >= 0)
    Spoil(rng, sample.operands[at].type);
}

class Hostile : public testing::TestWithParam<const OpInfo*> {};

TEST_P(Hostile, EndsInAResultOrAMessage) {
  Rng rng(31);
  int accepted = 0, refused = 0;
  for (int round = 0; round < 600; ++round) {
    OpSample sample = Start(*GetParam(), rng);
    for (int64_t spoils = Draw(rng, 1, 3); spoils > 0; --spoils) Spoil(rng, sample);
    Graph graph;
    GraphBuilder b(graph);
    std::vector<Value> operands;
    for (const auto& operand : sample.operands) {
      operands.push_back(
          b.Input(std::string(1, static_cast<char>('a' + operands.size())), operand.type));
    }
    const auto results = b.EmitAll(GetParam()->kind, operands, sample.attrs, sample.subgraphs);
    if (!b.status().ok()) {
      ++refused;
      ASSERT_FALSE(Message(b.status()).empty());
      continue;
    }
    ++accepted;
    if (GetParam()->decompose == nullptr) continue;
    const Node node = graph.node(results[0].node);
    const auto parts = GetParam()->decompose(b, node);
    ASSERT_TRUE(!parts.ok() || parts->size() == results.size());
  }
  EXPECT_GT(refused, 0);
  EXPECT_TRUE(accepted > 0 || GetParam()->sample == nullptr);
}

INSTANTIATE_TEST_SUITE_P(Ops, Hostile, testing::ValuesIn([] {
                           std::vector<const OpInfo*> rows;
                           for (const OpInfo* row : AllOps()) {
                             if (row->op_class != OpClass::kLeaf) rows.push_back(row);
                           }
                           return rows;
                         }()),
                         [](const auto& info) {
                           std::string name(info.param->name);
                           for (char& c : name) c = c == '.' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace rlx
