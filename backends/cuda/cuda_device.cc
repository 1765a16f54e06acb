// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/cuda_device.h"

#include "backends/cuda/executable.h"
#include "runtime/base/status.h"

namespace rlx::cuda {
namespace {

constexpr std::string_view kIdPrefix = "cuda:";
constexpr int kLeastArch = 80;  // bf16, and shuffles and copies as the kernels have them

absl::Status Check(const Driver& driver, CUresult result, std::string_view what) {
  if (result == CUDA_SUCCESS) return absl::OkStatus();
  const char* name = nullptr;
  driver.cuGetErrorName(result, &name);
  return Unavailable(what, ": ", name == nullptr ? "unknown error" : name);
}

absl::StatusOr<device::DeviceInfo> Describe(const Driver& driver, int ordinal) {
  CUdevice device = 0;
  char name[256] = {};
  int major = 0, minor = 0, version = 0;
  size_t bytes = 0;
  RLX_TRY(Check(driver, driver.cuDeviceGet(&device, ordinal), "device"));
  RLX_TRY(Check(driver, driver.cuDeviceGetName(name, sizeof name, device), "device's name"));
  RLX_TRY(Check(
      driver,
      driver.cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device),
      "device's architecture"));
  RLX_TRY(Check(
      driver,
      driver.cuDeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device),
      "device's architecture"));
  RLX_TRY(Check(driver, driver.cuDeviceTotalMem(&bytes, device), "device's memory"));
  RLX_TRY(Check(driver, driver.cuDriverGetVersion(&version), "driver's version"));
  if (10 * major + minor < kLeastArch) {
    return FailedPrecondition(name, " is of sm_", major, minor, ", older than sm_", kLeastArch);
  }
  return device::DeviceInfo{.id = Cat(kIdPrefix, ordinal),
                            .kind = DeviceKind::kCuda,
                            .vendor = "nvidia",
                            .name = name,
                            .driver = Cat("CUDA ", version / 1000, ".", version % 1000 / 10),
                            .memory_bytes = static_cast<int64_t>(bytes),
                            .target = TargetFor("cuda", Cat("sm_", major, minor))};
}

class CudaDevice final : public device::Device {
 public:
  CudaDevice(std::shared_ptr<const Gpu> gpu, device::DeviceInfo info)
      : gpu_(std::move(gpu)), info_(std::move(info)) {}

  const device::DeviceInfo& info() const override { return info_; }
  absl::Status Health() const override { return gpu_->Health(); }

  absl::StatusOr<std::shared_ptr<const device::Executable>> Load(
      std::shared_ptr<const device::Program> program) const override {
    if (program->target_fingerprint != info_.target.fingerprint) {
      return FailedPrecondition("the program was made for ", program->target_fingerprint,
                                ", this device is ", info_.target.fingerprint);
    }
    return LoadExecutable(gpu_, std::move(program));
  }

 private:
  std::shared_ptr<const Gpu> gpu_;
  device::DeviceInfo info_;
};

}  // namespace

device::Target TargetFor(std::string profile, std::string arch) {
  device::Target target{.kind = DeviceKind::kCuda, .profile = std::move(profile)};
  target.fingerprint = Cat("cuda;", arch);
  target.arch = std::move(arch);
  target.vector_bytes = 128;  // a subgroup of f32
  return target;
}

absl::StatusOr<std::vector<device::DeviceInfo>> ListDevices(const Driver& driver) {
  RLX_TRY(Check(driver, driver.cuInit(0), "the driver does not start"));
  int count = 0;
  RLX_TRY(Check(driver, driver.cuDeviceGetCount(&count), "the driver lists no devices"));
  std::vector<device::DeviceInfo> list;
  absl::Status refused = NotFound("the driver knows of no device");
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    absl::StatusOr<device::DeviceInfo> info = Describe(driver, ordinal);
    if (info.ok()) {
      list.push_back(*std::move(info));
    } else {
      refused = info.status();
    }
  }
  if (list.empty()) return refused;
  return list;
}

absl::StatusOr<std::shared_ptr<device::Device>> MakeCudaDevice(std::shared_ptr<const Driver> driver,
                                                               device::DeviceInfo info) {
  const auto ordinal = ParseInt(std::string_view(info.id).substr(kIdPrefix.size()));
  CUdevice device = 0;
  RLX_TRY(Check(*driver, driver->cuDeviceGet(&device, static_cast<int>(ordinal.value_or(0))),
                "device"));
  RLX_ASSIGN(CublasLt blas, CublasLt::Load());
  RLX_ASSIGN(std::shared_ptr<const Gpu> gpu, Gpu::Open(std::move(driver), std::move(blas), device));
  return std::make_shared<CudaDevice>(std::move(gpu), std::move(info));
}

}  // namespace rlx::cuda
