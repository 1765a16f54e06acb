// SPDX-License-Identifier: Apache-2.0
// Compiles for a back end that claims what a test says, and emits one call a node.
#include "runtime/device/backend.h"

#include <gmock/gmock.h>

#include "runtime/base/status.h"
#include "runtime/device/program_builder.h"
#include "runtime/ir/op_info.h"
#include "runtime/stages/stages.h"
#include "tests/unit/stages/models.h"

namespace rlx::stages {
namespace {

using ::testing::HasSubstr;

class PaperBackend final : public device::Backend {
 public:
  std::set<std::string> kinds;                        // what it claims by kind
  std::function<bool(const Graph&, NodeId)> refuses;  // what it refuses of these

  std::string_view name() const override { return "paper"; }
  DeviceKind kind() const override { return DeviceKind::kCpu; }
  std::vector<device::Target> Targets() const override { return {device::Target{}}; }
  device::Claim Claims(const Graph& graph, NodeId id, const device::Target&) const override {
    if (kinds.count(std::string(Info(graph.node(id).op).claim)) == 0) return {false, "no rule"};
    if (refuses && refuses(graph, id)) return {false, "not this one"};
    return {true, "a call"};
  }
  std::vector<std::string> ClaimedKinds(const device::Target&) const override {
    return {kinds.begin(), kinds.end()};
  }
  bool AcceptsStrided(const Graph&, NodeId, int) const override { return false; }
  absl::Status Lower(NodeId id, device::ProgramBuilder& out) const override {
    device::Step step;
    step.kind = device::Step::Kind::kCall;
    step.routine = Name(out.graph().node(id).op);
    for (Value v : out.graph().node(id).operands) step.buffers.push_back(out.In(v).buffer);
    step.buffers.push_back(out.Out({id, 0}).buffer);
    out.Emit(std::move(step));
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> CompileKernels(std::span<const kernel::Kernel>, const device::Target&,
                                             const CancelToken&) const override {
    return std::string();
  }
  std::string CompilerVersion() const override { return "paper 1"; }
  std::vector<device::DeviceInfo> Enumerate(std::string& why) const override {
    why = "it is paper";
    return {};
  }
  absl::StatusOr<std::shared_ptr<device::Device>> Open(
      std::string_view, const device::DeviceOptions&) const override {
    return Unavailable("it is paper");
  }
};

std::set<std::string> Everything() {
  std::set<std::string> kinds;
  for (const OpInfo* op : AllOps()) kinds.emplace(op->claim);
  return kinds;
}

// All but whole blocks and layers.
std::set<std::string> Pieces() {
  std::set<std::string> kinds = Everything();
  kinds.erase("FusedAttentionBlock");
  kinds.erase("FusedTransformerLayer");
  return kinds;
}

CompileRequest For(const PaperBackend& backend) {
  CompileRequest request;
  request.backend = &backend;
  return request;
}

DispatchReport::Kind KindOf(const DispatchReport& report, std::string_view claim) {
  for (const DispatchReport::Kind& kind : report.kinds) {
    if (kind.claim == claim) return kind;
  }
  ADD_FAILURE() << claim << " is not in the report";
  return {};
}

TEST(CompileForBackend, MakesAProgram) {
  PaperBackend backend;
  backend.kinds = Pieces();
  const auto result = CompileModuleStages(BertBlock("fusable"), For(backend));
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  ASSERT_NE(result->program, nullptr) << result->why_no_program;
  EXPECT_FALSE(result->program->steps.empty());
  // Joining the weights of q, k and v is done when they are bound.
  EXPECT_FALSE(result->program->weight_steps.empty());
  EXPECT_EQ(result->dispatch.backend, "paper");
  // Those of q, k and v became one, over weights joined.
  EXPECT_EQ(KindOf(result->dispatch, "FusedMatMulBiasAct").how,
            "a call; others rewritten to Concat, FusedMatMulBiasAct, Narrow");
}

// Claims come from the back end, not from the table of its fusion target.
TEST(CompileForBackend, FusesOnlyWhatItClaims) {
  PaperBackend backend;
  backend.kinds = Pieces();
  backend.kinds.erase("FusedResidualLN");
  const auto result = CompileModuleStages(BertBlock("fusable"), For(backend));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->fusion.ops_after.count("fused_residual_layer_norm"), 0u);
  EXPECT_EQ(result->fusion.ops_after.at("layer_norm"), 2);
}

// Whose length is a symbol is written out when that is known: until then it is no reason to refuse
// the module, unless no pass will come.
TEST(CompileForBackend, WritesAScanOutOnceItsLengthIsKnown) {
  PaperBackend backend;
  backend.kinds = Everything();
  backend.kinds.erase("Scan");
  Module module = ParseOrFail(R"(mir "sums" {
    symbol n in [1, 100000]
    %0 = input "h" : f32[4]
    %1 = input "xs" : f32[n,4]
    %2 = scan(%0, %1) {carries = 1, sequences = 1, length = [n]} graph "" {
      %0 = input "h" : f32[4]
      %1 = input "x" : f32[4]
      %2 = add(%0, %1)
      output "h" = %2
      output "y" = %2
    }
    output "h" = %2.0
    output "ys" = %2.1
  })");
  const auto symbolic = CompileModuleStages(module, For(backend));
  ASSERT_TRUE(symbolic.ok()) << symbolic.status();
  const DispatchReport::Kind scan = KindOf(symbolic->dispatch, "Scan");
  EXPECT_EQ(scan.path, DispatchReport::Path::kRewritten);
  EXPECT_EQ(scan.how, "written out once its length is known");
  EXPECT_EQ(symbolic->why_no_program, "symbols are unbound: n");
  // Two nodes a turn, and 20,000 at most: not every admissible length runs.
  EXPECT_FALSE(symbolic->dispatch.compile_ready);
  EXPECT_TRUE(symbolic->runs_at_some_sizes);
  ASSERT_EQ(symbolic->dispatch.unsupported.size(), 1u);
  const std::string& why = symbolic->dispatch.unsupported[0].why;
  const int64_t first = std::stoll(why.substr(why.rfind(' ')));
  EXPECT_THAT(why, HasSubstr(Cat(", from n = ", first)));
  for (const int64_t length : {first - 1, first}) {
    const auto at = symbolic->Specialize({{"n", length}}, nullptr, {});
    ASSERT_TRUE(at.ok()) << at.status();
    EXPECT_EQ(at->dispatch.compile_ready, length < first) << length;
  }
  const auto bound = symbolic->Specialize({{"n", 3}}, &backend, {});
  ASSERT_TRUE(bound.ok()) << bound.status();
  ASSERT_NE(bound->program, nullptr) << bound->why_no_program;
  EXPECT_EQ(bound->fusion.ops_after.count("scan"), 0u);
  const auto longer = symbolic->Specialize({{"n", 30000}}, &backend, {});
  ASSERT_TRUE(longer.ok()) << longer.status();
  EXPECT_THAT(longer->why_no_program,
              HasSubstr("the target does not claim Scan, and it is not written out: too long"));
  module.stage = Stage::kLir;
  const auto given = CompileModuleStages(module, For(backend));
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_THAT(given->why_no_program, HasSubstr("the target does not claim Scan)"));
}

// Nor do they follow another fusion target, whose limits hold.
TEST(CompileForBackend, KeepsItsClaimsUnderAnotherFusionTarget) {
  PaperBackend backend;
  backend.kinds = Pieces();
  const CompileOptions options = {.fusion_target = FusionTarget::kTpu};
  const auto with = Resolve(DeviceKind::kCpu, options, &backend);
  const auto without = Resolve(DeviceKind::kCpu, options, nullptr);
  ASSERT_TRUE(with.ok() && without.ok());
  EXPECT_EQ(with->claims, Pieces());
  EXPECT_EQ(with->gates, Pieces());
  EXPECT_EQ(without->claims, RuntimeClaimsFor(FusionTarget::kTpu));
  EXPECT_EQ(with->limits, LimitsFor(FusionTarget::kTpu));
  EXPECT_EQ(without->limits, LimitsFor(FusionTarget::kTpu));
}

// Direct lowering writes fused ops whatever the target: unclaimed ones are taken apart again.
TEST(CompileForBackend, RewritesUnclaimedKinds) {
  PaperBackend backend;
  backend.kinds = Everything();
  backend.kinds.erase("FusedSwiGLU");
  const auto result = CompileModuleStages(LlamaBlock(""), For(backend));
  ASSERT_TRUE(result.ok());
  const DispatchReport::Kind kind = KindOf(result->dispatch, "FusedSwiGLU");
  EXPECT_EQ(kind.path, DispatchReport::Path::kRewritten);
  EXPECT_EQ(kind.nodes, 1);
  EXPECT_EQ(kind.nodes_after, 0);
  // What took its place, not what the rest of its block became.
  EXPECT_EQ(kind.how, "rewritten to Activation, Binary, Narrow");
  EXPECT_TRUE(result->dispatch.compile_ready);
}

// Nodes are counted before the passes and after them, also of kinds that stay.
TEST(CompileForBackend, CountsNodesBeforeAndAfter) {
  PaperBackend backend;
  backend.kinds = Everything();
  const auto result = CompileModuleStages(ParseOrFail(R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = param "b" : f32[4]
    %3 = matmul(%0, %1)
    %4 = add(%3, %2)
    %5 = matmul(%4, %1)
    %6 = matmul(%5, %1)
    %7 = constant {value = f32[] (2)} : f32[]
    %8 = sqrt(%7)
    %9 = mul(%6, %8)
    output "y" = %9
  })"),
                                          For(backend));
  ASSERT_TRUE(result.ok()) << result.status();
  const DispatchReport::Kind products = KindOf(result->dispatch, "MatMul");
  EXPECT_EQ(products.nodes, 3);
  EXPECT_EQ(products.nodes_after, 2);
  EXPECT_EQ(products.how, "a call; others rewritten to FusedMatMulBiasAct");
  const DispatchReport::Kind fused = KindOf(result->dispatch, "FusedMatMulBiasAct");
  EXPECT_EQ(fused.nodes, 0);
  EXPECT_EQ(fused.nodes_after, 1);
  EXPECT_EQ(KindOf(result->dispatch, "Activation").how, "computed at compile time");
}

// A module that could not run at any size says so, rather than ask for sizes.
TEST(CompileForBackend, SaysWhatCannotRunBeforeItAsksForSizes) {
  PaperBackend backend;
  backend.kinds = Everything();
  backend.kinds.erase("FusedSwiGLU");
  CompileRequest request = For(backend);
  request.options.kernel_dispatch.force_native_kinds = std::set<std::string>{"FusedSwiGLU"};
  const auto result = CompileModuleStages(LlamaBlock("", "batch", "seq"), request);
  ASSERT_TRUE(result.ok());
  EXPECT_THAT(result->why_no_program, HasSubstr("cannot run 1 kind: FusedSwiGLU ×1"));
}

// Lowering, folding and merging go on without fusion, and are none.
TEST(CompileForBackend, CountsOnlyFusionsAsFusions) {
  PaperBackend backend;
  backend.kinds = Pieces();
  backend.kinds.erase("Rope");
  const auto count = [](const FusionReport& report, Remark::Kind kind) {
    return std::ranges::count(report.remarks, kind, &Remark::kind);
  };
  for (const bool skip : {false, true}) {
    CompileRequest request = For(backend);
    request.options.fusion.skip_fusion = skip;
    const auto result = CompileModuleStages(LlamaBlock("fusable"), request);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(count(result->fusion, Remark::Kind::kApplied) == 0, skip);
    EXPECT_GT(count(result->fusion, Remark::Kind::kRewritten), 0);
    EXPECT_THAT(result->fusion.ToString(), HasSubstr("rewritten by decompose_unclaimed ×"));
  }
}

// Without a bound a saving has no number, which is not to save nothing.
TEST(CompileForBackend, SaysThatSavingsAreUnknown) {
  PaperBackend backend;
  backend.kinds = Everything();
  const auto compile = [&](std::string_view symbol) {
    return CompileModuleStages(ParseOrFail(Cat("mir \"m\" { ", symbol, R"(
      %0 = input "x" : f32[n,4]
      %1 = exp(%0)
      %2 = tanh(%1)
      output "y" = %2
    })")),
                               For(backend));
  };
  const auto bounded = compile("symbol n in [1, 8]"), open = compile("symbol n in [1, 2147483648]");
  ASSERT_TRUE(bounded.ok() && open.ok()) << bounded.status() << open.status();
  ASSERT_EQ(bounded->fusion.remarks.size(), 1u);
  EXPECT_EQ(bounded->fusion.remarks[0].bytes_saved, 2 * 8 * 4 * 4);
  EXPECT_FALSE(bounded->fusion.remarks[0].bytes_unknown);
  ASSERT_EQ(open->fusion.remarks.size(), 1u);
  EXPECT_TRUE(open->fusion.remarks[0].bytes_unknown);
  EXPECT_THAT(open->fusion.ToString(), HasSubstr("unknown bytes saved"));
}

TEST(CompileForBackend, SendsForcedKindsToTheirCommonForm) {
  PaperBackend backend;
  backend.kinds = Everything();
  CompileRequest request = For(backend);
  request.options.kernel_dispatch.force_common_kinds = std::set<std::string>{"FusedSwiGLU"};
  const auto result = CompileModuleStages(LlamaBlock(""), request);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(KindOf(result->dispatch, "FusedSwiGLU").path, DispatchReport::Path::kCommonIr);
}

// A kind may be claimed and one node of it refused: only that one is taken apart.
TEST(CompileForBackend, TakesApartTheNodesItRefuses) {
  PaperBackend backend;
  backend.kinds = Pieces();
  backend.refuses = [](const Graph& graph, NodeId id) {
    return graph.node(id).op == OpKind::kFusedMatMulBiasAct &&
           graph.node(id).Str("activation") == "gelu";
  };
  const auto result = CompileModuleStages(BertBlock("fusable"), For(backend));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->fusion.ops_after.at("fused_matmul_bias_act"), 3);
  EXPECT_EQ(result->fusion.ops_after.at("matmul"), 1);
  EXPECT_TRUE(result->dispatch.compile_ready);
}

// A block that the back end claims by kind but refuses as it stands is not made: its pieces stay as
// fused as without the claim.
TEST(CompileForBackend, MakesNoBlockThatItRefuses) {
  PaperBackend backend;
  backend.kinds = Everything();
  const auto layer = CompileModuleStages(BertBlock("fusable"), For(backend));
  ASSERT_TRUE(layer.ok());
  EXPECT_EQ(layer->fusion.ops_after.at("fused_transformer_layer"), 1);

  backend.refuses = [](const Graph& graph, NodeId id) {
    return graph.node(id).op == OpKind::kFusedTransformerLayer ||
           graph.node(id).op == OpKind::kFusedAttentionBlock;
  };
  PaperBackend pieces;
  pieces.kinds = Pieces();
  for (const Module& module : {BertBlock("fusable"), BertBlock(""), LlamaBlock("fusable")}) {
    const auto refused = CompileModuleStages(module, For(backend));
    const auto unclaimed = CompileModuleStages(module, For(pieces));
    ASSERT_TRUE(refused.ok() && unclaimed.ok());
    EXPECT_EQ(refused->fusion.ops_after, unclaimed->fusion.ops_after);
    EXPECT_TRUE(refused->dispatch.compile_ready);
  }
}

// One that arrives with the module becomes the fused pieces.
TEST(CompileForBackend, TakesApartABlockThatArrives) {
  PaperBackend backend;
  backend.kinds = Pieces();
  const Module module = ParseOrFail(R"(mir "m" {
    %0 = input "x" : f32[2,6,16]
    %1 = param "qkv_w" : f32[16,48]
    %2 = param "qkv_b" : f32[48]
    %3 = param "out_w" : f32[16,16]
    %4 = param "out_b" : f32[16]
    %5 = fused_attention_block(%0, %1, %2, %3, %4)
        {num_heads = 4, head_dim = 4, has_qkv_bias = true, has_out_bias = true}
    %6 = add(%5, %0)
    output "y" = %6
  })");
  const auto result = CompileModuleStages(module, For(backend));
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(result->fusion.ops_after.at("fused_matmul_bias_act"), 2);
  EXPECT_EQ(result->fusion.ops_after.at("attention"), 1);
  EXPECT_EQ(result->fusion.ops_after.count("add"), 0u);
}

TEST(CompileForBackend, NamesWhatItCannotRun) {
  PaperBackend backend;
  backend.kinds = Everything();
  backend.kinds.erase("Activation");
  const Module module = ParseOrFail(R"(mir "m" {
    %0 = input "x" : f32[2]
    %1 = exp(%0)
    %2 = tanh(%1)
    output "y" = %2
  })");
  const auto result = CompileModuleStages(module, For(backend));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->program, nullptr);
  EXPECT_FALSE(result->dispatch.compile_ready);
  EXPECT_EQ(KindOf(result->dispatch, "Activation").path, DispatchReport::Path::kUnsupported);
  EXPECT_THAT(result->why_no_program, HasSubstr("%1 (exp)"));

  const absl::Status status = CompileGraphStagesForBackend(module.graph, For(backend)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(Cat(status.message()),
            "back end paper cannot run 1 kind: Activation ×2 (%1 (exp): the target does not claim "
            "Activation)");
  EXPECT_EQ(CompileGraphStagesForBackend(module.graph, {}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(CompileForBackend, ForceNativeReportsInsteadOfRewriting) {
  PaperBackend backend;
  backend.kinds = Everything();
  backend.kinds.erase("FusedSwiGLU");
  CompileRequest request = For(backend);
  request.options.kernel_dispatch.policy = DispatchPolicy::kForceNative;
  const auto result = CompileModuleStages(LlamaBlock(""), request);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(KindOf(result->dispatch, "FusedSwiGLU").path, DispatchReport::Path::kUnsupported);
  EXPECT_EQ(result->dispatch.policy, "force_native");
}

// A kind that is forced native stays although nobody runs it, and is reported.
TEST(CompileForBackend, ForcedNativeKindsStay) {
  PaperBackend backend;
  backend.kinds = Pieces();
  backend.kinds.erase("FusedSwiGLU");
  CompileRequest request = For(backend);
  request.options.kernel_dispatch.policy = DispatchPolicy::kForceCommon;
  request.options.kernel_dispatch.force_native_kinds = std::set<std::string>{"FusedSwiGLU"};
  const auto result = CompileModuleStages(LlamaBlock(""), request);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(KindOf(result->dispatch, "FusedSwiGLU").path, DispatchReport::Path::kUnsupported);
  EXPECT_FALSE(result->dispatch.compile_ready);
  EXPECT_THAT(result->why_no_program, HasSubstr("cannot run 1 kind: FusedSwiGLU ×1"));
}

// What no size helps is found while symbols are open: a type that the back end has no kernel of.
TEST(CompileForBackend, RefusesTypesWithSymbolsOpen) {
  PaperBackend backend;
  backend.kinds = Everything();
  backend.refuses = [](const Graph& graph, NodeId id) {
    return graph.node(id).results[0].dtype == DType::kC64;
  };
  for (const std::string_view type : {"c64", "f32"}) {
    const auto result = CompileModuleStages(ParseOrFail(Cat(R"(mir "m" {
      symbol n in [2, 64]
      %0 = input "x" : )",
                                                            type, R"([n,4]
      %1 = exp(%0)
      output "y" = %1
    })")),
                                            For(backend));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->dispatch.compile_ready, type == "f32");
    EXPECT_EQ(result->runs_at_some_sizes, type == "f32");
    EXPECT_EQ(result->why_no_program,
              type == "f32" ? "symbols are unbound: n"
                            : "back end paper cannot run 1 kind: Activation ×1 (%1 (exp): not this "
                              "one)");
  }
}

// And where sizes do matter the report says which: the back end runs up to 40 rows.
TEST(CompileForBackend, NamesTheSizeFromWhichItRefuses) {
  PaperBackend backend;
  backend.kinds = Everything();
  backend.refuses = [](const Graph& graph, NodeId id) {
    return graph.node(id).op == OpKind::kExp && graph.type({id, 0}).shape[0].value() > 40;
  };
  const auto result = CompileModuleStages(ParseOrFail(R"(mir "m" {
    symbol n in [2, 64]
    %0 = input "x" : f32[n,4]
    %1 = exp(%0)
    output "y" = %1
  })"),
                                          For(backend));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->dispatch.compile_ready);
  EXPECT_TRUE(result->runs_at_some_sizes);
  ASSERT_EQ(result->dispatch.unsupported.size(), 1u);
  EXPECT_EQ(result->dispatch.unsupported[0].why, "not this one, from n = 41");
  EXPECT_EQ(result->why_no_program, "symbols are unbound: n");
}

// A fusion that is claimed takes along what is not claimed by itself; what it leaves is taken
// apart.
TEST(CompileForBackend, FusesWhatIsClaimedOfPartsThatAreNot) {
  const auto compile = [](std::set<std::string> claims, std::string_view text) {
    CompileRequest request{.device = DeviceKind::kGpu, .until = Stage::kLir};
    request.options.supported_ops = std::move(claims);
    const auto result = CompileModuleStages(ParseOrFail(text), request);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : CompileResult{};
  };
  constexpr std::string_view kDense = R"(mir "m" {
    %0 = input "x" : f32[8,16]
    %1 = param "w" : f32[16,4]
    %2 = param "b" : f32[4]
    %3 = matmul(%0, %1)
    %4 = add(%3, %2)
    %5 = gelu(%4)
    output "y" = %5
  })";
  const CompileResult dense = compile({"FusedMatMulBiasAct"}, kDense);
  EXPECT_TRUE(dense.dispatch.compile_ready);
  EXPECT_EQ(dense.fusion.nodes_after, 4);
  constexpr std::string_view kNorms = R"(mir "m" {
    %0 = input "x" : f32[8,16]
    %1 = input "r" : f32[8,16]
    %2 = param "g" : f32[16]
    %3 = param "b" : f32[16]
    %4 = add(%0, %1)
    %5 = layer_norm(%4, %2, %3)
    %6 = layer_norm(%1, %2, %3)
    output "y" = %5
    output "z" = %6
  })";
  const CompileResult norms =
      compile({"Activation", "Binary", "Expand", "Reduce", "Reshape", "FusedResidualLN"}, kNorms);
  EXPECT_TRUE(norms.dispatch.compile_ready);
  EXPECT_EQ(norms.fusion.ops_after.at("fused_residual_layer_norm"), 1);
  EXPECT_EQ(norms.fusion.ops_after.count("layer_norm"), 0u);  // the other one is taken apart
  EXPECT_GT(norms.fusion.ops_after.at("reduce_mean"), 0);
}

// The list of what fusion may make on the target, as a request's claims, does what the table does;
// the weights of q, k and v are joined when they are bound.
TEST(CompileForBackend, FusesWholeLayersOfTheTablesColumn) {
  CompileRequest request{.device = DeviceKind::kGpu, .until = Stage::kLir};
  const auto table = CompileModuleStages(BertBlock("fusable"), request);
  request.options.supported_ops = FusionClaimsFor(FusionTarget::kWgpu);
  request.options.supported_ops->insert("Concat");
  const auto listed = CompileModuleStages(BertBlock("fusable"), request);
  ASSERT_TRUE(table.ok() && listed.ok()) << Cat(table.status(), listed.status());
  EXPECT_EQ(listed->fusion.ops_after, table->fusion.ops_after);
  EXPECT_EQ(listed->fusion.ops_after.at("fused_transformer_layer"), 1);
  EXPECT_TRUE(listed->dispatch.compile_ready) << listed->dispatch.ToString();
}

// A node that stays although the request sends its kind to the common form says why, whether the
// request names the kind or the policy.
TEST(CompileForBackend, SaysWhyAForcedKindStays) {
  const auto compile = [](std::string_view text, const KernelDispatch& dispatch) {
    CompileRequest request{.until = Stage::kLir};
    request.options.kernel_dispatch = dispatch;
    const auto result = CompileModuleStages(ParseOrFail(text), request);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? result->dispatch : DispatchReport{};
  };
  const auto scan = [](int64_t length) {
    return Cat(R"(mir "m" {
      %0 = input "h" : f32[4]
      %1 = scan(%0) {carries = 1, sequences = 0, length = [)",
               length, R"(]} graph "" {
        %0 = input "h" : f32[4]
        %1 = tanh(%0)
        output "h" = %1
      }
      output "h" = %1
    })");
  };
  for (const KernelDispatch& dispatch :
       {KernelDispatch{.policy = DispatchPolicy::kForceCommon},
        KernelDispatch{.force_common_kinds = std::set<std::string>{"Scan"}}}) {
    EXPECT_EQ(KindOf(compile(scan(100), dispatch), "Scan").path, DispatchReport::Path::kCommonIr);
    const DispatchReport::Kind stays = KindOf(compile(scan(20001), dispatch), "Scan");
    EXPECT_EQ(stays.nodes_after, 1);
    EXPECT_THAT(stays.how, HasSubstr("not in its common form, as asked: too long"));
  }
  EXPECT_THAT(KindOf(compile(R"(mir "m" {
    %0 = input "x" : f32[4,4]
    %1 = matmul(%0, %0)
    output "y" = %1
  })",
                             {.force_common_kinds = std::set<std::string>{"MatMul"}}),
                     "MatMul")
                  .how,
              HasSubstr("the kind has no common form"));
}

// With symbols a back end is asked once they are bound.
TEST(CompileForBackend, AsksAboutSymbolicNodesWhenTheyAreBound) {
  PaperBackend backend;
  backend.kinds = Everything();
  backend.refuses = [](const Graph& graph, NodeId id) {
    for (const TensorType& type : graph.node(id).results) {
      EXPECT_TRUE(type.is_static());
    }
    return graph.node(id).op == OpKind::kFusedSwiglu;
  };
  const auto symbolic = CompileModuleStages(LlamaBlock("fusable", "batch", "seq"), For(backend));
  ASSERT_TRUE(symbolic.ok());
  EXPECT_EQ(symbolic->program, nullptr);
  EXPECT_THAT(symbolic->why_no_program, HasSubstr("batch, seq"));
  // Ready as far as can be told, and it says how far that is.
  EXPECT_TRUE(symbolic->dispatch.compile_ready);
  EXPECT_THAT(KindOf(symbolic->dispatch, "FusedSwiGLU").how,
              HasSubstr("claimed; the back end is asked when its sizes are known"));
  const auto bound = symbolic->Specialize({{"batch", 2}, {"seq", 6}}, &backend, {});
  ASSERT_TRUE(bound.ok()) << bound.status().ToString();
  EXPECT_NE(bound->program, nullptr) << bound->why_no_program;
  for (const Node& node : bound->lir.graph.nodes()) EXPECT_NE(node.op, OpKind::kFusedSwiglu);
}

}  // namespace
}  // namespace rlx::stages
