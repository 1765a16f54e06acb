// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/cpu_backend.h"

#include <set>

#include "backends/cpu/codegen/codegen.h"
#include "backends/cpu/cpu_device.h"
#include "backends/cpu/math/kernels.h"
#include "backends/cpu/rule.h"
#include "runtime/base/status.h"
#include "runtime/ir/op_info.h"
#include "runtime/kernel/kernel.h"

namespace rlx::cpu {
namespace {

using device::Claim;
using device::DeviceInfo;
using device::Target;

// Best first.
constexpr std::string_view kProfiles[] = {"x86-64-v4", "x86-64-v3", "x86-64"};

// The hand-written kernels that go with generated code for a target.
Isa IsaOf(const CpuTarget& target) {
  if (target.Has("avx512f") && target.Has("avx512vl") && target.Has("avx512bw")) {
    return Isa::kAvx512;
  }
  return target.Has("avx2") && target.Has("fma") ? Isa::kAvx2 : Isa::kGeneric;
}

Target Describe(const CpuTarget& cpu, std::string profile) {
  return {.kind = DeviceKind::kCpu,
          .profile = std::move(profile),
          .arch = cpu.name,
          .fingerprint = Cat(cpu.Fingerprint(), ";math=", IsaName(IsaOf(cpu))),
          .vector_bytes = 4 * cpu.lanes};
}

class CpuBackend final : public device::Backend {
 public:
  std::string_view name() const override { return "cpu"; }
  DeviceKind kind() const override { return DeviceKind::kCpu; }

  std::vector<Target> Targets() const override {
    std::vector<Target> out = {Describe(HostTarget(), "cpu")};
    for (std::string_view profile : kProfiles) {
      const auto target = TargetByName(profile);
      if (target.ok() && CheckHostRuns(*target).ok()) {
        out.push_back(Describe(*target, Cat("cpu:", profile)));
      }
    }
    return out;
  }

  Claim Claims(const Graph& graph, NodeId id, const Target&) const override {
    std::string why;
    const Rule* rule = FindRule(graph, graph.node(id), &why);
    return rule != nullptr ? Claim{true, std::string(rule->how)} : Claim{false, why};
  }

  std::vector<std::string> ClaimedKinds(const Target&) const override {
    std::set<std::string> kinds = {"Input", "Param", "Constant"};
    for (const Rule* rule : AllRules()) kinds.emplace(Info(rule->kind).claim);
    return {kinds.begin(), kinds.end()};
  }

  // Every rule reads operands by strides, or makes a dense copy first; bodies take theirs as if
  // they were inputs.
  bool AcceptsStrided(const Graph& graph, NodeId id, int) const override {
    return Info(graph.node(id).op).op_class != OpClass::kControlFlow;
  }

  absl::Status Lower(NodeId id, device::ProgramBuilder& builder) const override {
    std::string why;
    const Rule* rule = FindRule(builder.graph(), builder.graph().node(id), &why);
    if (rule == nullptr) return Unimplemented(why);
    RLX_ASSIGN(const CpuTarget cpu, ByArch(builder.target()));
    const LowerTarget target{&MathFor(IsaOf(cpu)), cpu.lanes};
    return rule->lower(builder, id, target);
  }

  absl::StatusOr<std::string> CompileKernels(std::span<const kernel::Kernel> kernels,
                                             const Target& target,
                                             const CancelToken& cancel) const override {
    RLX_ASSIGN(const CpuTarget cpu, ByArch(target));
    return CompileToObject(kernels, cpu, cancel);
  }

  absl::StatusOr<std::vector<device::KernelText>> ExportKernel(
      const kernel::Kernel& kernel, const Target& target) const override {
    RLX_ASSIGN(const CpuTarget cpu, ByArch(target));
    RLX_ASSIGN(KernelListing listing, ListKernel(kernel, cpu));
    return std::vector<device::KernelText>{{"llvm-ir", std::move(listing.llvm_ir)},
                                           {"x86-64-assembly", std::move(listing.assembly)}};
  }

  std::string CompilerVersion() const override { return Cat("llvm ", LlvmVersion()); }

  std::vector<DeviceInfo> Enumerate(std::string&) const override {
    return {DescribeHost(Describe(HostTarget(), "cpu"))};
  }

  absl::StatusOr<std::shared_ptr<device::Device>> Open(
      std::string_view id, const device::DeviceOptions& options) const override {
    const DeviceInfo info = DescribeHost(Describe(HostTarget(), "cpu"));
    if (id != info.id) return NotFound("no device \"", id, "\"");
    return MakeCpuDevice(info, options);
  }

 private:
  // "host" and the profiles alike: the arch is the code generator's name for the target.
  static absl::StatusOr<CpuTarget> ByArch(const Target& target) {
    return target.arch == "host" ? HostTarget() : TargetByName(target.arch);
  }
};

}  // namespace

std::unique_ptr<device::Backend> MakeCpuBackend() { return std::make_unique<CpuBackend>(); }

}  // namespace rlx::cpu
