// SPDX-License-Identifier: Apache-2.0
#include "server/compile_wire.h"

#include "runtime/base/fault.h"
#include "runtime/stages/stages.h"
#include "runtime/wire/enums.h"
#include "runtime/wire/message_cost.h"
#include "runtime/wire/module.h"
#include "runtime/wire/options.h"
#include "runtime/wire/report.h"
#include "server/onnx_wire.h"

namespace rlx::server {
namespace {

absl::StatusOr<SharedBytes> ReadBlob(std::string_view digest, const engine::Principal& who,
                                     engine::Engine& engine) {
  const auto name = Digest256::FromBytes(digest);
  if (!name) return InvalidArgument("a blob's sha256 has ", digest.size(), " bytes instead of 32");
  return engine.blobs().Read(who.name, *name);
}

absl::StatusOr<SharedBytes> ReadSlice(const v1::BlobSlice& slice, const engine::Principal& who,
                                      engine::Engine& engine) {
  RLX_ASSIGN(const SharedBytes blob, ReadBlob(slice.sha256(), who, engine));
  if (slice.offset() > blob.size() || slice.length() > blob.size() - slice.offset()) {
    return OutOfRange("[", slice.offset(), ", +", slice.length(), ") is beyond a blob of ",
                      blob.size(), " bytes");
  }
  return blob.Slice(slice.offset(), slice.length());
}

absl::StatusOr<SharedBytes> ReadWhole(const v1::BlobRef& ref, std::string_view what,
                                      const engine::Principal& who, engine::Engine& engine) {
  RLX_ASSIGN(SharedBytes bytes, ReadBlob(ref.sha256(), who, engine));
  if (ref.size() != 0 && ref.size() != bytes.size()) {
    return InvalidField(what, bytes.size(), " bytes, not ", ref.size());
  }
  return bytes;
}

// Module and weights.
absl::Status ReadSource(const v1::CompileSpec& spec, const engine::Principal& who,
                        engine::Engine& engine, engine::CompileSpec& out) {
  const wire::BlobSource slices = [&](const v1::BlobSlice& slice) {
    return ReadSlice(slice, who, engine);
  };
  const Limits& limits = engine.options().limits;
  switch (spec.source_case()) {
    case v1::CompileSpec::kModule: {
      RLX_ASSIGN(out.module, wire::ModuleFromWire(spec.module(), limits, slices));
      return absl::OkStatus();
    }
    case v1::CompileSpec::kModuleBlob: {
      RLX_ASSIGN(const SharedBytes bytes,
                 ReadWhole(spec.module_blob(), "spec.module_blob", who, engine));
      const auto limit = static_cast<size_t>(limits.max_module_bytes);
      if (bytes.size() > INT32_MAX ||
          wire::ParsedBytes(bytes.span(), *v1::GraphModule::descriptor(), limit) >= limit) {
        return InField(LimitExceeded("max_module_bytes", limits.max_module_bytes,
                                     "spec.module_blob: the module's bytes in memory"),
                       "spec.module_blob");
      }
      v1::GraphModule module;
      if (!module.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
        return InvalidField("spec.module_blob", "no GraphModule");
      }
      RLX_ASSIGN(out.module, wire::ModuleFromWire(module, limits, slices));
      return absl::OkStatus();
    }
    case v1::CompileSpec::kOnnx: {
      const BlobReader blobs = [&](const v1::BlobRef& ref, std::string_view what) {
        return ReadWhole(ref, what, who, engine);
      };
      return ReadOnnx(spec.onnx(), blobs, limits, out);
    }
    default:
      return InvalidArgument("spec has neither module nor module_blob nor onnx");
  }
}

void CountKernels(const std::vector<device::Step>& steps,
                  google::protobuf::RepeatedPtrField<v1::CompiledKernel>& out) {
  for (const device::Step& step : steps) {
    if (step.kernel >= 0) {
      v1::CompiledKernel& kernel = out[step.kernel];
      if (kernel.steps() == 0) kernel.set_label(step.label);
      kernel.set_steps(kernel.steps() + 1);
    }
    for (const auto& body : step.bodies) CountKernels(body, out);
  }
}

void KernelsToWire(const device::Program& program,
                   google::protobuf::RepeatedPtrField<v1::CompiledKernel>& out) {
  for (const device::KernelEntry& kernel : program.kernels) out.Add()->set_name(kernel.name);
  CountKernels(program.steps, out);
  CountKernels(program.weight_steps, out);
}

v1::CompilePhase PhaseToWire(engine::CompilePhase phase) {
  return static_cast<v1::CompilePhase>(static_cast<int>(phase) + 1);
}

}  // namespace

absl::StatusOr<engine::CompileSpec> SpecFromWire(const v1::CompileSpec& spec,
                                                 const engine::Principal& who,
                                                 engine::Engine& engine) {
  engine::CompileSpec out;
  if (spec.target().device() == v1::DEVICE_UNSPECIFIED) {
    return InvalidArgument("spec.target.device is missing");
  }
  const auto device = wire::FromWire(spec.target().device());
  if (!device) {
    return InvalidField("spec.target.device", "unknown value ",
                        static_cast<int>(spec.target().device()));
  }
  out.device = *device;
  out.profile = spec.target().profile();
  RLX_ASSIGN(out.options, wire::OptionsFromWire(spec.options()));
  RLX_TRY(ReadSource(spec, who, engine, out));
  return out;
}

std::optional<Digest256> RecallKey(const v1::CompileRequest& request) {
  if (request.skip_cache_lookup() || request.do_not_cache()) return std::nullopt;
  if (request.spec().options().dump_size() > 0) return std::nullopt;
  if (request.spec().options().assert_fusion_clean()) return std::nullopt;
  return Sha256Of(request.spec().SerializeAsString());
}

void TargetToWire(const device::Target& target, FusionTarget fusion, v1::Target& out) {
  out.set_device(wire::ToWire(target.kind));
  out.set_profile(target.profile);
  out.set_arch(target.arch);
  out.set_fingerprint(target.fingerprint);
  out.set_fusion_target(wire::ToWire(fusion));
}

void CompiledToWire(const engine::Compiled& compiled, v1::CompileResult& out) {
  const engine::CompiledModule& module = *compiled.module;
  const wire::Artifact& artifact = module.artifact;
  out.set_key(std::string(module.key.view()));
  out.set_cache(static_cast<v1::CacheResult>(static_cast<int>(compiled.cache) + 1));
  TargetToWire(artifact.target, artifact.fusion_target, *out.mutable_target());
  wire::OptionsToWire(*compiled.options, *out.mutable_options());
  wire::ManifestToWire(artifact.lir.plan, artifact.lir.graph, *out.mutable_manifest());
  v1::MemoryStats& memory = *out.mutable_memory();
  memory.set_arena_bytes(static_cast<uint64_t>(module.memory.arena_bytes));
  memory.set_weight_bytes(static_cast<uint64_t>(module.memory.weight_bytes));
  memory.set_code_bytes(static_cast<uint64_t>(module.memory.code_bytes));
  memory.set_constant_bytes(static_cast<uint64_t>(module.memory.constant_bytes));
  wire::FusionReportToWire(compiled.Fusion(), *out.mutable_fusion());
  wire::DispatchReportToWire(compiled.Dispatch(), *out.mutable_dispatch());
  wire::PlanToWire(artifact.lir.plan, *out.mutable_plan());
  for (const PassTiming& timing : artifact.passes) {
    wire::PassTimingToWire(timing, *out.add_passes());
  }
  for (const auto& [phase, seconds] : compiled.phases) {
    v1::PhaseTime& time = *out.add_phases();
    time.set_phase(PhaseToWire(phase));
    time.set_seconds(seconds);
  }
  for (const auto& [stage, text] : compiled.dumps) {
    v1::StageText& dump = *out.add_dumps();
    dump.set_stage(wire::ToWire(stage));
    dump.set_text(text);
  }
  out.set_runnable(compiled.runnable());
  out.set_reason(compiled.WhyNot());
  out.set_artifact_bytes(static_cast<uint64_t>(module.artifact_bytes));
  for (const auto& [stage, seconds] : artifact.phase_seconds) {
    (*out.mutable_stage_seconds())[stage] = seconds;
  }
  if (artifact.program != nullptr) KernelsToWire(*artifact.program, *out.mutable_kernels());
  if (compiled.weights == nullptr) return;
  for (const engine::WeightSource& weight : *compiled.weights)
    WeightToWire(weight, *out.add_weights());
}

void LogReports(const engine::Compiled& compiled, const Frontend& frontend) {
  if (compiled.cache != engine::CacheResult::kCompiled) return;
  const std::string& module = compiled.names->module_name;
  if (frontend.log_fusion) {
    stages::MaybeLogFusion(module, compiled.module->artifact.target.kind, compiled.Fusion(),
                           frontend.log_fusion, frontend.log);
  }
  if (frontend.log_dispatch) {
    const std::string report = compiled.Dispatch().ToString();
    frontend.log.Info("dispatch report", {{"module", module}, {"report", report}});
  }
}

void ExplanationToWire(const engine::KeyExplanation& explanation, std::string* key,
                       google::protobuf::RepeatedPtrField<v1::KeyComponent>* components) {
  *key = explanation.key.view();
  for (const engine::KeyComponent& component : explanation.components) {
    v1::KeyComponent& to = *components->Add();
    to.set_name(component.name);
    to.set_sha256(std::string(component.digest.view()));
    to.set_text(component.text);
  }
}

void ComparisonToWire(const engine::KeyComparison& comparison, v1::ExplainKeyResponse& out) {
  ExplanationToWire(comparison.one, out.mutable_key(), out.mutable_components());
  ExplanationToWire(comparison.other, out.mutable_other_key(), out.mutable_other_components());
  for (std::string& name : engine::Differing(comparison.one, comparison.other)) {
    out.add_differing(std::move(name));
  }
  for (const engine::KeyDifference& difference : comparison.differences) {
    v1::KeyDifference& to = *out.add_differences();
    to.set_component(difference.component);
    to.set_what(difference.what);
    to.set_field(difference.field);
    to.set_one(difference.one);
    to.set_other(difference.other);
  }
  out.set_more_differences(comparison.more);
}

}  // namespace rlx::server
