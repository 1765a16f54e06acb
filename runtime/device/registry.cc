// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/registry.h"

#include <algorithm>

#include "rlx_build_id.h"
#include "runtime/base/dynamic_library.h"
#include "runtime/base/file.h"
#include "runtime/base/status.h"

namespace rlx::device {
namespace {

constexpr std::string_view kPrefix = "librlxd_backend_";
constexpr std::string_view kSuffix = ".so";

bool IsPluginName(std::string_view name) {
  return name.size() > kPrefix.size() + kSuffix.size() && name.starts_with(kPrefix) &&
         name.ends_with(kSuffix);
}

}  // namespace

std::string_view BuildId() { return RLX_BUILD_ID; }

Registry::Registry() = default;
Registry::~Registry() { backends_.clear(); }
Registry::Registry(Registry&&) noexcept = default;
Registry& Registry::operator=(Registry&&) noexcept = default;

absl::Status Registry::Add(std::unique_ptr<Backend> backend) {
  if (Find(backend->kind()) != nullptr) {
    return AlreadyExists("there is a back end for ", Name(backend->kind()), " already");
  }
  backends_.push_back(std::move(backend));
  return absl::OkStatus();
}

absl::Status Registry::LoadPlugin(const std::string& path) {
  RLX_ASSIGN(DynamicLibrary opened, DynamicLibrary::Open(path));
  auto library = std::make_unique<DynamicLibrary>(std::move(opened));
  RLX_ASSIGN(const PluginEntry* entry, library->Symbol<const PluginEntry*>(kPluginSymbol));
  if (std::string_view(entry->build_id) != BuildId()) {
    return FailedPrecondition("built from other sources (", entry->build_id, ") than this daemon (",
                              BuildId(), ")");
  }
  std::unique_ptr<Backend> backend(entry->create());
  libraries_.push_back(std::move(library));
  return Add(std::move(backend));
}

absl::Status Registry::LoadFolder(const std::string& folder) {
  RLX_ASSIGN(std::vector<std::string> names, ListDir(folder));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (!IsPluginName(name)) continue;
    const absl::Status status = LoadPlugin(Cat(folder, "/", name));
    if (!status.ok()) failures_.push_back({name, Cat(status)});
  }
  return absl::OkStatus();
}

const Backend* Registry::Find(DeviceKind kind) const {
  for (const auto& backend : backends_) {
    if (backend->kind() == kind) return backend.get();
  }
  return nullptr;
}

std::vector<const Backend*> Registry::all() const {
  std::vector<const Backend*> out;
  for (const auto& backend : backends_) out.push_back(backend.get());
  return out;
}

}  // namespace rlx::device
