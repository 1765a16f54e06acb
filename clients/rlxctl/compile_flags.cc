// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/compile_flags.h"

#include "clients/rlxctl/context.h"
#include "clients/rlxctl/module_file.h"
#include "clients/rlxctl/onnx_file.h"
#include "clients/rlxctl/upload.h"
#include "clients/rlxctl/words.h"
#include "rlx/v1/capabilities.pb.h"

namespace rlx::ctl {
namespace {

constexpr FlagSpec kFlags[] = {
    {"target", "DEVICE[:PROFILE]", "what to compile for (cpu)"},
    {"precision", "f32|f16|bf16", "of the whole module, where there is no --policy"},
    {"policy", "KIND|CLASS=PRECISION,...", "mixed precision: auto-mixed, ... or class by class"},
    {"dce", "", "remove dead nodes (true)"},
    {"constant-folding", "", "compute on constants while compiling (true)"},
    {"fusion-target", "TARGET",
     "fusion limits of another device family; claims too, but for devices with a back end"},
    {"skip-fusion", "", "run the mandatory passes only"},
    {"unfuse-elementwise-regions", "", "take elementwise regions apart again"},
    {"max-elementwise-steps", "N|unbounded", "ops of one elementwise region; with the next one"},
    {"max-elementwise-inputs", "N|unbounded", "inputs of one elementwise region"},
    {"arena-alignment", "BYTES", "a power of two from 16 to 4096 (64)"},
    {"assert-fusion-clean", "", "fail, with exit code 5, when an actionable fusion was missed"},
    {"supported-ops", "KIND,...", "op kinds taken as native; '' is the empty list: all"},
    {"bind", "SYMBOL=N", "size of a symbolic dim", true},
    {"dispatch", "prefer-native|force-common|force-native", "native or shared lowerings"},
    {"force-common", "KIND,...", "op kinds that use their shared lowering"},
    {"force-native", "KIND,...", "op kinds that do not"},
    {"disable-pass", "PASS", "leave a pass out; '' alone is the empty list", true},
    {"salt", "TEXT", "joins the key: different salts never share an artifact"},
    {"verbose", "", "report misses that nobody can act on too"},
};

v1::NameList Names(std::string_view text) {
  v1::NameList list;
  for (std::string_view name : SplitNames(text)) list.add_names(std::string(name));
  return list;
}

// As FlagSpec, a flag's text as one of an enum's words.
template <class Enum>
absl::StatusOr<Enum> EnumFlag(const Flags& flags, std::string_view name) {
  auto value = Parse<Enum>(flags.Text(name));
  if (!value.ok()) return Usage("--", name, ": ", Message(value.status()));
  return *value;
}

absl::StatusOr<uint32_t> LimitFlag(const Flags& flags, std::string_view name) {
  if (flags.Text(name) == "unbounded") return UINT32_MAX;
  RLX_ASSIGN(const int64_t value, flags.Int(name, 0, 1, UINT32_MAX));
  return static_cast<uint32_t>(value);
}

absl::Status FusionFrom(const Flags& flags, v1::CompileOptions& out) {
  if (const auto on = flags.Switch("skip-fusion")) out.mutable_fusion_opts()->set_skip_fusion(*on);
  if (const auto on = flags.Switch("unfuse-elementwise-regions"))
    out.mutable_fusion_opts()->set_unfuse_elementwise_regions(*on);
  const bool steps = flags.Has("max-elementwise-steps");
  if (steps != flags.Has("max-elementwise-inputs"))
    return Usage("--max-elementwise-steps and --max-elementwise-inputs go together");
  if (steps) {
    v1::FusionLimits& limits = *out.mutable_fusion_opts()->mutable_limits();
    RLX_ASSIGN(const uint32_t most_steps, LimitFlag(flags, "max-elementwise-steps"));
    RLX_ASSIGN(const uint32_t most_inputs, LimitFlag(flags, "max-elementwise-inputs"));
    limits.set_max_elementwise_steps(most_steps);
    limits.set_max_elementwise_inputs(most_inputs);
  }
  if (flags.Has("fusion-target")) {
    RLX_ASSIGN(const auto target, EnumFlag<v1::FusionTarget>(flags, "fusion-target"));
    out.set_fusion_target(target);
  }
  return absl::OkStatus();
}

absl::Status DispatchFrom(const Flags& flags, v1::CompileOptions& out) {
  if (flags.Has("dispatch")) {
    RLX_ASSIGN(const auto policy, EnumFlag<v1::KernelDispatch::Policy>(flags, "dispatch"));
    out.mutable_kernel_dispatch()->set_policy(policy);
  }
  if (flags.Has("force-common")) {
    *out.mutable_kernel_dispatch()->mutable_force_common_kinds() =
        Names(flags.Text("force-common"));
  }
  if (flags.Has("force-native")) {
    *out.mutable_kernel_dispatch()->mutable_force_native_kinds() =
        Names(flags.Text("force-native"));
  }
  if (flags.Has("supported-ops")) *out.mutable_supported_ops() = Names(flags.Text("supported-ops"));
  return absl::OkStatus();
}

absl::Status PolicyFrom(std::string_view text, v1::PrecisionPolicy& out) {
  if (text.find('=') == std::string_view::npos) {
    const auto kind = Parse<v1::PrecisionPolicy::Kind>(text);
    if (!kind.ok()) return Usage("--policy: ", Message(kind.status()));
    out.set_kind(*kind);
    return absl::OkStatus();
  }
  out.set_kind(v1::PrecisionPolicy::KIND_CUSTOM);
  for (std::string_view entry : SplitNames(text)) {
    const auto pair = SplitPair(entry);
    if (!pair) return Usage("--policy: \"", entry, "\" is not CLASS=PRECISION");
    const auto precision = Parse<v1::Precision>(pair->second);
    if (!precision.ok()) return Usage("--policy: ", Message(precision.status()));
    (*out.mutable_custom())[std::string(pair->first)] = *precision;
  }
  return absl::OkStatus();
}

absl::Status PrecisionFrom(const Flags& flags, v1::CompileOptions& out) {
  if (flags.Has("precision")) {
    RLX_ASSIGN(const auto precision, EnumFlag<v1::Precision>(flags, "precision"));
    out.set_precision(precision);
  }
  if (flags.Has("policy")) return PolicyFrom(flags.Text("policy"), *out.mutable_policy());
  return absl::OkStatus();
}

absl::Status BindingFrom(const Flags& flags, v1::CompileOptions& out) {
  for (std::string_view text : flags.All("bind")) {
    const auto pair = SplitPair(text);
    const std::optional<int64_t> size = pair ? ParseInt(pair->second) : std::nullopt;
    if (!size) return Usage("--bind is SYMBOL=N, not \"", text, "\"");
    (*out.mutable_dim_binding()->mutable_values())[std::string(pair->first)] = *size;
  }
  return absl::OkStatus();
}

absl::Status DumpFrom(const Flags& flags, v1::CompileOptions& out) {
  for (std::string_view word : flags.All("dump")) {
    const auto stage = Parse<v1::Stage>(word);
    if (!stage.ok()) return Usage("--dump: ", Message(stage.status()));
    out.add_dump(*stage);
  }
  return absl::OkStatus();
}

}  // namespace

const std::span<const FlagSpec> kCompileFlags = kFlags;

absl::StatusOr<v1::CompileOptions> OptionsFrom(const Flags& flags) {
  v1::CompileOptions out;
  RLX_TRY(PrecisionFrom(flags, out));
  RLX_TRY(FusionFrom(flags, out));
  RLX_TRY(DispatchFrom(flags, out));
  RLX_TRY(BindingFrom(flags, out));
  RLX_TRY(DumpFrom(flags, out));
  if (const auto on = flags.Switch("dce")) out.set_dce(*on);
  if (const auto on = flags.Switch("constant-folding")) out.set_constant_folding(*on);
  if (const auto on = flags.Switch("verbose")) out.set_verbose(*on);
  if (const auto on = flags.Switch("assert-fusion-clean")) out.set_assert_fusion_clean(*on);
  if (flags.Has("arena-alignment")) {
    RLX_ASSIGN(const int64_t bytes, flags.Int("arena-alignment", 0, 0, INT64_MAX));
    out.set_arena_alignment(static_cast<uint64_t>(bytes));
  }
  if (flags.Has("disable-pass")) {
    v1::NameList& names = *out.mutable_disabled_passes();
    for (std::string_view name : flags.All("disable-pass")) {
      if (!name.empty()) names.add_names(std::string(name));
    }
  }
  if (flags.Has("salt")) out.set_salt(std::string(flags.Text("salt")));
  return out;
}

absl::StatusOr<v1::CompileSpec> MakeSpec(std::string_view module_path, Context& context,
                                         std::string_view target) {
  constexpr uint64_t kHeadroom = 64 * 1024;  // of a message, for what stands beside the module
  v1::CompileSpec spec;
  RLX_ASSIGN(*spec.mutable_options(), OptionsFrom(context.flags));
  if (target.empty()) target = context.flags.Text("target", "cpu");
  auto parsed = ParseTarget(target);
  if (!parsed.ok()) return Usage("target: ", Message(parsed.status()));
  *spec.mutable_target() = *std::move(parsed);
  if (IsOnnx(module_path)) {
    RLX_ASSIGN(*spec.mutable_onnx(), UploadOnnx(module_path, context));
    return spec;
  }
  RLX_ASSIGN(v1::GraphModule module, ReadModule(module_path));
  RLX_ASSIGN(const v1::Limits* limits, context.server.Limits());
  if (module.ByteSizeLong() + kHeadroom <= limits->max_message_bytes()) {
    *spec.mutable_module() = std::move(module);
    return spec;
  }
  const Blob blob = MakeBlob(SharedBytes(module.SerializeAsString()));
  RLX_TRY(Upload(blob, context.server, context.progress).status());
  spec.mutable_module_blob()->set_sha256(std::string(blob.digest.view()));
  spec.mutable_module_blob()->set_size(blob.bytes.size());
  return spec;
}

}  // namespace rlx::ctl
