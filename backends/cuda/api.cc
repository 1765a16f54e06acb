// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/api.h"

#include <string>

#include "runtime/base/status.h"

namespace rlx::cuda {
namespace {

absl::StatusOr<DynamicLibrary> OpenFirst(std::initializer_list<const char*> names) {
  absl::Status failure;
  for (const char* name : names) {
    absl::StatusOr<DynamicLibrary> library =
        DynamicLibrary::Open(name, DynamicLibrary::Stays::kProcess);
    if (library.ok()) return library;
    const bool missing = Message(library.status()).find("No such file") != std::string_view::npos;
    if (failure.ok()) failure = missing ? Unavailable(name, " not found") : library.status();
  }
  return failure;
}

template <class T>
absl::Status Fill(const DynamicLibrary& library, const char* symbol, T& member) {
  absl::StatusOr<T> found = library.Symbol<T>(symbol);
  if (!found.ok()) return Unavailable(Message(found.status()));
  member = *found;
  return absl::OkStatus();
}

}  // namespace

#define RLX_CUDA_FILL(name, symbol, ...) RLX_TRY(Fill(*out.library, symbol, out.name));

#define RLX_CUDA_FILL_IF_THERE(name, symbol, ...) \
  static_cast<void>(Fill(*out.library, symbol, out.name));

absl::StatusOr<Driver> Driver::Load() {
  Driver out;
  RLX_ASSIGN(out.library, OpenFirst({"libcuda.so.1"}));
  RLX_CUDA_DRIVER(RLX_CUDA_FILL)
  RLX_CUDA_NEWER_DRIVER(RLX_CUDA_FILL_IF_THERE)
  return out;
}

absl::StatusOr<Nvrtc> Nvrtc::Load() {
  Nvrtc out;
  RLX_ASSIGN(out.library, OpenFirst({"libnvrtc.so.13", "libnvrtc.so.12"}));
  RLX_NVRTC(RLX_CUDA_FILL)
  return out;
}

absl::StatusOr<CublasLt> CublasLt::Load() {
  CublasLt out;
  RLX_ASSIGN(out.library, OpenFirst({"libcublasLt.so.13", "libcublasLt.so.12"}));
  RLX_CUBLASLT(RLX_CUDA_FILL)
  return out;
}

}  // namespace rlx::cuda
