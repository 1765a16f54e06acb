// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/stages/pipeline.h"

namespace rlx::stages {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

ResolvedOptions ResolveOrFail(DeviceKind device, const CompileOptions& options = {}) {
  const absl::StatusOr<ResolvedOptions> resolved = Resolve(device, options, nullptr);
  EXPECT_TRUE(resolved.ok()) << resolved.status().ToString();
  return resolved.ok() ? *resolved : ResolvedOptions{};
}

std::vector<std::string> Names(const ResolvedOptions& options) {
  std::vector<std::string> names;
  for (const passes::Pass& pass : PipelineFor(options)) names.emplace_back(pass.name);
  return names;
}

std::string ErrorOf(const CompileOptions& options) {
  return Resolve(DeviceKind::kCpu, options, nullptr).status().ToString();
}

TEST(DeviceKinds, NamesReadBack) {
  for (int d = 0; d < kDeviceKindCount; ++d) {
    const auto kind = static_cast<DeviceKind>(d);
    EXPECT_EQ(ParseDeviceKind(Name(kind)), kind);
    EXPECT_FALSE(DisplayName(kind).empty());
  }
  for (int t = 0; t < kFusionTargetCount; ++t) {
    const auto target = static_cast<FusionTarget>(t);
    EXPECT_EQ(ParseFusionTarget(Name(target)), target);
  }
  EXPECT_EQ(ParseDeviceKind("npu"), std::nullopt);
  EXPECT_EQ(ParseFusionTarget("vulkan"), std::nullopt);
}

TEST(Targets, FollowTheDeviceTable) {
  const std::map<DeviceKind, FusionTarget> table = {
      {DeviceKind::kCpu, FusionTarget::kCpu},     {DeviceKind::kMetal, FusionTarget::kMetal},
      {DeviceKind::kMlx, FusionTarget::kMlx},     {DeviceKind::kAne, FusionTarget::kCpu},
      {DeviceKind::kCuda, FusionTarget::kCuda},   {DeviceKind::kRocm, FusionTarget::kRocm},
      {DeviceKind::kTpu, FusionTarget::kTpu},     {DeviceKind::kGpu, FusionTarget::kWgpu},
      {DeviceKind::kVulkan, FusionTarget::kWgpu}, {DeviceKind::kOpenGl, FusionTarget::kCpu},
      {DeviceKind::kDirectX, FusionTarget::kCpu}, {DeviceKind::kWebGpu, FusionTarget::kWgpu}};
  for (const auto& [device, target] : table) EXPECT_EQ(FusionTargetFor(device), target);
}

TEST(Targets, EveryClaimIsCarriedByARow) {
  for (int t = 0; t < kFusionTargetCount; ++t) {
    const auto target = static_cast<FusionTarget>(t);
    for (const std::string& claim : FusionClaimsFor(target))
      EXPECT_TRUE(IsClaimName(claim)) << claim;
    for (const std::string& claim : RuntimeClaimsFor(target))
      EXPECT_TRUE(IsClaimName(claim)) << claim;
  }
}

// What passes make where nobody supplies claims, the target must run.
TEST(Targets, GatesAreAmongTheRuntimeClaims) {
  for (int t = 0; t < kFusionTargetCount; ++t) {
    const auto target = static_cast<FusionTarget>(t);
    const std::set<std::string> runtime = RuntimeClaimsFor(target);
    for (const std::string& claim : FusionClaimsFor(target)) EXPECT_THAT(runtime, Contains(claim));
  }
  EXPECT_THAT(FusionClaimsFor(FusionTarget::kCuda), Not(Contains("FusedSwiGLU")));
  EXPECT_THAT(FusionClaimsFor(FusionTarget::kWgpu), Not(Contains("DotGeneral")));
  EXPECT_THAT(FusionClaimsFor(FusionTarget::kTpu), Not(Contains("FusedResidualRmsNorm")));
  EXPECT_THAT(RuntimeClaimsFor(FusionTarget::kMlx), Contains("If"));
}

TEST(Resolve, FillsDefaults) {
  const ResolvedOptions cpu = ResolveOrFail(DeviceKind::kCpu);
  EXPECT_EQ(cpu.arena_alignment, 64);
  EXPECT_TRUE(cpu.dce && cpu.constant_folding);
  EXPECT_EQ(cpu.limits.max_elementwise_steps, std::numeric_limits<uint32_t>::max());
  const ResolvedOptions cuda = ResolveOrFail(DeviceKind::kCuda);
  EXPECT_EQ(cuda.limits, (FusionLimits{32, 16}));
}

// Explicit limits stay, even when they equal another target's default.
TEST(Resolve, KeepsExplicitLimits) {
  CompileOptions options;
  options.fusion.limits = FusionLimits{32, 16};
  EXPECT_EQ(ResolveOrFail(DeviceKind::kCpu, options).limits, (FusionLimits{32, 16}));
}

TEST(Resolve, RequestClaimsWinAndAnEmptyListAcceptsAll) {
  CompileOptions options;
  options.supported_ops = std::set<std::string>{};
  EXPECT_TRUE(ResolveOrFail(DeviceKind::kCpu, options).claims.empty());
  EXPECT_THAT(Names(ResolveOrFail(DeviceKind::kTpu, options)), Contains("fuse_residual_rms_norm"));
  options.supported_ops = std::set<std::string>{"MatMul"};
  const ResolvedOptions resolved = ResolveOrFail(DeviceKind::kCpu, options);
  EXPECT_TRUE(resolved.claims_from_request);
  EXPECT_EQ(resolved.claims, std::set<std::string>{"MatMul"});
  EXPECT_EQ(OptionsWithSupportedOps(options, {"Conv"}).supported_ops, options.supported_ops);
  EXPECT_EQ(OptionsWithSupportedOps({}, {"Conv"}).supported_ops, std::set<std::string>{"Conv"});
}

TEST(Resolve, RefusesBadValuesByName) {
  const std::pair<CompileOptions, std::string_view> cases[] = {
      {{.arena_alignment = 0}, "arena_alignment: 0 is not a power of two"},
      {{.arena_alignment = 48}, "arena_alignment: 48 is not a power of two"},
      {{.arena_alignment = 8}, "arena_alignment: 8 "},
      {{.arena_alignment = 8192}, "arena_alignment: 8192 "},
      {{.arena_alignment = -64}, "arena_alignment: -64 "},
      {{.fusion = {.limits = FusionLimits{0, 16}}}, "fusion_opts.limits.max_elementwise_steps"},
      {{.fusion = {.limits = FusionLimits{32, 0}}}, "fusion_opts.limits.max_elementwise_inputs"},
      {{.supported_ops = std::set<std::string>{"MatMull"}},
       "supported_ops: no op kind is called \"MatMull\""},
      {{.dim_binding = DimBinding{{"batch", 0}}}, "dim_binding: batch = 0"},
      {{.kernel_dispatch = {.force_common_kinds = std::set<std::string>{"x"}}},
       "force_common_kinds"},
      {{.kernel_dispatch = {.force_native_kinds = std::set<std::string>{"x"}}},
       "force_native_kinds"},
      {{.disabled_passes = std::set<std::string>{"fuse_all"}},
       "disabled_passes: no pass is called \"fuse_all\""},
      {{.salt = std::string(65, 's')}, "salt: 65 bytes"},
      {{.policy = PrecisionPolicy{PrecisionPolicyKind::kAlwaysF32, {{"compute", Precision::kF16}}}},
       "policy: custom"},
      {{.policy = PrecisionPolicy{PrecisionPolicyKind::kCustom, {{"gemm", Precision::kF16}}}},
       "policy.custom: no class of ops is called \"gemm\""},
  };
  for (const auto& [options, message] : cases) {
    EXPECT_THAT(ErrorOf(options), HasSubstr(std::string(message)));
    EXPECT_THAT(ErrorOf(options), HasSubstr("INVALID_ARGUMENT"));
  }
}

// A precision stands for the policy that computes all in it; a policy of its own wins.
TEST(Resolve, TurnsPrecisionsIntoPolicies) {
  const auto kind = [](const CompileOptions& options) {
    return ResolveOrFail(DeviceKind::kCpu, options).policy.kind;
  };
  EXPECT_EQ(kind({}), PrecisionPolicyKind::kAlwaysF32);
  EXPECT_EQ(kind({.precision = Precision::kF16}), PrecisionPolicyKind::kAlwaysF16);
  EXPECT_EQ(kind({.precision = Precision::kBF16}), PrecisionPolicyKind::kAutoMixedBf16);
  // The policy alone decides, and the precision is the one that stands for it.
  const auto precision = [](CompileOptions options) {
    return ResolveOrFail(DeviceKind::kCpu, options).precision;
  };
  const PrecisionPolicy all{PrecisionPolicyKind::kAlwaysF16, {}}, none{};
  EXPECT_EQ(precision({.policy = all}), Precision::kF16);
  EXPECT_EQ(precision({.precision = Precision::kBF16, .policy = all}), Precision::kF16);
  EXPECT_EQ(precision({.precision = Precision::kF16, .policy = none}), Precision::kF32);
  const PrecisionPolicy custom = {PrecisionPolicyKind::kCustom, {{"compute", Precision::kBF16}}};
  EXPECT_EQ(
      ResolveOrFail(DeviceKind::kCpu, {.precision = Precision::kF16, .policy = custom}).policy,
      custom);
}

TEST(Pipeline, NarrowsOnlyWhenAsked) {
  EXPECT_THAT(Names(ResolveOrFail(DeviceKind::kCpu)), Not(Contains("mixed_precision")));
  EXPECT_THAT(Names(ResolveOrFail(DeviceKind::kCpu, {.precision = Precision::kBF16})),
              Contains("mixed_precision"));
  EXPECT_THAT(Names(ResolveOrFail(DeviceKind::kTpu)), Contains("lower_broadcast"));
  EXPECT_THAT(Names(ResolveOrFail(DeviceKind::kCuda)), Not(Contains("lower_broadcast")));
}

TEST(Pipeline, NamesAreUnique) {
  std::set<std::string_view> names;
  for (const passes::Pass& pass : AllPasses())
    EXPECT_TRUE(names.insert(pass.name).second) << pass.name;
}

TEST(Pipeline, FollowsClaims) {
  EXPECT_THAT(Names(ResolveOrFail(DeviceKind::kCpu)), Contains("fuse_swiglu_dual_matmul"));
  EXPECT_THAT(Names(ResolveOrFail(DeviceKind::kCuda)), Not(Contains("fuse_swiglu_dual_matmul")));
  EXPECT_THAT(Names(ResolveOrFail(DeviceKind::kCuda)), Contains("fuse_shared_input_matmul"));
  EXPECT_THAT(Names(ResolveOrFail(DeviceKind::kTpu)), Not(Contains("fuse_residual_rms_norm")));
  EXPECT_THAT(Names(ResolveOrFail(DeviceKind::kCpu)), Not(Contains("unfuse_elementwise_regions")));
}

TEST(Pipeline, FollowsOptions) {
  CompileOptions options;
  options.fusion.skip_fusion = true;
  options.dce = false;
  options.constant_folding = false;
  for (const std::string& name : Names(ResolveOrFail(DeviceKind::kCpu, options))) {
    EXPECT_THAT(name, Not(::testing::StartsWith("fuse_")));
    EXPECT_NE(name, "dead_code_elimination");
    EXPECT_NE(name, "constant_folding");
  }
  options = {};
  options.fusion.unfuse_elementwise_regions = true;
  options.disabled_passes = std::set<std::string>{"fuse_swiglu"};
  const std::vector<std::string> names = Names(ResolveOrFail(DeviceKind::kCpu, options));
  EXPECT_THAT(names, Not(Contains("mark_elementwise_regions")));
  EXPECT_THAT(names, Contains("unfuse_elementwise_regions"));
  EXPECT_THAT(names, Not(Contains("fuse_swiglu")));
}

TEST(Pipeline, ForcedCommonKindsCloseTheirGates) {
  CompileOptions options;
  options.kernel_dispatch.force_common_kinds =
      std::set<std::string>{"FusedSwiGLU", "FusedResidualLN"};
  options.kernel_dispatch.force_native_kinds = std::set<std::string>{"FusedResidualLN"};
  const std::vector<std::string> names = Names(ResolveOrFail(DeviceKind::kCpu, options));
  EXPECT_THAT(names, Not(Contains("fuse_swiglu")));
  EXPECT_THAT(names, Contains("fuse_residual_layer_norm"));  // native wins over common
}

}  // namespace
}  // namespace rlx::stages
