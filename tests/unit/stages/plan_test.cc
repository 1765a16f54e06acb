// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>

#include "runtime/base/fault.h"
#include "runtime/stages/stages.h"
#include "tests/unit/stages/models.h"

namespace rlx::stages {
namespace {

using testing::HasSubstr;

CompileResult CompileOrFail(const Module& module, const CompileOptions& options = {}) {
  CompileRequest request;
  request.options = options;
  absl::StatusOr<CompileResult> result = CompileModuleStages(module, request);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : CompileResult{};
}

absl::Status Judged(const Module& module) { return CompileModuleStages(module, {}).status(); }

// Two branches over one input, a narrow view, an output in the middle.
Module Planned() {
  const Module mir = ParseOrFail(R"(mir "branches" {
    %0 = input "x" : f32[4,8]
    %1 = param "w" : f32[8,8]
    %2 = softmax "left" (%0) {axis = 1}
    %3 = cumsum "right" (%0) {axis = 1}
    %4 = narrow "tail" (%2) {axis = 0, start = 1, length = 3}
    %5 = softmax "deep" (%4) {axis = 0}
    %6 = matmul "product" (%3, %1)
    %7 = narrow "head" (%6) {axis = 0, start = 0, length = 3}
    %8 = cumsum "sum" (%7) {axis = 0}
    %9 = concat "both" (%5, %8) {axis = 1}
    output "y" = %9
    output "z" = %3
  })");
  CompileOptions options;
  options.fusion.skip_fusion = true;
  options.supported_ops = std::set<std::string>{};
  return ModuleFromLir(CompileOrFail(mir, options).lir);
}

// The plan of a module that is not shared, for spoiling.
template <class Spoil>
Module With(const Module& module, const Spoil& spoil) {
  Module out = module;
  BufferPlan plan = *module.plan;
  spoil(plan);
  out.plan = std::make_shared<const BufferPlan>(std::move(plan));
  return out;
}

Assignment& At(BufferPlan& plan, NodeId node) {
  for (Assignment& a : plan.assignments) {
    if (a.value.node == node) return a;
  }
  ADD_FAILURE() << node;
  return plan.assignments.front();
}

TEST(Plan, ComesBackAsItWasMade) {
  for (const Module& module : {LlamaBlock("fusable"), BertBlock("fusable"), Planned()}) {
    const CompileResult first = CompileOrFail(module);
    const Module lir = ModuleFromLir(first.lir);
    const CompileResult second = CompileOrFail(lir);
    EXPECT_EQ(second.lir.plan, first.lir.plan);
    EXPECT_EQ(Print(second.lir.graph), Print(first.lir.graph));
  }
}

TEST(Plan, IsPartOfTheText) {
  for (const Module& module : {Planned(), LlamaBlock("fusable", "batch", "seq")}) {
    const Module lir = ModuleFromLir(CompileOrFail(module).lir);
    const std::string text = Print(lir);
    EXPECT_THAT(text, HasSubstr("plan {"));
    const absl::StatusOr<Module> read = ParseModule(text);
    ASSERT_TRUE(read.ok()) << read.status() << text;
    ASSERT_NE(read->plan, nullptr);
    EXPECT_EQ(*read->plan, *lir.plan);
    EXPECT_EQ(Print(*read), text);
    EXPECT_TRUE(Judged(*read).ok()) << Judged(*read);
  }
}

TEST(Plan, IsKeptWhereItIsValid) {
  const Module module = Planned();
  // Nothing shares, and the right branch runs first.
  const Module apart = With(module, [](BufferPlan& plan) {
    int64_t end = 0;
    for (Assignment& a : plan.assignments) {
      if (a.storage != Storage::kArena) continue;
      a.offset = end;
      end += (a.bytes + plan.alignment - 1) & -plan.alignment;
    }
    plan.arena_bytes = end;
    std::swap(plan.schedule[0], plan.schedule[1]);
  });
  ASSERT_NE(*apart.plan, *module.plan);
  EXPECT_EQ(CompileOrFail(apart).lir.plan, *apart.plan);
}

TEST(Plan, IsMadeWhereThereIsNone) {
  Module module = Planned();
  const BufferPlan plan = *module.plan;
  module.plan = nullptr;
  EXPECT_EQ(CompileOrFail(module).lir.plan, plan);
}

TEST(Plan, IsMadeAnewForBoundSymbols) {
  const Module lir = ModuleFromLir(CompileOrFail(LlamaBlock("fusable", "batch", "seq")).lir);
  EXPECT_EQ(lir.plan->dynamic_symbols, (std::vector<std::string>{"batch", "seq"}));
  CompileOptions options;
  options.dim_binding = DimBinding{{"batch", 2}, {"seq", 6}};
  const CompileResult bound = CompileOrFail(lir, options);
  EXPECT_TRUE(bound.lir.plan.dynamic_symbols.empty());
  EXPECT_GT(bound.lir.plan.arena_bytes, 0);
}

// Whether symbols are bound when the module is compiled or later, its graph is the one that came.
TEST(Plan, BindingSymbolsRunsNoPass) {
  const Module lir = ModuleFromLir(CompileOrFail(LlamaBlock("fusable", "batch", "seq")).lir);
  CompileOptions options;
  options.kernel_dispatch.policy = DispatchPolicy::kForceCommon;
  const DimBinding sizes = {{"batch", 2}, {"seq", 6}};
  const CompileResult general = CompileOrFail(lir, options);
  EXPECT_TRUE(general.as_given);
  const auto later = general.Specialize(sizes, nullptr, {});
  ASSERT_TRUE(later.ok()) << later.status();
  options.dim_binding = sizes;
  const CompileResult now = CompileOrFail(lir, options);
  EXPECT_EQ(Print(later->lir.graph), Print(now.lir.graph));
  EXPECT_EQ(later->lir.plan, now.lir.plan);
  const auto padded = general.SpecializeUpTo({{"batch", 4}, {"seq", 8}}, nullptr, {});
  ASSERT_TRUE(padded.ok()) << padded.status();
  const auto fused = [](const Graph& graph) {
    return std::ranges::count(graph.nodes(), OpKind::kFusedSwiglu, &Node::op);
  };
  ASSERT_GT(fused(lir.graph), 0);
  EXPECT_EQ(fused(padded->lir.graph), fused(lir.graph));
}

// Its types are its author's: another precision would be echoed, and computed in nothing.
TEST(Plan, KeepsItsTypes) {
  const auto refused = [](const CompileOptions& options) {
    CompileRequest request;
    request.options = options;
    const absl::Status status = CompileModuleStages(Planned(), request).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return FaultOf(status).field;
  };
  EXPECT_EQ(refused({.precision = Precision::kBF16}), "options.precision");
  const PrecisionPolicy mixed{.kind = PrecisionPolicyKind::kAutoMixed}, full;
  EXPECT_EQ(refused({.policy = mixed}), "options.policy");
  EXPECT_EQ(refused({.precision = Precision::kF32, .policy = mixed}), "options.policy");
  const CompileOptions said = {.precision = Precision::kF16, .policy = full};
  EXPECT_EQ(CompileOrFail(Planned(), said).options.policy, full);
}

TEST(Plan, KeepsItsAlignment) {
  const Module module = Planned();
  EXPECT_EQ(CompileOrFail(module).options.arena_alignment, 64);
  CompileOptions narrower, wider;
  narrower.arena_alignment = 16;
  wider.arena_alignment = 128;
  EXPECT_EQ(CompileOrFail(module, narrower).options.arena_alignment, 64);
  CompileRequest request;
  request.options = wider;
  const absl::Status refused = CompileModuleStages(module, request).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(refused.ToString(), HasSubstr("options.arena_alignment: 128 is asked"));
}

TEST(Plan, BelongsToLirAlone) {
  Module module = Planned();
  module.stage = Stage::kMir;
  EXPECT_THAT(Judged(module).ToString(), HasSubstr("only a LIR module can have a plan"));
}

struct Spoiled {
  const char* what;
  std::function<void(BufferPlan&)> spoil;  // of Planned()
  const char* says;
};

const Spoiled kSpoiled[] = {
    {"late", [](auto& p) { std::swap(p.schedule[0], p.schedule.back()); },
     "runs %9 concat \"both\" before %5 softmax \"deep\", which it reads"},
    {"twice", [](auto& p) { p.schedule.push_back(8); }, "runs %8 cumsum \"sum\" twice"},
    {"never", [](auto& p) { p.schedule.pop_back(); }, "never runs %9 concat \"both\""},
    {"leaf", [](auto& p) { p.schedule.push_back(0); }, "runs %0 input \"x\", a leaf"},
    {"nowhere", [](auto& p) { p.schedule.push_back(99); }, "node 99, which is not there"},
    {"missing", [](auto& p) { p.assignments.pop_back(); }, "%9 concat \"both\" has no place"},
    {"extra", [](auto& p) { p.assignments.push_back(p.assignments.back()); }, "%9 twice"},
    {"phases", [](auto& p) { p.phases.pop_back(); }, "phases for 9 of 10 nodes"},
    {"unaligned", [](auto& p) { At(p, 2).offset += 8; }, "%2 softmax \"left\" is at"},
    {"negative", [](auto& p) { At(p, 2).offset = -64; }, "%2 softmax \"left\" is at -64"},
    {"outside", [](auto& p) { At(p, 8).offset = 1 << 20; }, "%8 cumsum \"sum\" needs 96 bytes"},
    {"overflow", [](auto& p) { At(p, 8).offset = INT64_MAX - 63; }, "%8 cumsum \"sum\" needs"},
    {"huge", [](auto& p) { p.arena_bytes = 1 << 20; }, "without sharing any"},
    {"unshared", [](auto& p) { p.unshared_bytes += 1; }, "the plan says"},
    {"overlap", [](auto& p) { At(p, 8).offset = At(p, 5).offset; }, "overlap while both hold"},
    {"view", [](auto& p) { At(p, 4).element_offset = 16; }, "lies at element 8 of %2"},
    {"root", [](auto& p) { At(p, 4).root = {3, 0}; }, "the plan says 8 of %3"},
    {"strides", [](auto& p) { At(p, 4).strides = {8, 1}; }, "has strides [8,1] (dense: left out)"},
    {"no view",
     [](auto& p) {
       At(p, 6).storage = Storage::kView;
       At(p, 6).offset = 0;
     },
     "%6 matmul \"product\": cannot be a view of %3"},
    {"storage", [](auto& p) { At(p, 9).storage = Storage::kWeight; },
     "is placed in weight, not in output or arena"},
    {"leaf storage", [](auto& p) { At(p, 1).storage = Storage::kInput; },
     "%1 param \"w\": is placed in input, not in param"},
    {"bytes", [](auto& p) { At(p, 5).bytes = 4; }, "%5 softmax \"deep\": has 96 bytes"},
    {"alignment", [](auto& p) { p.alignment = 48; }, "the plan's alignment is 48"},
    {"symbols", [](auto& p) { p.dynamic_symbols = {"seq"}; }, "says that seq are unbound"},
    {"manifest", [](auto& p) { p.inputs[0].name = "other"; }, "input 0: the plan has \"other\""},
};

TEST(Plan, IsRefusedWithTheNodeNamed) {
  const Module module = Planned();
  ASSERT_TRUE(Judged(module).ok()) << Judged(module);
  for (const Spoiled& one : kSpoiled) {
    const absl::Status status = Judged(With(module, one.spoil));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << one.what << ": " << status;
    EXPECT_THAT(status.ToString(), HasSubstr(one.says)) << one.what;
  }
}

}  // namespace
}  // namespace rlx::stages
