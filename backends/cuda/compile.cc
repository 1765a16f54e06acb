// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/compile.h"

#include <algorithm>

#include "backends/cuda/api.h"
#include "backends/cuda/object.h"
#include "runtime/base/status.h"
#include "runtime/kernel/render/render.h"

namespace rlx::cuda {
namespace {

// Kernels of one translation unit: enough to share its prelude, little enough for NVRTC to be
// quick.
constexpr size_t kKernelsPerUnit = 64;

class Unit {
 public:
  explicit Unit(const Nvrtc& nvrtc) : nvrtc_(nvrtc) {}
  ~Unit() {
    if (program_ != nullptr) nvrtc_.nvrtcDestroyProgram(&program_);
  }
  Unit(const Unit&) = delete;
  Unit& operator=(const Unit&) = delete;

  absl::StatusOr<std::string> Compile(const std::string& text, std::string_view arch,
                                      const CancelToken& cancel) {
    RLX_TRY(Check(
        nvrtc_.nvrtcCreateProgram(&program_, text.c_str(), "kernels.cu", 0, nullptr, nullptr)));
    const auto stop = [](void* token, void*) -> int {
      return static_cast<const CancelToken*>(token)->done() ? 1 : 0;
    };
    RLX_TRY(Check(nvrtc_.nvrtcSetFlowCallback(program_, stop, const_cast<CancelToken*>(&cancel))));
    // With the instructions that no later part has: what is made for a part runs on it alone.
    const std::string gpu = Cat("--gpu-architecture=", arch, arch == "sm_90" ? "a" : "");
    // A product and a sum round twice in the IR, where it does not say fma.
    const char* const options[] = {gpu.c_str(), "--std=c++17", "--fmad=false"};
    const nvrtcResult result = nvrtc_.nvrtcCompileProgram(program_, std::size(options), options);
    if (result != NVRTC_SUCCESS) {
      RLX_TRY(cancel.Check());
      return Internal("nvrtc: ", nvrtc_.nvrtcGetErrorString(result), ": ", Log());
    }
    return Cubin();
  }

 private:
  absl::Status Check(nvrtcResult result) const {
    if (result == NVRTC_SUCCESS) return absl::OkStatus();
    return Internal("nvrtc: ", nvrtc_.nvrtcGetErrorString(result));
  }

  absl::StatusOr<std::string> Cubin() const {
    size_t bytes = 0;
    RLX_TRY(Check(nvrtc_.nvrtcGetCUBINSize(program_, &bytes)));
    std::string cubin(bytes, '\0');
    RLX_TRY(Check(nvrtc_.nvrtcGetCUBIN(program_, cubin.data())));
    return cubin;
  }

  std::string Log() const {
    constexpr size_t kMost = 4096;
    size_t bytes = 0;
    if (nvrtc_.nvrtcGetProgramLogSize(program_, &bytes) != NVRTC_SUCCESS || bytes < 2) return "";
    std::string log(bytes, '\0');
    nvrtc_.nvrtcGetProgramLog(program_, log.data());
    log.resize(std::min(bytes - 1, kMost));
    return log;
  }

  const Nvrtc& nvrtc_;
  nvrtcProgram program_ = nullptr;
};

}  // namespace

bool CompilesFor(const Nvrtc& nvrtc, std::string_view arch) {
  int count = 0;
  if (nvrtc.nvrtcGetNumSupportedArchs(&count) != NVRTC_SUCCESS || count < 1) return false;
  std::vector<int> known(static_cast<size_t>(count));
  if (nvrtc.nvrtcGetSupportedArchs(known.data()) != NVRTC_SUCCESS) return false;
  return std::ranges::any_of(known, [&](int number) { return arch == Cat("sm_", number); });
}

absl::StatusOr<std::string> CompileToCubin(const Nvrtc& nvrtc,
                                           std::span<const kernel::Kernel> kernels,
                                           std::string_view arch, const CancelToken& cancel) {
  std::vector<ObjectPart> parts;
  for (size_t from = 0; from < kernels.size(); from += kKernelsPerUnit) {
    RLX_TRY(cancel.Check());
    const auto some = kernels.subspan(from, std::min(kKernelsPerUnit, kernels.size() - from));
    RLX_ASSIGN(const std::string text, kernel::Render(some, kernel::CudaDialect()));
    ObjectPart& part = parts.emplace_back();
    for (const kernel::Kernel& k : some) {
      const auto notes = NotesOfSource(k.source);
      if (!notes) return Internal(k.name, ": its launch's notes do not read");
      part.kernels.push_back({k.name, k.local, *notes});
    }
    RLX_ASSIGN(part.cubin, Unit(nvrtc).Compile(text, arch, cancel));
  }
  return WriteObject(parts);
}

}  // namespace rlx::cuda
