// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/api.h"

#include <string>

#include "runtime/base/status.h"

namespace rlx::cuda {
namespace {

absl::StatusOr<DynamicLibrary> OpenFirst(std::initializer_list<const char*> names) {
  absl::Status failure;
  for (const char* name : names) {
    absl::StatusOr<DynamicLibrary> library = DynamicLibrary::Open(name);
    if (library.ok()) return library;
    const bool missing = Message(library.status()).find("No such file") != std::string_view::npos;
    if (failure.ok()) failure = missing ? Unavailable(name, " not found") : library.status();
  }
  return failure;
}

template <class T>
absl::Status Fill(const DynamicLibrary& library, const char* name, T& member) {
  RLX_ASSIGN(member, library.Symbol<T>(name));
  return absl::OkStatus();
}

}  // namespace

// The headers give some functions another name, by macros that expand before the name is a text.
#define RLX_CUDA_TEXT(name) #name
#define RLX_CUDA_FILL(name) RLX_TRY(Fill(out.library, RLX_CUDA_TEXT(name), out.name));

absl::StatusOr<Driver> Driver::Load() {
  RLX_ASSIGN(DynamicLibrary library, OpenFirst({"libcuda.so.1"}));
  Driver out{.library = std::move(library)};
  RLX_CUDA_DRIVER(RLX_CUDA_FILL)
  return out;
}

absl::StatusOr<Nvrtc> Nvrtc::Load() {
  RLX_ASSIGN(DynamicLibrary library, OpenFirst({"libnvrtc.so.13", "libnvrtc.so.12"}));
  Nvrtc out{.library = std::move(library)};
  RLX_NVRTC(RLX_CUDA_FILL)
  return out;
}

absl::StatusOr<CublasLt> CublasLt::Load() {
  RLX_ASSIGN(DynamicLibrary library, OpenFirst({"libcublasLt.so.13", "libcublasLt.so.12"}));
  CublasLt out{.library = std::move(library)};
  RLX_CUBLASLT(RLX_CUDA_FILL)
  return out;
}

}  // namespace rlx::cuda
