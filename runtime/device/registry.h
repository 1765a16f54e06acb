// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/device/backend.h"

namespace rlx {
class DynamicLibrary;
}

namespace rlx::device {

// What a plug-in exports, as `rlxd_backend_entry`. A plug-in built from other sources than the
// daemon is refused before anything in it runs: the types they share have no stable layout.
struct PluginEntry {
  const char* build_id;  // BuildId() of the core library it was linked with
  Backend* (*create)();  // caller owns the result
};
inline constexpr char kPluginSymbol[] = "rlxd_backend_entry";

// Names the sources that this core library was built from. Part of every cache key.
std::string_view BuildId();

// The back ends of this process, a value owned by the engine. Filled at start, then const and
// thread safe. Plug-ins stay loaded as long as it lives.
class Registry {
 public:
  Registry();
  ~Registry();
  Registry(Registry&&) noexcept;
  Registry& operator=(Registry&&) noexcept;

  // AlreadyExists when its device kind has one.
  absl::Status Add(std::unique_ptr<Backend> backend);
  // Loads every librlxd_backend_*.so of a folder. One that does not load is listed in failures()
  // and left out; a folder that cannot be read is an error.
  absl::Status LoadFolder(const std::string& folder);

  const Backend* Find(DeviceKind kind) const;  // null: none
  std::vector<const Backend*> all() const;

  struct Failure {
    std::string file;
    std::string why;
  };
  const std::vector<Failure>& failures() const { return failures_; }

 private:
  absl::Status LoadPlugin(const std::string& path);

  std::vector<std::unique_ptr<DynamicLibrary>> libraries_;  // outlive the back ends
  std::vector<std::unique_ptr<Backend>> backends_;
  std::vector<Failure> failures_;
};

}  // namespace rlx::device
