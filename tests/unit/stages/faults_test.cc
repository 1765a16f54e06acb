// SPDX-License-Identifier: Apache-2.0
// Faults of the system whose vocabulary this one follows, by their rows in its list of weaknesses:
// each test fails where the stages share the fault.
#include <gmock/gmock.h>

#include "runtime/ir/op_info.h"
#include "runtime/stages/pipeline.h"
#include "runtime/stages/stages.h"
#include "tests/unit/stages/models.h"

namespace rlx::stages {
namespace {

using ::testing::HasSubstr;

// Row 1: the wrong stage panics.
TEST(Faults, Row1AWrongStageIsAnError) {
  const auto result = CompileHirStages({Stage::kMir, FusionPolicy::kDirect, {}}, {});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
}

// Row 18: binding clamps a slice, and a broadcast of two symbols records nothing.
TEST(Faults, Row18BindingChecksInsteadOfClamping) {
  const Module sum = ParseOrFail(R"(mir "m" {
    symbol n in [2, 9]
    symbol m in [2, 9]
    %0 = input "x" : f32[n,4]
    %1 = input "y" : f32[m,4]
    %2 = add(%0, %1)
    output "y" = %2
  })");
  const auto compiled = CompileModuleStages(sum, {});
  ASSERT_TRUE(compiled.ok()) << compiled.status().ToString();
  EXPECT_TRUE(compiled->Specialize({{"n", 3}, {"m", 3}}, nullptr, {}).ok());
  const absl::Status conflict = compiled->Specialize({{"n", 3}, {"m", 4}}, nullptr, {}).status();
  EXPECT_EQ(conflict.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Cat(conflict.message()), HasSubstr("3"));

  const Module slice = ParseOrFail(R"(mir "m" {
    symbol n in [2, 9]
    %0 = input "x" : f32[n,4]
    %1 = narrow(%0) {axis = 0, start = 1, length = 3}
    output "y" = %1
  })");
  CompileRequest request;
  request.options.dim_binding = DimBinding{{"n", 4}};
  EXPECT_TRUE(CompileModuleStages(slice, request).ok());
  request.options.dim_binding = DimBinding{{"n", 3}};
  EXPECT_EQ(CompileModuleStages(slice, request).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// Row 19: weights that a fusion joins are joined again by every run.
TEST(Faults, Row19WeightsAreJoinedWhenTheyAreBound) {
  for (const char* policy : {"", "fusable"}) {
    const auto result = CompileModuleStages(LlamaBlock(policy), {.device = DeviceKind::kMetal});
    ASSERT_TRUE(result.ok());
    int joined = 0;
    for (const Assignment& a : result->lir.plan.assignments) {
      if (result->lir.graph.node(a.value.node).op != OpKind::kConcat) continue;
      EXPECT_EQ(a.storage, Storage::kWeight);
      ++joined;
    }
    EXPECT_EQ(joined, 2);  // q, k and v; gate and up
  }
}

// Row 20: heads are copied to make grouped queries plain ones.
TEST(Faults, Row20GroupedHeadsAreNotCopied) {
  for (const char* policy : {"", "fusable"}) {
    const auto result = CompileModuleStages(LlamaBlock(policy), {.device = DeviceKind::kMetal});
    ASSERT_TRUE(result.ok());
    for (const Node& node : result->lir.graph.nodes()) {
      if (node.op != OpKind::kConcat) continue;
      // Weights alone are joined.
      EXPECT_EQ(node.results[0].rank(), 2);
    }
  }
}

// Row 22: reports in the order of a hash table. Remarks come as the passes do, and in each by the
// place that they are about; kinds by name.
TEST(Faults, Row22ReportsComeInOneOrder) {
  CompileRequest request{.device = DeviceKind::kCuda};
  request.options.verbose = true;
  request.options.supported_ops = std::set<std::string>{"Activation", "Binary", "Reduce"};
  const auto result = CompileModuleStages(BertBlock("fusable"), request);
  ASSERT_TRUE(result.ok()) << result.status();
  std::map<std::string_view, size_t> place;
  for (const passes::Pass& pass : AllPasses()) place.emplace(pass.name, place.size());
  const std::vector<Remark>& remarks = result->fusion.remarks;
  size_t within = 0;  // neighbours of one pass
  for (size_t i = 1; i < remarks.size(); ++i) {
    const Remark &before = remarks[i - 1], &after = remarks[i];
    ASSERT_LE(place.at(before.pass), place.at(after.pass)) << before.message;
    if (before.pass != after.pass) continue;
    EXPECT_LE(before.sources, after.sources) << before.message << "\n" << after.message;
    ++within;
  }
  EXPECT_GT(within, 8u);
  const DispatchReport& dispatch = result->dispatch;
  const auto by_claim = [](const auto& a, const auto& b) { return a.claim < b.claim; };
  EXPECT_GT(dispatch.kinds.size(), 5u);
  EXPECT_TRUE(std::ranges::is_sorted(dispatch.kinds, by_claim));
  // Numbers of the result, which stand in labels as their sources.
  EXPECT_GT(dispatch.unsupported.size(), 2u);
  size_t next = 0;
  for (const Node& node : result->lir.graph.nodes()) {
    if (next == dispatch.unsupported.size()) break;
    const std::string_view claim = Info(node.op).claim;
    if (dispatch.unsupported[next].claim == claim) ++next;
  }
  EXPECT_EQ(next, dispatch.unsupported.size()) << "not in the order of the result's nodes";
}

}  // namespace
}  // namespace rlx::stages
