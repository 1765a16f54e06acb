// SPDX-License-Identifier: Apache-2.0
// What holds for every row of the op table.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "runtime/base/status.h"
#include "runtime/ir/text.h"
#include "runtime/ir/verify.h"
#include "tests/support/graphs.h"

namespace rlx {
namespace {

constexpr int kSeeds = 60;

// Calls fn(row, sample, rng) for random instances of every op that has samples.
template <class Fn>
void ForEachSample(Fn&& fn) {
  for (const OpInfo* info : AllOps()) {
    if (info->sample == nullptr) continue;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
      SCOPED_TRACE(Cat(info->name, " seed ", seed));
      Rng rng(seed);
      const OpSample sample = info->sample(rng);
      fn(*info, sample, rng);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(OpRows, AreFoundByKindAndName) {
  std::set<OpKind> kinds;
  for (const OpInfo* info : AllOps()) {
    EXPECT_TRUE(kinds.insert(info->kind).second);
    EXPECT_EQ(&Info(info->kind), info);
    EXPECT_EQ(FindOp(info->name), info);
    EXPECT_EQ(IsClaimName(info->claim), info->level == Stage::kMir);
  }
  EXPECT_EQ(FindOp("frobnicate"), nullptr);
  EXPECT_FALSE(IsClaimName("Frobnicate"));
}

TEST(OpRows, HaveWhatTheirClassNeeds) {
  for (const OpInfo* info : AllOps()) {
    SCOPED_TRACE(info->name);
    EXPECT_FALSE(info->doc.empty());
    EXPECT_EQ(info->claim.empty(), info->level == Stage::kHir);  // a block is gone before claims
    const bool bound = info->kind == OpKind::kInput || info->kind == OpKind::kParam;
    EXPECT_EQ(info->infer == nullptr, bound);
    const bool mir = info->level == Stage::kMir;
    EXPECT_EQ(info->evaluate == nullptr, bound || !mir);
    const bool composite = !mir || info->op_class == OpClass::kComposite;
    EXPECT_TRUE(info->decompose != nullptr || !composite);
    const bool drawn = mir && info->op_class != OpClass::kLeaf;
    EXPECT_TRUE(info->sample != nullptr || !drawn);
    std::set<std::string_view> names;
    for (const AttrSpec& spec : info->attrs) {
      EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
      EXPECT_FALSE(spec.doc.empty()) << spec.name;
      EXPECT_TRUE(!spec.required || spec.fallback.index() == 0) << spec.name;
    }
  }
}

TEST(OpRows, SamplesVerify) {
  ForEachSample([](const OpInfo& info, const OpSample& sample, Rng&) {
    const Graph graph = test::SampleGraph(info, sample);
    const absl::Status status = VerifyGraph(graph, {}, info.level);
    EXPECT_TRUE(status.ok()) << Message(status);
  });
}

TEST(OpRows, SamplesRoundTripAsText) {
  ForEachSample([](const OpInfo& info, const OpSample& sample, Rng&) {
    Module module;
    module.stage = info.level;
    module.graph = test::SampleGraph(info, sample);
    const std::string text = Print(module);
    const auto parsed = ParseModule(text);
    ASSERT_TRUE(parsed.ok()) << Message(parsed.status()) << "\n" << text;
    EXPECT_EQ(Print(*parsed), text);
  });
}

TEST(OpRows, SamplesEvaluateToTheirInferredTypes) {
  ForEachSample([](const OpInfo& info, const OpSample& sample, Rng& rng) {
    if (info.level != Stage::kMir) return;
    const Graph graph = test::SampleGraph(info, sample);
    const auto results = Evaluate(graph, test::SampleInputs(sample, rng));
    ASSERT_TRUE(results.ok()) << Message(results.status());
    ASSERT_EQ(results->size(), graph.outputs().size());
    for (size_t i = 0; i < results->size(); ++i) {
      const EvalTensor& result = (*results)[i];
      EXPECT_EQ(result.ToHost().type(), graph.type(graph.outputs()[i].value));
      for (double value : result.f) EXPECT_TRUE(std::isfinite(value));
    }
  });
}

// In double the two sides differ by rounding, and by the constants that a decomposition stores in
// the operands' dtype.
TEST(OpRows, DecompositionsAgreeWithEvaluation) {
  ForEachSample([](const OpInfo& info, const OpSample& sample, Rng& rng) {
    if (info.level != Stage::kMir || info.decompose == nullptr) return;
    const Graph graph = test::SampleGraph(info, sample);
    const auto decomposed = test::Decompose(graph, graph.outputs()[0].value.node);
    ASSERT_TRUE(decomposed.ok()) << Message(decomposed.status());
    const absl::Status sound = VerifyGraph(*decomposed);
    ASSERT_TRUE(sound.ok()) << Message(sound);
    const TensorMap inputs = test::SampleInputs(sample, rng);
    const auto want = Evaluate(graph, inputs), got = Evaluate(*decomposed, inputs);
    ASSERT_TRUE(want.ok()) << Message(want.status());
    ASSERT_TRUE(got.ok()) << Message(got.status());
    for (size_t i = 0; i < want->size(); ++i) {
      const EvalTensor &a = (*want)[i], &b = (*got)[i];
      ASSERT_EQ(a.dims, b.dims);
      ASSERT_EQ(a.dtype, b.dtype);
      EXPECT_EQ(a.i, b.i);
      for (size_t k = 0; k < a.f.size(); ++k)
        ASSERT_NEAR(a.f[k], b.f[k], 1e-6 * (1 + std::abs(a.f[k]))) << "element " << k;
    }
  });
}

}  // namespace
}  // namespace rlx
