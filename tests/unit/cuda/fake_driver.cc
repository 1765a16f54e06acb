// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/cuda/fake_driver.h"

#include <cstdlib>
#include <cstring>

#include "runtime/base/check.h"

namespace rlx::cuda::test {
namespace {

FakeDriver* g = nullptr;

constexpr uint64_t kMapped = 0x6d6170;

void* At(CUdeviceptr address) { return reinterpret_cast<void*>(address); }

}  // namespace

// The table's entries. A handle is the address of something of ours; of a stream, an event and a
// module that is a byte.
struct FakeCalls {
  using Work = FakeDriver::Work;

  static CUresult Enter() {
    if (g->sticky != CUDA_SUCCESS) return g->sticky;
    return g->calls++ == g->fail_at ? g->failure : CUDA_SUCCESS;
  }

  template <class T, class Handle>
  static CUresult Make(Handle* out, const T& value = T()) {
    const CUresult result = Enter();
    if (result != CUDA_SUCCESS) return result;
    T* const made = new T(value);
    *out = reinterpret_cast<Handle>(made);
    g->handles_[made] = [made] { delete made; };
    return CUDA_SUCCESS;
  }
  template <class Handle>
  static CUresult Drop(Handle handle) {
    const auto it = g->handles_.find(reinterpret_cast<const void*>(handle));
    CHECK(it != g->handles_.end(), "given back what was not made");
    it->second();
    g->handles_.erase(it);
    return CUDA_SUCCESS;
  }

  static CUresult Do(Work work) {
    const CUresult result = Enter();
    if (result != CUDA_SUCCESS) return result;
    if (g->capturing_) {
      g->captured_.push_back(std::move(work));
    } else {
      work();
    }
    return CUDA_SUCCESS;
  }

  static CUresult Allocate(void** out, size_t bytes, bool of_device) {
    const CUresult result = Enter();
    if (result != CUDA_SUCCESS) return result;
    size_t used = bytes;
    for (const auto& [_, size] : g->memory_) used += size;
    if (of_device && used > g->most_bytes) return CUDA_ERROR_OUT_OF_MEMORY;
    *out = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    std::memset(*out, 0xa5, bytes);  // what was there before
    g->memory_[*out] = of_device ? bytes : 0;
    return CUDA_SUCCESS;
  }
  static CUresult Free(void* memory) {
    CHECK(g->memory_.erase(memory) == 1, "freed what was not allocated");
    std::free(memory);
    return CUDA_SUCCESS;
  }

  static void Devices(Driver& d) {
    d.cuInit = [](unsigned) { return g->init; };
    d.cuDriverGetVersion = [](int* version) {
      *version = 13000;
      return Enter();
    };
    d.cuGetErrorName = [](CUresult result, const char** name) {
      *name = result == CUDA_ERROR_NO_DEVICE ? "NO_DEVICE" : "FAKED";
      return CUDA_SUCCESS;
    };
    d.cuDeviceGetCount = [](int* count) {
      *count = g->devices;
      return Enter();
    };
    d.cuDeviceGet = [](CUdevice* device, int ordinal) {
      *device = ordinal;
      return Enter();
    };
    d.cuDeviceGetName = [](char* name, int bytes, CUdevice) {
      std::strncpy(name, "Fake", static_cast<size_t>(bytes));
      return Enter();
    };
    d.cuDeviceGetAttribute = [](int* value, CUdevice_attribute attribute, CUdevice) {
      const bool major = attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
      *value = major ? g->arch / 10 : g->arch % 10;
      return Enter();
    };
    d.cuDeviceTotalMem = [](size_t* bytes, CUdevice) {
      *bytes = size_t{1} << 30;
      return Enter();
    };
    d.cuDevicePrimaryCtxRetain = [](CUcontext* context, CUdevice) {
      const CUresult result = Enter();
      if (result != CUDA_SUCCESS) return result;
      *context = reinterpret_cast<CUcontext>(g);
      ++g->contexts_;
      return CUDA_SUCCESS;
    };
    d.cuDevicePrimaryCtxRelease = [](CUdevice) {
      --g->contexts_;
      return CUDA_SUCCESS;
    };
    d.cuCtxSetCurrent = [](CUcontext) { return CUDA_SUCCESS; };
  }

  static void MemoryCalls(Driver& d) {
    d.cuMemAlloc = [](CUdeviceptr* address, size_t bytes) {
      void* memory = nullptr;
      const CUresult result = Allocate(&memory, bytes, true);
      *address = reinterpret_cast<CUdeviceptr>(memory);
      return result;
    };
    d.cuMemHostAlloc = [](void** out, size_t bytes, unsigned) {
      return Allocate(out, bytes, false);
    };
    d.cuMemFree = [](CUdeviceptr address) { return Free(At(address)); };
    d.cuMemFreeHost = [](void* memory) { return Free(memory); };
    d.cuMemcpyHtoDAsync = [](CUdeviceptr to, const void* from, size_t bytes, CUstream) {
      return Do([=] { std::memcpy(At(to), from, bytes); });
    };
    d.cuMemcpyDtoHAsync = [](void* to, CUdeviceptr from, size_t bytes, CUstream) {
      return Do([=] { std::memcpy(to, At(from), bytes); });
    };
    d.cuMemcpyDtoDAsync = [](CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream) {
      return Do([=] { std::memcpy(At(to), At(from), bytes); });
    };
    d.cuMemsetD8Async = [](CUdeviceptr to, unsigned char value, size_t bytes, CUstream) {
      return Do([=] { std::memset(At(to), value, bytes); });
    };
  }

  static void Streams(Driver& d) {
    d.cuStreamCreate = [](CUstream* stream, unsigned) { return Make<char>(stream); };
    d.cuStreamDestroy = [](CUstream stream) { return Drop(stream); };
    d.cuStreamSynchronize = [](CUstream) { return Enter(); };
    d.cuEventCreate = [](CUevent* event, unsigned) { return Make<char>(event); };
    d.cuEventDestroy = [](CUevent event) { return Drop(event); };
    d.cuEventRecord = [](CUevent, CUstream) { return Enter(); };
    d.cuEventSynchronize = [](CUevent) { return Enter(); };
    d.cuEventElapsedTime = [](float* millis, CUevent, CUevent) {
      *millis = 1;
      return Enter();
    };
    d.cuStreamBeginCapture = [](CUstream, CUstreamCaptureMode) {
      const CUresult result = Enter();
      g->capturing_ = result == CUDA_SUCCESS;
      g->captures += g->capturing_ ? 1 : 0;
      return result;
    };
    d.cuStreamEndCapture = [](CUstream, CUgraph* graph) {
      g->capturing_ = false;
      return Make(graph, std::exchange(g->captured_, {}));
    };
    d.cuGraphDestroy = [](CUgraph graph) { return Drop(graph); };
    d.cuGraphInstantiate = [](CUgraphExec* exec, CUgraph graph, unsigned long long) {
      return Make(exec, *reinterpret_cast<std::vector<Work>*>(graph));
    };
    d.cuGraphExecDestroy = [](CUgraphExec exec) { return Drop(exec); };
    d.cuGraphLaunch = [](CUgraphExec exec, CUstream) {
      const CUresult result = Enter();
      if (result != CUDA_SUCCESS) return result;
      ++g->replays;
      for (const Work& work : *reinterpret_cast<std::vector<Work>*>(exec)) work();
      return CUDA_SUCCESS;
    };
  }

  static void Kernels(Driver& d) {
    d.cuModuleLoadData = [](CUmodule* module, const void*) { return Make<char>(module); };
    d.cuModuleUnload = [](CUmodule module) { return Drop(module); };
    d.cuModuleGetFunction = [](CUfunction* function, CUmodule, const char* name) {
      const auto it = g->kernels.find(name);
      if (it == g->kernels.end()) return CUDA_ERROR_INVALID_VALUE;
      *function = reinterpret_cast<CUfunction>(&it->second);
      return Enter();
    };
    d.cuLaunchKernel = [](CUfunction function, unsigned, unsigned, unsigned, unsigned, unsigned,
                          unsigned, unsigned, CUstream, void** arguments,
                          void**) { return Launch(function, arguments); };
    d.cuLaunchKernelEx = [](const CUlaunchConfig* config, CUfunction function, void** arguments,
                            void**) {
      CHECK(config->numAttrs == 1 &&
                config->attrs[0].id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION &&
                config->attrs[0].value.programmaticStreamSerializationAllowed == 1,
            "launched in a way that the plain call has too");
      ++g->ahead;
      return Launch(function, arguments);
    };
    d.cuFuncSetAttribute = [](CUfunction, CUfunction_attribute, int) { return Enter(); };
    d.cuTensorMapEncodeTiled = [](CUtensorMap* map, CUtensorMapDataType, uint32_t, void* address,
                                  const uint64_t*, const uint64_t*, const uint32_t*,
                                  const uint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle,
                                  CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
      map->opaque[0] = kMapped;
      map->opaque[1] = reinterpret_cast<uint64_t>(address);
      return Enter();
    };
  }

  // The driver copies arguments at the call, too.
  static CUresult Launch(CUfunction function, void** arguments) {
    const auto* kernel = reinterpret_cast<const FakeDriver::Kernel*>(function);
    std::vector<void*> buffers;
    for (size_t m = 0; m < kernel->maps; ++m) {
      CHECK(static_cast<const CUtensorMap*>(arguments[m])->opaque[0] == kMapped, "no map");
    }
    for (size_t b = 0; b < kernel->buffers; ++b) {
      buffers.push_back(At(*static_cast<const CUdeviceptr*>(arguments[kernel->maps + b])));
    }
    return Do([=] { kernel->run(buffers); });
  }
};

FakeDriver::FakeDriver() {
  CHECK(g == nullptr, "two fakes at once");
  g = this;
  Driver table;
  FakeCalls::Devices(table);
  FakeCalls::MemoryCalls(table);
  FakeCalls::Streams(table);
  FakeCalls::Kernels(table);
  driver_ = std::make_shared<Driver>(std::move(table));
}

void FakeDriver::BecomeOld() {
  driver_->cuLaunchKernelEx = nullptr;
  driver_->cuTensorMapEncodeTiled = nullptr;
}

// What a failed device keeps goes with it.
FakeDriver::~FakeDriver() {
  for (const auto& [_, end] : handles_) end();
  for (const auto& [memory, _] : memory_) std::free(memory);
  g = nullptr;
}

CublasLt FakeDriver::Blas() {
  CublasLt blas;
  blas.cublasLtGetStatusName = [](cublasStatus_t) { return "FAKED"; };
  blas.cublasLtCreate = [](cublasLtHandle_t* handle) {
    *handle = reinterpret_cast<cublasLtHandle_t>(g);
    return CUBLAS_STATUS_SUCCESS;
  };
  blas.cublasLtDestroy = [](cublasLtHandle_t) { return CUBLAS_STATUS_SUCCESS; };
  return blas;
}

}  // namespace rlx::cuda::test
