// SPDX-License-Identifier: Apache-2.0
#include "runtime/wire/artifact.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "rlx/internal/artifact.pb.h"
#include "runtime/base/status.h"
#include "runtime/wire/enums.h"
#include "runtime/wire/module.h"
#include "runtime/wire/options.h"
#include "runtime/wire/report.h"
#include "runtime/wire/tensor.h"

namespace rlx::wire {
namespace {

using device::Program;
using device::Step;
constexpr int kMaxStepNesting = 64;

void StepToWire(const Step& from, internal::Step& out) {
  out.set_kind(static_cast<int>(from.kind));
  out.set_kernel(from.kernel);
  out.set_groups(from.groups);
  out.set_routine(from.routine);
  out.mutable_buffers()->Assign(from.buffers.begin(), from.buffers.end());
  out.mutable_ints()->Assign(from.ints.begin(), from.ints.end());
  out.mutable_floats()->Assign(from.floats.begin(), from.floats.end());
  for (const auto& body : from.bodies) {
    internal::StepList& list = *out.add_bodies();
    for (const Step& inner : body) StepToWire(inner, *list.add_steps());
  }
  out.set_label(from.label);
  out.set_cost_flops(from.cost_flops);
  out.set_cost_bytes(from.cost_bytes);
}

absl::StatusOr<Step> StepFromWire(const internal::Step& from, int depth) {
  if (depth > kMaxStepNesting) return DataLoss("steps nest too deeply");
  if (from.kind() < 0 || from.kind() > static_cast<int>(Step::Kind::kLoop)) {
    return DataLoss("unknown step kind ", from.kind());
  }
  Step out{.kind = static_cast<Step::Kind>(from.kind())};
  out.kernel = from.kernel();
  out.groups = from.groups();
  out.routine = from.routine();
  out.buffers.assign(from.buffers().begin(), from.buffers().end());
  out.ints.assign(from.ints().begin(), from.ints().end());
  out.floats.assign(from.floats().begin(), from.floats().end());
  for (const internal::StepList& list : from.bodies()) {
    std::vector<Step>& body = out.bodies.emplace_back();
    for (const internal::Step& inner : list.steps()) {
      RLX_ASSIGN(Step step, StepFromWire(inner, depth + 1));
      body.push_back(std::move(step));
    }
  }
  out.label = from.label();
  out.cost_flops = from.cost_flops();
  out.cost_bytes = from.cost_bytes();
  return out;
}

void SpecsToWire(const std::vector<device::TensorSpec>& specs,
                 google::protobuf::RepeatedPtrField<internal::TensorSpec>& out) {
  for (const device::TensorSpec& spec : specs) {
    internal::TensorSpec& to = *out.Add();
    to.set_name(spec.name);
    TypeToWire(spec.type, *to.mutable_type());
  }
}

absl::StatusOr<std::vector<device::TensorSpec>> SpecsFromWire(
    const google::protobuf::RepeatedPtrField<internal::TensorSpec>& specs) {
  std::vector<device::TensorSpec> out;
  SymbolTable none;
  for (const internal::TensorSpec& spec : specs) {
    RLX_ASSIGN(TensorType type, TypeFromWire(spec.type(), none));
    out.push_back({spec.name(), std::move(type)});
  }
  return out;
}

void ProgramToWire(const Program& from, internal::Program& out) {
  out.set_target_fingerprint(from.target_fingerprint);
  SpecsToWire(from.inputs, *out.mutable_inputs());
  SpecsToWire(from.params, *out.mutable_params());
  SpecsToWire(from.outputs, *out.mutable_outputs());
  for (const HostTensor& constant : from.constants) TensorToWire(constant, *out.add_constants());
  for (const device::Buffer& buffer : from.buffers) {
    internal::Buffer& to = *out.add_buffers();
    to.set_storage(ToWire(buffer.storage));
    to.set_index(buffer.index);
    to.set_offset(buffer.offset);
    to.set_bytes(buffer.bytes);
  }
  out.mutable_weight_slots()->Assign(from.weight_slots.begin(), from.weight_slots.end());
  for (const Step& step : from.weight_steps) StepToWire(step, *out.add_weight_steps());
  for (const Step& step : from.steps) StepToWire(step, *out.add_steps());
  out.set_arena_bytes(from.arena_bytes);
  out.set_weight_arena_bytes(from.weight_arena_bytes);
  out.set_scratch_bytes(from.scratch_bytes);
  for (const device::KernelEntry& kernel : from.kernels) {
    internal::Kernel& to = *out.add_kernels();
    to.set_name(kernel.name);
    to.set_buffers(kernel.buffers);
    to.set_scalars(kernel.scalars);
  }
  out.set_object(from.object);
  for (const AliasPair& alias : from.aliases) {
    internal::AliasPair& to = *out.add_aliases();
    to.set_input(alias.input);
    to.set_output(alias.output);
  }
}

absl::StatusOr<std::shared_ptr<const Program>> ProgramFromWire(const internal::Program& from) {
  Program out{.target_fingerprint = from.target_fingerprint()};
  RLX_ASSIGN(out.inputs, SpecsFromWire(from.inputs()));
  RLX_ASSIGN(out.params, SpecsFromWire(from.params()));
  RLX_ASSIGN(out.outputs, SpecsFromWire(from.outputs()));
  for (const v1::Tensor& constant : from.constants()) {
    RLX_ASSIGN(HostTensor tensor, TensorFromWire(constant));
    out.constants.push_back(std::move(tensor));
  }
  for (const internal::Buffer& buffer : from.buffers()) {
    const auto storage = FromWire(buffer.storage());
    if (!storage) return DataLoss("unknown storage");
    out.buffers.push_back({*storage, buffer.index(), buffer.offset(), buffer.bytes()});
  }
  out.weight_slots.assign(from.weight_slots().begin(), from.weight_slots().end());
  for (const internal::Step& step : from.weight_steps()) {
    RLX_ASSIGN(Step converted, StepFromWire(step, 0));
    out.weight_steps.push_back(std::move(converted));
  }
  for (const internal::Step& step : from.steps()) {
    RLX_ASSIGN(Step converted, StepFromWire(step, 0));
    out.steps.push_back(std::move(converted));
  }
  out.arena_bytes = from.arena_bytes();
  out.weight_arena_bytes = from.weight_arena_bytes();
  out.scratch_bytes = from.scratch_bytes();
  for (const internal::Kernel& kernel : from.kernels()) {
    out.kernels.push_back({kernel.name(), kernel.buffers(), kernel.scalars()});
  }
  out.object = from.object();
  for (const internal::AliasPair& alias : from.aliases()) {
    out.aliases.push_back({alias.input(), alias.output()});
  }
  RLX_TRY(CheckProgram(out));
  return std::make_shared<const Program>(std::move(out));
}

absl::Status TargetFromWire(const v1::Target& from, Artifact& out) {
  const auto device = FromWire(from.device());
  const auto fusion_target = FromWire(from.fusion_target());
  if (!device || !fusion_target) return DataLoss("unknown device or fusion target");
  out.target = {*device, from.profile(), from.arch(), from.fingerprint()};
  out.fusion_target = *fusion_target;
  return absl::OkStatus();
}

absl::StatusOr<LirModule> LirFromWire(const v1::GraphModule& from, const Limits& limits) {
  const BlobSource no_blobs = [](const v1::BlobSlice&) -> absl::StatusOr<SharedBytes> {
    return DataLoss("an artifact refers to a blob");
  };
  RLX_ASSIGN(Module module, ModuleFromWire(from, limits, no_blobs));
  RLX_TRY(Verify(module, limits));
  if (!module.plan) return DataLoss("the LIR has no plan");
  return LirModule{std::move(module.graph), *module.plan, {}};
}

// One element for each dim, in an i64 input that is there.
absl::StatusOr<ExtentsInput> ExtentsFromWire(const internal::ExtentsInput& from,
                                             const Graph& graph) {
  ExtentsInput out{from.name(), {}};
  SymbolTable symbols;
  for (const v1::Dim& dim : from.dims()) {
    RLX_ASSIGN(Dim extent, DimFromWire(dim, symbols));
    out.dims.push_back(std::move(extent));
  }
  const TensorType type{DType::kI64, {static_cast<int64_t>(out.dims.size())}};
  for (NodeId id : graph.inputs()) {
    if (graph.node(id).name == out.name && graph.type({id, 0}) == type) return out;
  }
  return DataLoss("no input \"", out.name, "\" for extents");
}

absl::StatusOr<Artifact> Decode(const internal::Artifact& from, const Limits& limits) {
  Artifact out;
  RLX_TRY(TargetFromWire(from.target(), out));
  RLX_ASSIGN(out.options, OptionsFromWire(from.options()));
  RLX_ASSIGN(out.lir, LirFromWire(from.lir(), limits));
  RLX_ASSIGN(out.fusion, FusionReportFromWire(from.fusion()));
  RLX_ASSIGN(out.dispatch, DispatchReportFromWire(from.dispatch()));
  for (const v1::PassTiming& timing : from.passes())
    out.passes.push_back(PassTimingFromWire(timing));
  for (const auto& phase : from.phases()) out.phase_seconds[phase.phase()] = phase.seconds();
  if (from.has_program()) {
    RLX_ASSIGN(out.program, ProgramFromWire(from.program()));
  }
  out.why_no_program = from.why_no_program();
  out.as_given = from.as_given();
  if (from.has_extents()) {
    RLX_ASSIGN(out.lir.extents, ExtentsFromWire(from.extents(), out.lir.graph));
  }
  return out;
}

}  // namespace

std::string EncodeArtifact(const Artifact& artifact) {
  internal::Artifact out;
  v1::Target& target = *out.mutable_target();
  target.set_device(ToWire(artifact.target.kind));
  target.set_profile(artifact.target.profile);
  target.set_arch(artifact.target.arch);
  target.set_fingerprint(artifact.target.fingerprint);
  target.set_fusion_target(ToWire(artifact.fusion_target));
  OptionsToWire(artifact.options, *out.mutable_options());
  ModuleToWire({.stage = Stage::kLir, .graph = artifact.lir.graph}, *out.mutable_lir());
  PlanToWire(artifact.lir.plan, *out.mutable_lir()->mutable_plan());
  FusionReportToWire(artifact.fusion, *out.mutable_fusion());
  DispatchReportToWire(artifact.dispatch, *out.mutable_dispatch());
  for (const PassTiming& timing : artifact.passes) PassTimingToWire(timing, *out.add_passes());
  for (const auto& [phase, seconds] : artifact.phase_seconds) {
    internal::PhaseSeconds& to = *out.add_phases();
    to.set_phase(phase);
    to.set_seconds(seconds);
  }
  if (artifact.program) ProgramToWire(*artifact.program, *out.mutable_program());
  out.set_why_no_program(artifact.why_no_program);
  out.set_as_given(artifact.as_given);
  if (const ExtentsInput& extents = artifact.lir.extents; !extents.name.empty()) {
    out.mutable_extents()->set_name(extents.name);
    for (const Dim& dim : extents.dims) DimToWire(dim, *out.mutable_extents()->add_dims());
  }

  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);  // maps in key order
  out.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

absl::StatusOr<Artifact> DecodeArtifact(std::string_view bytes, const Limits& limits) {
  internal::Artifact from;
  if (bytes.size() > INT32_MAX ||
      !from.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return DataLoss("the artifact does not parse");
  }
  auto artifact = Decode(from, limits);
  if (artifact.ok()) return artifact;
  return DataLoss("the artifact is malformed: ", artifact.status());
}

}  // namespace rlx::wire
