// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/accepted.h"

#include "backends/cpu/cpu_backend.h"
#include "runtime/base/check.h"
#include "runtime/base/status.h"
#include "runtime/ir/text.h"
#include "runtime/kernel/text.h"
#include "runtime/lower/lower.h"
#include "runtime/wire/module.h"

namespace rlx::fuzz {
namespace {

class TextBackend final : public device::Backend {
 public:
  std::string_view name() const override { return cpu_->name(); }
  DeviceKind kind() const override { return cpu_->kind(); }
  std::vector<device::Target> Targets() const override { return cpu_->Targets(); }
  device::Claim Claims(const Graph& graph, NodeId node,
                       const device::Target& target) const override {
    return cpu_->Claims(graph, node, target);
  }
  std::vector<std::string> ClaimedKinds(const device::Target& target) const override {
    return cpu_->ClaimedKinds(target);
  }
  bool AcceptsStrided(const Graph& graph, NodeId node, int slot) const override {
    return cpu_->AcceptsStrided(graph, node, slot);
  }
  absl::Status Lower(NodeId node, device::ProgramBuilder& builder) const override {
    return cpu_->Lower(node, builder);
  }
  absl::StatusOr<std::string> CompileKernels(std::span<const kernel::Kernel> kernels,
                                             const device::Target&,
                                             const CancelToken&) const override {
    std::string text;
    for (const kernel::Kernel& kernel : kernels) text += kernel::Print(kernel);
    return text;
  }
  std::string CompilerVersion() const override { return "none"; }
  std::vector<device::DeviceInfo> Enumerate(std::string& why_none) const override {
    why_none = "it runs nothing";
    return {};
  }
  absl::StatusOr<std::shared_ptr<device::Device>> Open(
      std::string_view, const device::DeviceOptions&) const override {
    return Unavailable("it runs nothing");
  }

 private:
  std::unique_ptr<device::Backend> cpu_ = cpu::MakeCpuBackend();
};

// What prints alike is alike: the text form is exact.
void CheckSurvivesText(const Module& module) {
  const std::string text = Print(module);
  const auto again = ParseModule(text);
  CHECK(again.ok(), Message(again.status()), "\n", text);
  CHECK(Print(*again) == text, text, "\n", Print(*again));
}

Module OverTheWire(const Module& module) {
  v1::GraphModule out;
  wire::ModuleToWire(module, out);
  const auto no_blobs = [](const v1::BlobSlice&) { return NotFound("no blob"); };
  auto again = wire::ModuleFromWire(out, kLimits, no_blobs);
  CHECK(again.ok(), Message(again.status()), "\n", Print(module));
  return *std::move(again);
}

// The first time may declare a well-known symbol that was used without.
void CheckSurvivesWire(const Module& module) {
  const Module once = OverTheWire(module), twice = OverTheWire(once);
  CHECK(once.graph.nodes().size() == module.graph.nodes().size(), Print(module), Print(once));
  CHECK(Print(once) == Print(twice), Print(once), "\n", Print(twice));
}

void CheckNotInternal(const absl::Status& status, const Module& module) {
  CHECK(status.code() != absl::StatusCode::kInternal && status.code() != absl::StatusCode::kUnknown,
        Message(status), "\n", Print(module));
}

}  // namespace

const Limits kLimits = {.max_nodes = 400,
                        .max_operands = 64,
                        .max_nesting = 8,
                        .max_tensor_bytes = 1 << 16,
                        .max_constant_bytes = 1 << 12};

const device::Backend& DryBackend() {
  static const device::Backend& backend = *new TextBackend;
  return backend;
}

absl::StatusOr<stages::CompileResult> CompileDry(const Module& module,
                                                 const CompileOptions& options) {
  const device::Backend& backend = DryBackend();
  return stages::CompileModuleStages(module, {.options = options,
                                              .backend = &backend,
                                              .target = backend.Targets().front(),
                                              .limits = kLimits});
}

void CheckAccepted(const Module& module, uint64_t choice) {
  // Verify judges a plan's graph; the plan itself is the compiler's to refuse.
  if (!module.plan || lower::VerifyPlan(module.graph, *module.plan, &DryBackend()).ok()) {
    CheckSurvivesText(module);
    CheckSurvivesWire(module);
  }
  const auto device = static_cast<DeviceKind>(choice % kDeviceKindCount);
  const auto compiled =
      device == DeviceKind::kCpu
          ? CompileDry(module)
          : stages::CompileModuleStages(module, {.device = device, .limits = kLimits});
  CheckNotInternal(compiled.status(), module);
  if (!compiled.ok()) return;
  const absl::Status sound = Verify({.stage = Stage::kLir, .graph = compiled->lir.graph}, kLimits);
  CHECK(sound.ok() || sound.code() == absl::StatusCode::kResourceExhausted, Message(sound), "\n",
        Print(module), "\n", Print(compiled->lir.graph));
}

}  // namespace rlx::fuzz
