// SPDX-License-Identifier: Apache-2.0
#include "server/models/files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "runtime/base/file.h"

namespace rlx::server {
namespace {

constexpr uint64_t kMaxConfigBytes = 1 << 20;
constexpr size_t kMaxNameBytes = 128;

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool IsFolder(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// "3", not "03" or "+3": one folder a version.
std::optional<int64_t> VersionOf(std::string_view name) {
  const auto number = ParseInt(name);
  const bool plain = number && *number >= 0 && Cat(*number) == name;
  return plain ? number : std::nullopt;
}

// Temporary files and a mount's own bookkeeping begin with a dot.
absl::StatusOr<std::vector<std::string>> Visible(const std::string& folder) {
  RLX_ASSIGN(std::vector<std::string> names, ListDir(folder));
  std::erase_if(names, [](const std::string& name) { return name.starts_with('.'); });
  std::ranges::sort(names);
  return names;
}

absl::StatusOr<VersionFiles> ReadVersion(std::string folder) {
  VersionFiles out;
  RLX_ASSIGN(out.names, Visible(folder));
  FieldHasher hash;
  for (const std::string& name : out.names) {
    struct stat info;
    if (stat(Cat(folder, "/", name).c_str(), &info) != 0) return ErrnoStatus(errno, "stat", name);
    hash.Add(name).AddInt(static_cast<uint64_t>(info.st_size));
    hash.AddInt(static_cast<uint64_t>(info.st_mtim.tv_sec));
    hash.AddInt(static_cast<uint64_t>(info.st_mtim.tv_nsec));
    hash.AddInt(info.st_ino);
  }
  out.fingerprint = hash.Finish();
  out.folder = std::move(folder);
  return out;
}

absl::Status ReadEntry(const std::string& path, const std::string& entry, ModelFolder& out) {
  if (entry == "config.pbtxt") {
    RLX_ASSIGN(const std::string file, ResolvePath(path));
    RLX_ASSIGN(out.config, ReadFile(file, kMaxConfigBytes));
  }
  const auto version = VersionOf(entry);
  if (!version || !IsFolder(path)) return absl::OkStatus();
  RLX_ASSIGN(out.versions[*version], ReadVersion(path));
  return absl::OkStatus();
}

}  // namespace

bool IsModelName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes && IsAlphanumeric(name[0]) &&
         std::ranges::all_of(
             name, [](char c) { return IsAlphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

absl::StatusOr<std::vector<std::string>> ListModels(const std::string& root) {
  RLX_ASSIGN(std::vector<std::string> names, Visible(root));
  std::erase_if(names, [&](const std::string& name) {
    return !IsModelName(name) || !IsFolder(Cat(root, "/", name));
  });
  return names;
}

absl::StatusOr<ModelFolder> ReadModelFolder(const std::string& root, const std::string& name) {
  const std::string folder = Cat(root, "/", name);
  RLX_ASSIGN(const std::vector<std::string> entries, Visible(folder));
  ModelFolder out;
  for (const std::string& entry : entries) {
    const absl::Status read = ReadEntry(Cat(folder, "/", entry), entry, out);
    // Gone since it was listed: that is not the model's end.
    if (absl::IsNotFound(read)) return Unavailable(Message(read), " while the folder was read");
    RLX_TRY(read);
  }
  return out;
}

absl::StatusOr<std::string> ResolvePath(const std::string& path) {
  char* found = realpath(path.c_str(), nullptr);
  if (found == nullptr) return ErrnoStatus(errno, "open", path);
  std::string real(found);
  std::free(found);
  return real;
}

}  // namespace rlx::server
