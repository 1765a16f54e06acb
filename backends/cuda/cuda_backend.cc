// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/cuda_backend.h"

#include <set>

#include "backends/cuda/api.h"
#include "backends/cuda/compile.h"
#include "backends/cuda/cuda_device.h"
#include "backends/cuda/rule.h"
#include "runtime/base/status.h"
#include "runtime/device/generate/narrow_launches.h"
#include "runtime/ir/op_info.h"
#include "runtime/kernel/render/render.h"

namespace rlx::cuda {
namespace {

using device::Claim;
using device::DeviceInfo;
using device::Target;

// Parts that anyone can compile for, the device here or not.
struct Profile {
  std::string_view name, arch;
};
constexpr Profile kProfiles[] = {
    {"cuda:h200", "sm_90"},    {"cuda:h100", "sm_90"},    {"cuda:a100", "sm_80"},
    {"cuda:a10", "sm_86"},     {"cuda:l4", "sm_89"},      {"cuda:l40s", "sm_89"},
    {"cuda:rtx3090", "sm_86"}, {"cuda:rtx4090", "sm_89"}, {"cuda:b200", "sm_100"},
};

class CudaBackend final : public device::Backend {
 public:
  CudaBackend() : nvrtc_(Nvrtc::Load()) {
    const absl::Status found = FindDevices();
    if (!found.ok()) why_none_ = Message(found);
    if (!nvrtc_.ok()) {
      why_none_ += Cat(why_none_.empty() ? "" : "; ",
                       "no code is made for it here: ", Message(nvrtc_.status()));
    }
  }

  std::string_view name() const override { return "cuda"; }
  DeviceKind kind() const override { return DeviceKind::kCuda; }

  std::vector<Target> Targets() const override {
    if (!nvrtc_.ok()) return {};
    std::vector<Target> out;
    // Without a device "cuda" is the first profile's.
    const std::string own(devices_.empty() ? kProfiles[0].arch : devices_[0].target.arch);
    out.push_back(TargetFor("cuda", own));
    for (const Profile& profile : kProfiles) {
      out.push_back(TargetFor(std::string(profile.name), std::string(profile.arch)));
    }
    std::erase_if(out, [&](const Target& t) { return !CompilesFor(*nvrtc_, t.arch); });
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

  // Every rule reads operands by strides, or makes a dense copy first.
  bool AcceptsStrided(const Graph&, NodeId, int) const override { return true; }

  absl::Status Lower(NodeId id, device::ProgramBuilder& builder) const override {
    std::string why;
    const Rule* rule = FindRule(builder.graph(), builder.graph().node(id), &why);
    if (rule == nullptr) return Unimplemented(why);
    device::NarrowLaunches narrow(builder);
    return rule->lower(narrow, id);
  }

  absl::StatusOr<std::string> CompileKernels(std::span<const kernel::Kernel> kernels,
                                             const Target& target,
                                             const CancelToken& cancel) const override {
    RLX_TRY(nvrtc_.status());
    return CompileToCubin(*nvrtc_, kernels, target.arch, cancel);
  }

  absl::StatusOr<std::vector<device::KernelText>> ExportKernel(const kernel::Kernel& kernel,
                                                               const Target&) const override {
    RLX_ASSIGN(std::string text, kernel::Render({&kernel, 1}, kernel::CudaDialect()));
    return std::vector<device::KernelText>{{"cuda", std::move(text)}};
  }

  std::string CompilerVersion() const override {
    int major = 0, minor = 0;
    if (!nvrtc_.ok() || nvrtc_->nvrtcVersion(&major, &minor) != NVRTC_SUCCESS) return "no nvrtc";
    return Cat("nvrtc ", major, ".", minor);
  }

  std::vector<DeviceInfo> Enumerate(std::string& why_none) const override {
    why_none = why_none_;
    return devices_;
  }

  absl::StatusOr<std::shared_ptr<device::Device>> Open(
      std::string_view id, const device::DeviceOptions&) const override {
    for (const DeviceInfo& info : devices_) {
      if (info.id == id) return MakeCudaDevice(driver_, info);
    }
    return NotFound("no device \"", id, "\"");
  }

 private:
  absl::Status FindDevices() {
    RLX_ASSIGN(Driver driver, Driver::Load());
    driver_ = std::make_shared<const Driver>(std::move(driver));
    RLX_ASSIGN(devices_, ListDevices(*driver_));
    return absl::OkStatus();
  }

  absl::StatusOr<Nvrtc> nvrtc_;
  std::shared_ptr<const Driver> driver_;
  std::vector<DeviceInfo> devices_;
  std::string why_none_;
};

}  // namespace

std::unique_ptr<device::Backend> MakeCudaBackend() { return std::make_unique<CudaBackend>(); }

}  // namespace rlx::cuda
