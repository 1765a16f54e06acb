// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>

#include "runtime/base/fault.h"
#include "runtime/device/backend.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/precision.h"
#include "runtime/stages/pipeline.h"
#include "runtime/stages/stages.h"

namespace rlx::stages {
namespace {

constexpr int64_t kMinAlignment = 16, kMaxAlignment = 4096;
constexpr size_t kMaxSaltBytes = 64;

absl::Status CheckClaimNames(std::string_view field, const std::set<std::string>& claims) {
  for (const std::string& claim : claims) {
    if (!IsClaimName(claim)) return InvalidField(field, "no op kind is called \"", claim, "\"");
  }
  return absl::OkStatus();
}

absl::Status CheckPassNames(const std::set<std::string>& names) {
  for (const std::string& name : names) {
    if (!std::ranges::count(AllPasses(), name, &passes::Pass::name)) {
      return InvalidField("options.disabled_passes", "no pass is called \"", name, "\"");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAlignment(int64_t alignment) {
  if (alignment >= kMinAlignment && alignment <= kMaxAlignment &&
      std::has_single_bit(static_cast<uint64_t>(alignment))) {
    return absl::OkStatus();
  }
  return InvalidField("options.arena_alignment", alignment, " is not a power of two from ",
                      kMinAlignment, " to ", kMaxAlignment);
}

absl::Status CheckLimits(const FusionLimits& limits) {
  if (limits.max_elementwise_steps == 0) {
    return InvalidField("options.fusion_opts.limits.max_elementwise_steps", "0 is less than 1");
  }
  if (limits.max_elementwise_inputs == 0) {
    return InvalidField("options.fusion_opts.limits.max_elementwise_inputs", "0 is less than 1");
  }
  return absl::OkStatus();
}

absl::Status CheckPolicy(const PrecisionPolicy& policy) {
  if (policy.kind != PrecisionPolicyKind::kCustom && !policy.custom.empty()) {
    return InvalidField("options.policy", "custom entries without the custom kind");
  }
  const auto names = passes::PrecisionClassNames();
  for (const auto& [name, precision] : policy.custom) {
    if (std::ranges::count(names, name) == 0)
      return InvalidField("options.policy.custom", "no class of ops is called \"", name, "\"");
  }
  return absl::OkStatus();
}

// The policy that computes everything in one precision.
PrecisionPolicy PolicyFor(Precision precision) {
  if (precision == Precision::kF32) return {};
  if (precision == Precision::kF16) return {PrecisionPolicyKind::kAlwaysF16, {}};
  return {PrecisionPolicyKind::kAutoMixedBf16, {}};
}

// The precision that stands for a policy; F32 where none does. So what compiles alike is one
// request.
Precision PrecisionOf(const PrecisionPolicy& policy) {
  for (const Precision precision : {Precision::kF16, Precision::kBF16}) {
    if (PolicyFor(precision) == policy) return precision;
  }
  return Precision::kF32;
}

absl::Status CheckBinding(const DimBinding& binding) {
  for (const auto& [symbol, size] : binding) {
    if (size < 1)
      return InvalidField("options.dim_binding", symbol, " = ", size, " is less than 1");
  }
  return absl::OkStatus();
}

// Kinds that go to their shared lowering although accepted; that of control flow is to be written
// out. Regions are themselves the common form.
std::set<std::string> CommonKinds(const ResolvedOptions& options) {
  std::set<std::string> common = options.force_common_kinds;
  if (options.dispatch == DispatchPolicy::kForceCommon) {
    for (const OpInfo* op : AllOps()) {
      const bool has = op->decompose != nullptr || op->op_class == OpClass::kControlFlow;
      if (op->level == Stage::kMir && has && op->kind != OpKind::kElementwiseRegion) {
        common.emplace(op->claim);
      }
    }
  }
  for (const std::string& native : options.force_native_kinds) common.erase(native);
  return common;
}

std::vector<std::string> BackendClaims(const device::Backend* backend,
                                       const device::Target* target) {
  if (backend == nullptr) return {};
  if (target != nullptr) return backend->ClaimedKinds(*target);
  const std::vector<device::Target> targets = backend->Targets();
  return targets.empty() ? std::vector<std::string>{} : backend->ClaimedKinds(targets.front());
}

// request > back end > table.
void ResolveClaims(const CompileOptions& options, const device::Backend* backend,
                   const device::Target* target, ResolvedOptions& out) {
  if (options.supported_ops) {
    out.claims = *options.supported_ops;
    out.gates = out.claims;
    out.claims_from_request = true;
    return;
  }
  if (const std::vector<std::string> claims = BackendClaims(backend, target); !claims.empty()) {
    out.claims = {claims.begin(), claims.end()};
    out.gates = out.claims;
    return;
  }
  out.claims = RuntimeClaimsFor(out.fusion_target);
  out.gates = FusionClaimsFor(out.fusion_target);
}

}  // namespace

absl::StatusOr<ResolvedOptions> Resolve(DeviceKind device, const CompileOptions& options,
                                        const device::Backend* backend,
                                        const device::Target* target) {
  ResolvedOptions out;
  out.device = device;
  out.fusion_target = options.fusion_target.value_or(FusionTargetFor(device));
  out.skip_fusion = options.fusion.skip_fusion.value_or(false);
  out.unfuse_elementwise_regions = options.fusion.unfuse_elementwise_regions.value_or(false);
  out.limits = options.fusion.limits.value_or(LimitsFor(out.fusion_target));
  out.dce = options.dce.value_or(true);
  out.constant_folding = options.constant_folding.value_or(true);
  out.verbose = options.verbose.value_or(false);
  out.assert_fusion_clean = options.assert_fusion_clean.value_or(false);
  out.policy = options.policy.value_or(PolicyFor(options.precision.value_or(Precision::kF32)));
  out.precision = PrecisionOf(out.policy);
  out.arena_alignment = options.arena_alignment.value_or(out.arena_alignment);
  out.dim_binding = options.dim_binding.value_or(DimBinding{});
  out.dispatch = options.kernel_dispatch.policy.value_or(DispatchPolicy::kPreferNative);
  out.force_common_kinds =
      options.kernel_dispatch.force_common_kinds.value_or(std::set<std::string>{});
  out.force_native_kinds =
      options.kernel_dispatch.force_native_kinds.value_or(std::set<std::string>{});
  out.disabled_passes = options.disabled_passes.value_or(std::set<std::string>{});
  out.salt = options.salt.value_or("");
  RLX_TRY(CheckLimits(out.limits));
  RLX_TRY(CheckAlignment(out.arena_alignment));
  RLX_TRY(CheckPolicy(out.policy));
  RLX_TRY(CheckBinding(out.dim_binding));
  RLX_TRY(CheckClaimNames("options.supported_ops",
                          options.supported_ops.value_or(std::set<std::string>{})));
  RLX_TRY(CheckClaimNames("options.kernel_dispatch.force_common_kinds", out.force_common_kinds));
  RLX_TRY(CheckClaimNames("options.kernel_dispatch.force_native_kinds", out.force_native_kinds));
  RLX_TRY(CheckPassNames(out.disabled_passes));
  if (out.salt.size() > kMaxSaltBytes) {
    return InvalidField("options.salt", out.salt.size(), " bytes, at most ", kMaxSaltBytes);
  }
  ResolveClaims(options, backend, target, out);
  out.common_kinds = CommonKinds(out);
  return out;
}

absl::StatusOr<ResolvedOptions> ResolveFor(const Module& module, DeviceKind device,
                                           const CompileOptions& options,
                                           const device::Backend* backend,
                                           const device::Target* target) {
  RLX_ASSIGN(ResolvedOptions resolved, Resolve(device, options, backend, target));
  if (module.stage == Stage::kLir && resolved.policy != PrecisionPolicy{}) {
    return InvalidField(options.policy ? "options.policy" : "options.precision",
                        "a module at stage lir computes in the types that it has");
  }
  if (!module.plan || !resolved.dim_binding.empty()) return resolved;
  if (options.arena_alignment && *options.arena_alignment > module.plan->alignment) {
    return InvalidField("options.arena_alignment", *options.arena_alignment,
                        " is asked, the module's plan is made for ", module.plan->alignment);
  }
  resolved.arena_alignment = module.plan->alignment;
  return resolved;
}

CompileOptions OptionsWithSupportedOps(CompileOptions options, std::set<std::string> claims) {
  if (!options.supported_ops) options.supported_ops = std::move(claims);
  return options;
}

}  // namespace rlx::stages
