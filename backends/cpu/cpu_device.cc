// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/cpu_device.h"

#include <sched.h>
#include <unistd.h>

#include "backends/cpu/codegen/codegen.h"
#include "backends/cpu/executable.h"
#include "backends/cpu/math/kernels.h"
#include "runtime/base/file.h"
#include "runtime/base/status.h"

namespace rlx::cpu {
namespace {

int AvailableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

std::string ProcessorModel() {
  const auto text = ReadFile("/proc/cpuinfo", 16 << 20);
  if (!text.ok()) return "unknown processor";
  const size_t key = text->find("model name");
  const size_t colon = text->find(": ", key);
  if (key == std::string::npos || colon == std::string::npos) return "unknown processor";
  return text->substr(colon + 2, text->find('\n', colon) - colon - 2);
}

class CpuDevice final : public device::Device {
 public:
  CpuDevice(device::DeviceInfo info, int threads, const MathKernels& math)
      : info_(std::move(info)), host_{std::make_shared<ThreadPool>(threads - 1), threads, &math} {}

  const device::DeviceInfo& info() const override { return info_; }
  absl::Status Health() const override { return absl::OkStatus(); }

  absl::StatusOr<std::shared_ptr<const device::Executable>> Load(
      std::shared_ptr<const device::Program> program) const override {
    if (program->target_fingerprint != info_.target.fingerprint) {
      RLX_TRY(CheckRuns(*program));
    }
    return LoadExecutable(std::move(program), host_);
  }

 private:
  // A portable profile's program: this machine must have the features, and the same packing of
  // weights must be at hand.
  absl::Status CheckRuns(const device::Program& program) const {
    for (Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) {
      const std::string math = Cat(";math=", IsaName(isa));
      if (!program.target_fingerprint.ends_with(math)) continue;
      if (isa <= DetectIsa()) return absl::OkStatus();
    }
    return FailedPrecondition("the program was made for ", program.target_fingerprint,
                              ", this device is ", info_.target.fingerprint);
  }

  device::DeviceInfo info_;
  Host host_;
};

}  // namespace

device::DeviceInfo DescribeHost(const device::Target& target) {
  return {.id = "cpu:0",
          .kind = DeviceKind::kCpu,
          .name = ProcessorModel(),
          .driver = Cat(AvailableCores(), " cores, ", IsaName(DetectIsa())),
          .memory_bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE),
          .target = target};
}

std::shared_ptr<device::Device> MakeCpuDevice(device::DeviceInfo info,
                                              const device::DeviceOptions& options,
                                              const MathKernels& math) {
  const int threads = options.threads > 0 ? options.threads : AvailableCores();
  return std::make_shared<CpuDevice>(std::move(info), threads, math);
}

}  // namespace rlx::cpu
