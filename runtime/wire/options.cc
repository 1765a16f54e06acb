// SPDX-License-Identifier: Apache-2.0
#include "runtime/wire/options.h"

#include "runtime/base/fault.h"
#include "runtime/wire/enums.h"

namespace rlx::wire {
namespace {

constexpr size_t kMaxSaltBytes = 64;

template <typename Theirs>
absl::Status Unknown(std::string_view field, Theirs value) {
  return InvalidField(Cat("options.", field), "unknown value ", static_cast<int>(value));
}

std::set<std::string> Names(const v1::NameList& list) {
  return {list.names().begin(), list.names().end()};
}

void SetNames(const std::set<std::string>& names, v1::NameList& out) {
  for (const std::string& name : names) out.add_names(name);
}

absl::StatusOr<PrecisionPolicy> PolicyFromWire(const v1::PrecisionPolicy& from) {
  PrecisionPolicy out;
  const auto kind = FromWire(from.kind());
  if (!kind) return Unknown("policy.kind", from.kind());
  out.kind = *kind;
  for (const auto& [name, precision] : from.custom()) {
    const auto known = FromWire(static_cast<v1::Precision>(precision));
    if (!known) return Unknown("policy.custom", precision);
    out.custom[name] = *known;
  }
  return out;
}

absl::Status DispatchFromWire(const v1::KernelDispatch& from, KernelDispatch& out) {
  if (from.policy() != v1::KernelDispatch::POLICY_UNSPECIFIED) {
    out.policy = FromWire(from.policy());
    if (!out.policy) return Unknown("kernel_dispatch.policy", from.policy());
  }
  if (from.has_force_common_kinds()) out.force_common_kinds = Names(from.force_common_kinds());
  if (from.has_force_native_kinds()) out.force_native_kinds = Names(from.force_native_kinds());
  return absl::OkStatus();
}

void FusionFromWire(const v1::FusionOptions& from, FusionOptions& out) {
  if (from.has_skip_fusion()) out.skip_fusion = from.skip_fusion();
  if (from.has_unfuse_elementwise_regions()) {
    out.unfuse_elementwise_regions = from.unfuse_elementwise_regions();
  }
  if (from.has_limits()) {
    out.limits =
        FusionLimits{from.limits().max_elementwise_steps(), from.limits().max_elementwise_inputs()};
  }
}

absl::Status EnumsFromWire(const v1::CompileOptions& from, CompileOptions& out) {
  if (from.precision() != v1::PRECISION_UNSPECIFIED) {
    out.precision = FromWire(from.precision());
    if (!out.precision) return Unknown("precision", from.precision());
  }
  if (from.fusion_target() != v1::FUSION_TARGET_UNSPECIFIED) {
    out.fusion_target = FromWire(from.fusion_target());
    if (!out.fusion_target) return Unknown("fusion_target", from.fusion_target());
  }
  for (int stage : from.dump()) {
    const auto known = FromWire(static_cast<v1::Stage>(stage));
    if (!known) return Unknown("dump", stage);
    out.dump.insert(*known);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CompileOptions> OptionsFromWire(const v1::CompileOptions& from) {
  CompileOptions out;
  RLX_TRY(EnumsFromWire(from, out));
  if (from.has_policy()) {
    RLX_ASSIGN(out.policy, PolicyFromWire(from.policy()));
  }
  if (from.has_dce()) out.dce = from.dce();
  if (from.has_constant_folding()) out.constant_folding = from.constant_folding();
  if (from.has_verbose()) out.verbose = from.verbose();
  if (from.has_fusion_opts()) FusionFromWire(from.fusion_opts(), out.fusion);
  if (from.has_arena_alignment()) {
    if (from.arena_alignment() > INT64_MAX) {  // the rest Resolve judges
      return InvalidArgument("options.arena_alignment: ", from.arena_alignment(),
                             " is not a power of two from 16 to 4096");
    }
    out.arena_alignment = static_cast<int64_t>(from.arena_alignment());
  }
  if (from.has_assert_fusion_clean()) out.assert_fusion_clean = from.assert_fusion_clean();
  if (from.has_supported_ops()) out.supported_ops = Names(from.supported_ops());
  if (from.has_dim_binding()) {
    const auto& values = from.dim_binding().values();
    out.dim_binding = DimBinding(values.begin(), values.end());
  }
  RLX_TRY(DispatchFromWire(from.kernel_dispatch(), out.kernel_dispatch));
  if (from.has_disabled_passes()) out.disabled_passes = Names(from.disabled_passes());
  if (from.has_salt()) {
    if (from.salt().size() > kMaxSaltBytes) {
      return InvalidField("options.salt", from.salt().size(), " bytes, at most ", kMaxSaltBytes);
    }
    out.salt = from.salt();
  }
  return out;
}

void OptionsToWire(const CompileOptions& from, v1::CompileOptions& out) {
  if (from.precision) out.set_precision(ToWire(*from.precision));
  if (from.policy) {
    out.mutable_policy()->set_kind(ToWire(from.policy->kind));
    for (const auto& [name, precision] : from.policy->custom) {
      (*out.mutable_policy()->mutable_custom())[name] = ToWire(precision);
    }
  }
  if (from.dce) out.set_dce(*from.dce);
  if (from.constant_folding) out.set_constant_folding(*from.constant_folding);
  if (from.verbose) out.set_verbose(*from.verbose);
  if (from.fusion_target) out.set_fusion_target(ToWire(*from.fusion_target));
  v1::FusionOptions& fusion = *out.mutable_fusion_opts();
  if (from.fusion.skip_fusion) fusion.set_skip_fusion(*from.fusion.skip_fusion);
  if (from.fusion.unfuse_elementwise_regions) {
    fusion.set_unfuse_elementwise_regions(*from.fusion.unfuse_elementwise_regions);
  }
  if (from.fusion.limits) {
    fusion.mutable_limits()->set_max_elementwise_steps(from.fusion.limits->max_elementwise_steps);
    fusion.mutable_limits()->set_max_elementwise_inputs(from.fusion.limits->max_elementwise_inputs);
  }
  if (from.arena_alignment) out.set_arena_alignment(static_cast<uint64_t>(*from.arena_alignment));
  if (from.assert_fusion_clean) out.set_assert_fusion_clean(*from.assert_fusion_clean);
  if (from.supported_ops) SetNames(*from.supported_ops, *out.mutable_supported_ops());
  if (from.dim_binding) {
    out.mutable_dim_binding();
    for (const auto& [symbol, size] : *from.dim_binding) {
      (*out.mutable_dim_binding()->mutable_values())[symbol] = size;
    }
  }
  const KernelDispatch& dispatch = from.kernel_dispatch;
  v1::KernelDispatch& kernel_dispatch = *out.mutable_kernel_dispatch();
  if (dispatch.policy) kernel_dispatch.set_policy(ToWire(*dispatch.policy));
  if (dispatch.force_common_kinds) {
    SetNames(*dispatch.force_common_kinds, *kernel_dispatch.mutable_force_common_kinds());
  }
  if (dispatch.force_native_kinds) {
    SetNames(*dispatch.force_native_kinds, *kernel_dispatch.mutable_force_native_kinds());
  }
  if (from.disabled_passes) SetNames(*from.disabled_passes, *out.mutable_disabled_passes());
  for (Stage stage : from.dump) out.add_dump(ToWire(stage));
  if (from.salt) out.set_salt(*from.salt);
}

}  // namespace rlx::wire
