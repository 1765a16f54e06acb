// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "runtime/ir/lower_hir.h"
#include "runtime/stages/stages.h"
#include "tests/support/same_results.h"
#include "tests/unit/stages/models.h"

namespace rlx::stages {
namespace {

using ::testing::HasSubstr;

CompileRequest For(DeviceKind device) {
  CompileRequest request;
  request.device = device;
  return request;
}

CompileResult CompileOrFail(const Module& module, const CompileRequest& request) {
  absl::StatusOr<CompileResult> result = CompileModuleStages(module, request);
  EXPECT_TRUE(result.ok()) << result.status().ToString();
  return result.ok() ? *std::move(result) : CompileResult{};
}

int64_t After(const CompileResult& result, const std::string& op) {
  const auto it = result.fusion.ops_after.find(op);
  return it == result.fusion.ops_after.end() ? 0 : it->second;
}

TEST(Compile, RunsForEveryDeviceWithoutABackEnd) {
  for (int d = 0; d < kDeviceKindCount; ++d) {
    const auto device = static_cast<DeviceKind>(d);
    SCOPED_TRACE(Name(device));
    for (const Module& module : {LlamaBlock("fusable"), BertBlock("fusable"), LlamaBlock("")}) {
      const CompileResult result = CompileOrFail(module, For(device));
      EXPECT_EQ(result.program, nullptr);
      EXPECT_THAT(result.why_no_program, HasSubstr(std::string(DisplayName(device))));
      EXPECT_TRUE(result.dispatch.compile_ready) << result.dispatch.ToString();
      // A whole layer in one op has no intermediates.
      EXPECT_EQ(result.lir.plan.arena_bytes > 0, After(result, "fused_transformer_layer") == 0);
      const absl::StatusOr<Graph> mir = LowerHir(module);
      ASSERT_TRUE(mir.ok());
      EXPECT_TRUE(test::SameResults(*mir, result.lir.graph, 3));
    }
  }
}

// A well-formed block has nothing its author could have done better, under either policy.
TEST(Compile, BlocksAreClean) {
  for (const DeviceKind device : {DeviceKind::kCpu, DeviceKind::kCuda, DeviceKind::kVulkan}) {
    for (const char* policy : {"", "fusable"}) {
      for (const char* extents : {"static", "symbolic"}) {
        const bool symbolic = extents[1] == 'y';
        const char *batch = symbolic ? "batch" : "2", *seq = symbolic ? "seq" : "6";
        for (const Module& module :
             {LlamaBlock(policy, batch, seq), BertBlock(policy, batch, seq)}) {
          SCOPED_TRACE(Cat(Name(device), " ", module.graph.name, " ", policy, " ", extents));
          CompileRequest request = For(device);
          request.options.assert_fusion_clean = true;
          request.options.verbose = true;
          const CompileResult result = CompileOrFail(module, request);
          EXPECT_TRUE(result.fusion.clean()) << result.fusion.ToString();
        }
      }
    }
  }
}

// What the passes make of primitives is what Direct lowering writes at once.
TEST(Compile, BothPoliciesEndAlike) {
  const CompileRequest request = For(DeviceKind::kCpu);
  for (const auto& make : {LlamaBlock, BertBlock}) {
    const CompileResult direct = CompileOrFail(make("", "2", "6"), request);
    const CompileResult fusable = CompileOrFail(make("fusable", "2", "6"), request);
    EXPECT_EQ(direct.fusion.ops_after, fusable.fusion.ops_after);
  }
}

// Metal claims no whole blocks, only their pieces.
TEST(Compile, FusesABertBlock) {
  const CompileResult result = CompileOrFail(BertBlock("fusable"), For(DeviceKind::kMetal));
  EXPECT_EQ(After(result, "fused_matmul_bias_act"), 4);  // qkv, o, ffn1, ffn2
  EXPECT_EQ(After(result, "fused_residual_layer_norm"), 2);
  EXPECT_EQ(After(result, "attention"), 1);
  EXPECT_EQ(After(result, "matmul"), 0);
  EXPECT_EQ(After(result, "add"), 0);
  EXPECT_EQ(result.fusion.ops_before.at("matmul"), 6);
}

TEST(Compile, FusesALlamaBlock) {
  const CompileResult result = CompileOrFail(LlamaBlock("fusable"), For(DeviceKind::kMetal));
  EXPECT_EQ(After(result, "fused_swiglu"), 1);
  EXPECT_EQ(After(result, "fused_residual_rms_norm"), 1);
  EXPECT_EQ(After(result, "matmul") + After(result, "fused_matmul_bias_act"), 4);  // qkv o up down
  EXPECT_EQ(After(result, "add"), 0);  // one in the norm, one in the down projection
  EXPECT_EQ(After(result, "silu"), 0);
}

// Where the target runs whole blocks (cpu, wgpu) and encoder layers (wgpu), they form, under both
// policies and with symbols.
TEST(Compile, FormsBlocksAndLayersWhereTheyAreClaimed) {
  for (const char* policy : {"", "fusable"}) {
    for (const bool symbolic : {false, true}) {
      SCOPED_TRACE(Cat(policy, symbolic ? " symbolic" : " static"));
      const char *batch = symbolic ? "batch" : "2", *seq = symbolic ? "seq" : "6";
      const Module bert = BertBlock(policy, batch, seq), llama = LlamaBlock(policy, batch, seq);
      EXPECT_EQ(After(CompileOrFail(bert, For(DeviceKind::kCpu)), "fused_attention_block"), 1);
      EXPECT_EQ(After(CompileOrFail(llama, For(DeviceKind::kCpu)), "fused_attention_block"), 1);
      EXPECT_EQ(After(CompileOrFail(bert, For(DeviceKind::kMetal)), "fused_attention_block"), 0);
      const CompileResult layer = CompileOrFail(bert, For(DeviceKind::kVulkan));
      EXPECT_EQ(After(layer, "fused_transformer_layer"), 1);
      EXPECT_EQ(After(layer, "attention") + After(layer, "fused_attention_block"), 0);
      EXPECT_TRUE(layer.fusion.clean()) << layer.fusion.ToString();
      const CompileResult decoder = CompileOrFail(llama, For(DeviceKind::kVulkan));
      EXPECT_EQ(After(decoder, "fused_attention_block"), 1);
      EXPECT_EQ(After(decoder, "rope") + After(decoder, "fused_transformer_layer"), 0);
    }
  }
}

TEST(Compile, NodesKeepTheBlockTheyCameFrom) {
  const CompileResult result = CompileOrFail(LlamaBlock("fusable"), For(DeviceKind::kCpu));
  for (const Node& node : result.lir.graph.nodes()) {
    ASSERT_FALSE(node.sources.empty());
    EXPECT_EQ(node.sources[0].kind, SourceRef::Kind::kHir);
  }
  for (const Remark& remark : result.fusion.remarks) {
    ASSERT_FALSE(remark.sources.empty()) << remark.message;
    EXPECT_FALSE(remark.pass.empty());
  }
}

const char kUnclean[] = R"(mir "m" {
  %0 = input "x" : f32[2,4]
  %1 = param "w" : f32[4,4]
  %2 = param "b" : f32[4]
  %3 = matmul "up" (%0, %1)
  %4 = add(%3, %2)
  %5 = softmax(%3)
  output "y" = %4
  output "z" = %5
})";

TEST(Compile, AssertFusionCleanNamesTheMisses) {
  CompileRequest request = For(DeviceKind::kCpu);
  const CompileResult result = CompileOrFail(ParseOrFail(kUnclean), request);
  EXPECT_FALSE(result.fusion.clean());
  EXPECT_THAT(result.fusion.Summary(), HasSubstr("missed_mm_act=1"));
  EXPECT_THAT(result.fusion.ToString(), HasSubstr("%3 (matmul) has 2 users [up]"));
  request.options.assert_fusion_clean = true;
  const absl::Status status = CompileModuleStages(ParseOrFail(kUnclean), request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Cat(status.message()),
            "fusion is not clean: matmul_bias_act (multi_consumer): %3 (matmul) has 2 users");
}

// A verbose report says what passes that stayed out would have done, and why they did.
TEST(Compile, VerboseReportsShowWhatStayedOut) {
  CompileRequest request = For(DeviceKind::kCuda);
  const Module module = LlamaBlock("fusable");
  const auto skipped = [&] {
    std::vector<Remark> remarks = CompileOrFail(module, request).fusion.remarks;
    std::erase_if(remarks, [](const Remark& r) { return r.reason != "pass_skipped"; });
    return remarks;
  };
  EXPECT_TRUE(skipped().empty());
  request.options.verbose = true;
  const std::vector<Remark> remarks = skipped();
  ASSERT_EQ(remarks.size(), 3u);
  EXPECT_EQ(remarks[0].pass, "fuse_attention_block");
  EXPECT_EQ(remarks[1].pass, "fuse_swiglu_dual_matmul");
  EXPECT_EQ(remarks[2].pass, "fuse_swiglu");
  EXPECT_EQ(remarks[1].hint, "the target does not claim FusedSwiGLU");
  EXPECT_FALSE(remarks[1].actionable);
  EXPECT_THAT(remarks[1].message, HasSubstr("could be: "));
}

// What the request's own dispatch keeps out is not said to be the target's.
TEST(Compile, SaysThatDispatchKeepsAFusionOut) {
  CompileRequest request = For(DeviceKind::kCuda);
  request.options.verbose = true;
  request.options.kernel_dispatch.force_common_kinds = {{"FusedMatMulBiasAct"}};
  const CompileResult result = CompileOrFail(BertBlock("fusable"), request);
  const auto miss = std::ranges::find(result.fusion.remarks, "matmul_bias_act", &Remark::rule);
  ASSERT_NE(miss, result.fusion.remarks.end());
  EXPECT_EQ(miss->hint,
            "the request sends FusedMatMulBiasAct to its common form (kernel_dispatch)");
}

// One pass's remarks stand in the order of the author's nodes, and every compile says the same.
TEST(Compile, RemarksAreInOrder) {
  const CompileResult once = CompileOrFail(LlamaBlock("fusable"), For(DeviceKind::kMetal));
  const CompileResult again = CompileOrFail(LlamaBlock("fusable"), For(DeviceKind::kMetal));
  EXPECT_EQ(once.fusion, again.fusion);
  const std::vector<Remark>& remarks = once.fusion.remarks;
  for (size_t i = 1; i < remarks.size(); ++i) {
    if (remarks[i].pass == remarks[i - 1].pass) {
      EXPECT_LE(remarks[i - 1].sources, remarks[i].sources);
    }
  }
}

TEST(Compile, SummaryIsOneLineOfTokens) {
  const CompileResult result = CompileOrFail(LlamaBlock("fusable"), For(DeviceKind::kMetal));
  const FusionReport& fusion = result.fusion;
  EXPECT_EQ(fusion.Summary(),
            Cat("nodes=", fusion.nodes_before, "→", fusion.nodes_after,
                " matmul=7→3 fused_mm_act=1 fused_swiglu=1 elementwise_region=0 missed_mm_act=0 "
                "missed_swiglu=0 missed_shared_mm=0"));
}

TEST(Compile, SkipFusionLeavesPrimitives) {
  CompileRequest request = For(DeviceKind::kCpu);
  request.options.fusion.skip_fusion = true;
  const CompileResult result = CompileOrFail(BertBlock("fusable"), request);
  EXPECT_EQ(After(result, "matmul"), 6);
  EXPECT_EQ(After(result, "fused_matmul_bias_act"), 0);
  EXPECT_EQ(After(result, "elementwise_region"), 0);
}

TEST(Compile, UnknownSymbolsInABindingAreRefused) {
  CompileRequest request = For(DeviceKind::kCpu);
  request.options.dim_binding = DimBinding{{"batch", 2}};
  const absl::Status status = CompileModuleStages(LlamaBlock(""), request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Cat(status.message()), HasSubstr("dim_binding: the module has no symbol \"batch\""));
}

TEST(Compile, BindsAndSpecializesSymbols) {
  CompileRequest request = For(DeviceKind::kCpu);
  const Module module = LlamaBlock("fusable", "batch", "seq");
  const CompileResult symbolic = CompileOrFail(module, request);
  EXPECT_EQ(symbolic.lir.plan.dynamic_symbols, (std::vector<std::string>{"batch", "seq"}));
  const auto partial = symbolic.Specialize({{"seq", 6}}, nullptr, {});
  ASSERT_TRUE(partial.ok()) << partial.status().ToString();
  EXPECT_EQ(partial->lir.plan.dynamic_symbols, std::vector<std::string>{"batch"});
  const auto full = partial->Specialize({{"batch", 2}}, nullptr, {});
  ASSERT_TRUE(full.ok());
  EXPECT_TRUE(full->lir.plan.dynamic_symbols.empty());

  request.options.dim_binding = DimBinding{{"batch", 2}, {"seq", 6}};
  const CompileResult bound = CompileOrFail(module, request);
  EXPECT_TRUE(test::SameResults(bound.lir.graph, full->lir.graph, 5));
  EXPECT_EQ(bound.fusion.ops_after, full->fusion.ops_after);

  EXPECT_EQ(symbolic.Specialize({{"batch", 9}}, nullptr, {}).status().code(),
            absl::StatusCode::kInvalidArgument);  // beyond the symbol's range
  EXPECT_EQ(symbolic.Specialize({{"rows", 9}}, nullptr, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Compile, PlansALirModuleAsItStands) {
  Module lir = ParseOrFail(kUnclean);
  lir.stage = Stage::kLir;
  const CompileResult result = CompileOrFail(lir, For(DeviceKind::kCpu));
  EXPECT_EQ(result.fusion.nodes_before, result.fusion.nodes_after);
  EXPECT_TRUE(result.fusion.remarks.empty());
  EXPECT_TRUE(result.passes.empty());
  EXPECT_EQ(Print(GraphFromLir(result.lir), {.sources = false}),
            Print(lir.graph, {.sources = false}));
}

TEST(Compile, RefusesAModuleThatDoesNotVerify) {
  Module module = ParseOrFail(kUnclean);
  module.graph.node(3).operands[1] = {9, 0};
  EXPECT_EQ(CompileModuleStages(module, For(DeviceKind::kCpu)).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CompileHirStages(ParseOrFail(kUnclean), For(DeviceKind::kCpu)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// What nobody reads may go, and its error with it, be it a node or what a loop computes beside its
// results; an error that an output depends on stays.
TEST(Compile, DropsErrorsOfDeadCodeAlone) {
  const auto loop = [](std::string_view output) {
    return ParseOrFail(Cat(R"(mir "m" {
      %0 = input "x" : f32[2,4]
      %1 = constant {value = i64[] (7)}
      %2 = gather(%0, %1) {axis = 0}
      %3 = scan(%0, %1) {carries = 1, sequences = 0, length = [3]} graph "" {
        %0 = input : f32[2,4]
        %1 = input : i64[]
        %2 = gather(%0, %1) {axis = 0}
        %3 = tanh(%0)
        output "" = %3
        output "" = %2
      }
      output "y" = )",
                           output, "\n}\n"))
        .graph;
  };
  const Graph dead = loop("%3"), live = loop("%3.1"), plain = loop("%2");
  const TensorMap inputs = test::RandomInputs(dead, 1);
  for (int d = 0; d < kDeviceKindCount; ++d) {
    const auto device = static_cast<DeviceKind>(d);
    SCOPED_TRACE(Name(device));
    for (const Graph* graph : {&dead, &live, &plain}) {
      const CompileResult result = CompileOrFail({.graph = *graph}, For(device));
      EXPECT_TRUE(test::SameOutcome(*graph, result.lir.graph, 1));
      const absl::Status run = Evaluate(result.lir.graph, inputs).status();
      if (graph != &dead) {
        EXPECT_EQ(run.code(), absl::StatusCode::kInvalidArgument);
      }
    }
    CompileRequest whole = For(device), least = whole;
    whole.options.dce = false;
    const auto gathers = [&](const CompileRequest& request) {
      return After(CompileOrFail({.graph = dead}, request), "gather");
    };
    EXPECT_GT(gathers(whole), 0);
    EXPECT_LT(gathers(least), gathers(whole));
  }
}

TEST(Compile, ReportsProgressDumpsAndTimes) {
  CompileRequest request = For(DeviceKind::kCpu);
  std::vector<std::string> phases, dumps;
  request.observer.progress = [&](std::string_view phase, std::string_view detail) {
    if (detail.empty()) phases.emplace_back(phase);
  };
  request.observer.dump = [&](std::string_view stage, const std::string& text) {
    dumps.emplace_back(stage);
    EXPECT_TRUE(text.starts_with(stage.substr(0, 3))) << stage << ": " << text.substr(0, 40);
  };
  request.observer.dump_each_pass = true;
  const CompileResult result = CompileOrFail(BertBlock("fusable"), request);
  EXPECT_EQ(phases, (std::vector<std::string>{"verify", "hir", "mir", "lir", "codegen"}));
  EXPECT_THAT(dumps,
              ::testing::IsSupersetOf({"hir", "mir", "mir:after fuse_matmul_bias_act", "lir"}));
  EXPECT_EQ(result.phase_seconds.size(), std::size(kPhases));
}

TEST(Compile, StopsWhenTheCallerHasGone) {
  std::stop_source source;
  source.request_stop();
  CompileRequest request = For(DeviceKind::kCpu);
  request.cancel = CancelToken(source.get_token());
  EXPECT_EQ(CompileModuleStages(LlamaBlock(""), request).status().code(),
            absl::StatusCode::kCancelled);
}

// Not after the pass, which may take long.
TEST(Compile, StopsInTheMiddleOfAPass) {
  const auto module = ParseModule(R"(mir "m" {
    %0 = constant {value = f32[] (1)}
    %1 = expand(%0) {shape = [100]}
    output "y" = %1
  })");
  ASSERT_TRUE(module.ok());
  std::stop_source source;
  CompileRequest request = For(DeviceKind::kCpu);
  request.cancel = CancelToken(source.get_token());
  request.observer.progress = [&](std::string_view, std::string_view pass) {
    if (pass == "constant_folding") source.request_stop();
  };
  bool folded = false;
  request.observer.after_pass = [&](std::string_view pass, const Graph&) {
    folded |= pass == "constant_folding";
  };
  EXPECT_EQ(CompileModuleStages(*module, request).status().code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(folded);
}

// Whatever a compile lists is in an order that the module gives: no table's, no address's.
TEST(Compile, ListsInTheModulesOrder) {
  const Module module = LlamaBlock("fusable", "batch", "seq");
  const CompileResult result = CompileOrFail(module, For(DeviceKind::kCuda));
  const Graph& graph = result.lir.graph;
  std::vector<std::string> declared, kept;
  for (const OpKind kind : {OpKind::kInput, OpKind::kParam}) {
    for (const Node& node : module.graph.nodes())
      if (node.op == kind) declared.push_back(node.name);
    for (const Node& node : graph.nodes())
      if (node.op == kind) kept.push_back(node.name);
  }
  EXPECT_GT(kept.size(), 8u);
  EXPECT_EQ(kept, declared);
  // Operands come before their readers, and sorting anew changes nothing.
  for (NodeId id = 0; id < graph.size(); ++id) {
    for (Value operand : graph.node(id).operands) ASSERT_LT(operand.node, id);
  }
  Graph sorted = graph;
  ASSERT_TRUE(sorted.Normalize().ok());
  EXPECT_EQ(Print(sorted), Print(graph));
  const BufferPlan& plan = result.lir.plan;
  const auto value = [](const Assignment& assignment) { return assignment.value; };
  EXPECT_FALSE(plan.assignments.empty());
  EXPECT_TRUE(std::ranges::is_sorted(plan.assignments, {}, value));
  EXPECT_TRUE(std::ranges::is_sorted(plan.schedule));
  EXPECT_TRUE(std::ranges::is_sorted(plan.dynamic_symbols));
  EXPECT_EQ(plan.dynamic_symbols.size(), 2u);
}

}  // namespace
}  // namespace rlx::stages
