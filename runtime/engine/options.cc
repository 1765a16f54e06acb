// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/options.h"

#include "runtime/base/fault.h"
#include "runtime/base/text.h"
#include "runtime/engine/engine.h"
#include "runtime/stages/stages.h"

namespace rlx::engine {
namespace {

template <class T>
void Default(std::optional<T>& field, const std::optional<T>& value) {
  if (!field) field = value;
}

// Names hold no comma, no quote: they are op kinds and passes of ours.
std::string Names(const std::set<std::string>& names) {
  return Join(names, ",", [](std::string& out, const std::string& name) { out += name; });
}

class Lines {
 public:
  template <class T>
  void Add(std::string_view name, const T& value) {
    text += Cat(name, "=", value, "\n");
  }
  std::string text;
};

}  // namespace

CompileOptions WithDefaults(CompileOptions out, const CompileOptions& defaults) {
  Default(out.precision, defaults.precision);
  Default(out.policy, defaults.policy);
  Default(out.dce, defaults.dce);
  Default(out.constant_folding, defaults.constant_folding);
  Default(out.verbose, defaults.verbose);
  Default(out.fusion_target, defaults.fusion_target);
  Default(out.fusion.skip_fusion, defaults.fusion.skip_fusion);
  Default(out.fusion.unfuse_elementwise_regions, defaults.fusion.unfuse_elementwise_regions);
  Default(out.fusion.limits, defaults.fusion.limits);
  Default(out.arena_alignment, defaults.arena_alignment);
  Default(out.assert_fusion_clean, defaults.assert_fusion_clean);
  Default(out.supported_ops, defaults.supported_ops);
  Default(out.dim_binding, defaults.dim_binding);
  Default(out.kernel_dispatch.policy, defaults.kernel_dispatch.policy);
  Default(out.kernel_dispatch.force_common_kinds, defaults.kernel_dispatch.force_common_kinds);
  Default(out.kernel_dispatch.force_native_kinds, defaults.kernel_dispatch.force_native_kinds);
  Default(out.disabled_passes, defaults.disabled_passes);
  Default(out.salt, defaults.salt);
  out.dump.insert(defaults.dump.begin(), defaults.dump.end());
  return out;
}

CompileOptions Inherit(const CompileOptions& request, DeviceKind device,
                       const EngineOptions& engine) {
  const auto own = engine.device_defaults.find(device);
  if (own == engine.device_defaults.end()) return WithDefaults(request, engine.defaults);
  CompileOptions out = WithDefaults(WithDefaults(request, own->second), engine.defaults);
  const auto keep_on = [](std::optional<bool>& field, const std::optional<bool>& device) {
    if (device == true) field = true;
  };
  const FusionOptions& device_fusion = own->second.fusion;
  keep_on(out.fusion.skip_fusion, device_fusion.skip_fusion);
  keep_on(out.fusion.unfuse_elementwise_regions, device_fusion.unfuse_elementwise_regions);
  return out;
}

std::string_view StageName(Stage stage) {
  return stage == Stage::kHir ? "hir" : stage == Stage::kMir ? "mir" : "lir";
}

absl::Status CheckDump(const CompileOptions& request, Stage stage) {
  for (Stage wanted : request.dump) {
    if (wanted >= stage) continue;
    return InvalidField("options.dump", "a module at stage ", StageName(stage), " is past ",
                        StageName(wanted));
  }
  return absl::OkStatus();
}

absl::Status RefuseDump(const CompileOptions& request) {
  if (request.dump.empty()) return absl::OkStatus();
  return InvalidField("options.dump", "the answer to this call has no place for ",
                      StageName(*request.dump.begin()),
                      "; Compile's has, and Lower gives one stage");
}

CompileOptions AsCompileOptions(const stages::ResolvedOptions& options) {
  CompileOptions out;
  out.precision = options.precision;
  out.policy = options.policy;
  out.dce = options.dce;
  out.constant_folding = options.constant_folding;
  out.verbose = options.verbose;
  out.fusion_target = options.fusion_target;
  out.fusion = {options.skip_fusion, options.unfuse_elementwise_regions, options.limits};
  out.arena_alignment = options.arena_alignment;
  out.assert_fusion_clean = options.assert_fusion_clean;
  // Two tables of the target are no list: what they decide, only leaving it to them decides.
  if (options.claims == options.gates) out.supported_ops = options.claims;
  out.dim_binding = options.dim_binding;
  out.kernel_dispatch = {options.dispatch, options.force_common_kinds, options.force_native_kinds};
  out.disabled_passes = options.disabled_passes;
  out.salt = options.salt;
  return out;
}

std::string KeyText(const stages::ResolvedOptions& options) {
  Lines lines;
  lines.Add("device", Name(options.device));
  lines.Add("precision", static_cast<int>(options.precision));
  lines.Add("policy", static_cast<int>(options.policy.kind));
  for (const auto& [op_class, precision] : options.policy.custom) {
    lines.Add(Cat("policy.", op_class), static_cast<int>(precision));
  }
  lines.Add("dce", options.dce);
  lines.Add("constant_folding", options.constant_folding);
  lines.Add("fusion_target", Name(options.fusion_target));
  lines.Add("skip_fusion", options.skip_fusion);
  lines.Add("unfuse_elementwise_regions", options.unfuse_elementwise_regions);
  lines.Add("max_elementwise_steps", options.limits.max_elementwise_steps);
  lines.Add("max_elementwise_inputs", options.limits.max_elementwise_inputs);
  lines.Add("arena_alignment", options.arena_alignment);
  lines.Add("claims", Names(options.claims));
  lines.Add("claims_from_request", options.claims_from_request);
  for (const auto& [symbol, size] : options.dim_binding) lines.Add(Cat("dim.", symbol), size);
  lines.Add("dispatch", static_cast<int>(options.dispatch));
  lines.Add("force_common_kinds", Names(options.force_common_kinds));
  lines.Add("force_native_kinds", Names(options.force_native_kinds));
  lines.Add("disabled_passes", Names(options.disabled_passes));
  return std::move(lines.text);
}

}  // namespace rlx::engine
