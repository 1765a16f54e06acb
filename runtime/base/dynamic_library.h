// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <type_traits>
#include <utility>

#include "runtime/base/status.h"

namespace rlx {

// A shared object opened at run time: a vendor's library, a back-end plug-in. Its symbols stay
// local to it. Closed with the object: whoever holds function pointers from it keeps it alive.
class DynamicLibrary {
 public:
  // kProcess: stays loaded when the object goes. For what keeps threads or memory of its own, as
  // vendors' libraries do.
  enum class Stays { kObject, kProcess };

  // A bare name ("libcuda.so.1") is searched as the loader does, a path is taken as it is.
  // Unavailable, with the loader's own words, when it or something it needs is missing.
  static absl::StatusOr<DynamicLibrary> Open(const std::string& name, Stays stays = Stays::kObject);

  DynamicLibrary(DynamicLibrary&& other) noexcept
      : name_(std::move(other.name_)), handle_(std::exchange(other.handle_, nullptr)) {}
  DynamicLibrary& operator=(DynamicLibrary&& other) noexcept {
    std::swap(name_, other.name_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~DynamicLibrary();

  // The symbol as a pointer type, for example Symbol<int (*)(int)>("f"). NotFound names both.
  template <class T>
  absl::StatusOr<T> Symbol(const char* symbol) const {
    static_assert(std::is_pointer_v<T>);
    absl::StatusOr<void*> address = Find(symbol);
    if (!address.ok()) return std::move(address).status();
    return reinterpret_cast<T>(*address);
  }

  const std::string& name() const { return name_; }

 private:
  DynamicLibrary(std::string name, void* handle) : name_(std::move(name)), handle_(handle) {}
  absl::StatusOr<void*> Find(const char* symbol) const;

  std::string name_;
  void* handle_;
};

}  // namespace rlx
