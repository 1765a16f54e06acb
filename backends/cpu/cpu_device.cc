// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/cpu_device.h"

#include <sched.h>

#include <cstdio>

#include "backends/cpu/codegen/codegen.h"
#include "backends/cpu/executable.h"
#include "backends/cpu/math/kernels.h"
#include "runtime/base/machine_memory.h"
#include "runtime/base/status.h"

namespace rlx::cpu {
namespace {

int AvailableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

// What /proc/cpuinfo says under `field` of the first processor, else `otherwise`.
std::string ProcessorField(std::string_view field, std::string otherwise) {
  FILE* file = std::fopen("/proc/cpuinfo", "re");
  if (file == nullptr) return otherwise;
  char line[512];
  while (std::fgets(line, sizeof line, file) != nullptr) {
    const std::string_view text(line);
    if (!text.starts_with(field)) continue;
    const size_t colon = text.find(": ");
    if (colon != text.npos) otherwise = text.substr(colon + 2, text.find('\n') - colon - 2);
    break;
  }
  std::fclose(file);
  return otherwise;
}

// In the words that other devices' vendors have: "amd", "intel".
std::string ProcessorVendor() {
  const std::string id = ProcessorField("vendor_id", "unknown");
  return id == "AuthenticAMD" ? "amd" : id == "GenuineIntel" ? "intel" : id;
}

// The hand-written kernels that a program was lowered for: how its weights are packed follows from
// them, so no others will do.
std::optional<Isa> IsaOf(const device::Program& program) {
  for (Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) {
    if (program.target_fingerprint.ends_with(Cat(";math=", IsaName(isa)))) return isa;
  }
  return std::nullopt;
}

class CpuDevice final : public device::Device {
 public:
  CpuDevice(device::DeviceInfo info, int threads)
      : info_(std::move(info)),
        pool_(std::make_shared<ThreadPool>(threads - 1)),
        threads_(threads) {}

  const device::DeviceInfo& info() const override { return info_; }
  absl::Status Health() const override { return absl::OkStatus(); }

  absl::StatusOr<std::shared_ptr<const device::Executable>> Load(
      std::shared_ptr<const device::Program> program) const override {
    const std::optional<Isa> isa = IsaOf(*program);
    if (!isa || *isa > DetectIsa()) {
      return FailedPrecondition("the program was made for ", program->target_fingerprint,
                                ", this device is ", info_.target.fingerprint);
    }
    return LoadExecutable(std::move(program), {pool_, threads_, &MathFor(*isa)});
  }

 private:
  device::DeviceInfo info_;
  std::shared_ptr<ThreadPool> pool_;
  int threads_;
};

}  // namespace

device::DeviceInfo DescribeHost(const device::Target& target) {
  return {.id = "cpu:0",
          .kind = DeviceKind::kCpu,
          .vendor = ProcessorVendor(),
          .name = ProcessorField("model name", "unknown processor"),
          .driver = Cat(AvailableCores(), " cores, ", IsaName(DetectIsa())),
          .memory_bytes = UsableMemory(),
          .target = target};
}

std::shared_ptr<device::Device> MakeCpuDevice(device::DeviceInfo info,
                                              const device::DeviceOptions& options) {
  const int threads = options.threads > 0 ? options.threads : AvailableCores();
  return std::make_shared<CpuDevice>(std::move(info), threads);
}

}  // namespace rlx::cpu
