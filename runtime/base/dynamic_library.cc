// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/dynamic_library.h"

#include <dlfcn.h>

namespace rlx {

absl::StatusOr<DynamicLibrary> DynamicLibrary::Open(const std::string& name, Stays stays) {
  const int keep = stays == Stays::kProcess ? RTLD_NODELETE : 0;
  void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | keep);
  if (handle == nullptr) return Unavailable("cannot load ", name, ": ", dlerror());
  return DynamicLibrary(name, handle);
}

DynamicLibrary::~DynamicLibrary() {
  if (handle_ != nullptr) dlclose(handle_);
}

absl::StatusOr<void*> DynamicLibrary::Find(const char* symbol) const {
  void* address = dlsym(handle_, symbol);
  if (address == nullptr) return NotFound(name_, " has no symbol ", symbol);
  return address;
}

}  // namespace rlx
