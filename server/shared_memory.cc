// SPDX-License-Identifier: Apache-2.0
#include "server/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/checked.h"
#include "runtime/base/status.h"

namespace rlx::server {
namespace {

constexpr size_t kMaxRegions = 1024;
constexpr size_t kMaxNameBytes = 128;

// "/name", and nothing that leads elsewhere.
bool IsKey(std::string_view key) {
  if (key.starts_with('/')) key.remove_prefix(1);
  return !key.empty() && key.size() <= kMaxNameBytes && key[0] != '.' &&
         std::ranges::all_of(key, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

std::string_view Short(std::string_view name) { return name.substr(0, 64); }

absl::StatusOr<uint64_t> SizeOf(const Fd& fd) {
  struct stat info;
  if (fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size < 0) {
    return InvalidArgument("the shared memory region cannot be used");
  }
  return static_cast<uint64_t>(info.st_size);
}

}  // namespace

absl::Status SharedMemory::CheckEnabled() const {
  if (enabled_) return absl::OkStatus();
  return Unimplemented("shared memory is not served: it takes --system_shared_memory");
}

absl::Status SharedMemory::Register(const std::string& name, const Region& region) {
  RLX_TRY(CheckEnabled());
  if (name.empty() || name.size() > kMaxNameBytes) {
    return InvalidArgument("a shared memory region's name has 1 to ", kMaxNameBytes, " bytes");
  }
  if (!IsKey(region.key)) return InvalidArgument("the key of region '", name, "' is none");
  const auto end = CheckedAdd(region.offset, region.bytes);
  if (!end || region.bytes == 0) {
    return InvalidArgument("region '", name, "' has no size, or one that overflows");
  }
  auto open = std::make_shared<Open>();
  open->region = region;
  open->fd = Fd(shm_open(region.key.c_str(), O_RDWR | O_CLOEXEC, 0));
  if (open->fd.get() < 0) {
    return NotFound("Unable to open shared memory region: '", name, "': no such memory is here");
  }
  RLX_ASSIGN(const uint64_t size, SizeOf(open->fd));
  if (*end > size) {
    return InvalidArgument("region '", name, "' would end at byte ", *end, " of ", size);
  }
  std::lock_guard lock(mutex_);
  if (regions_.contains(name)) {
    return AlreadyExists("shared memory region '", name, "' already in manager");
  }
  if (regions_.size() >= kMaxRegions) {
    return ResourceExhausted(kMaxRegions, " shared memory regions are registered already");
  }
  regions_.emplace(name, std::move(open));
  return absl::OkStatus();
}

absl::Status SharedMemory::Unregister(const std::string& name) {
  RLX_TRY(CheckEnabled());
  std::map<std::string, OpenPtr, std::less<>> gone;  // closed after the lock
  std::lock_guard lock(mutex_);
  if (name.empty()) {
    gone.swap(regions_);
  } else if (auto node = regions_.extract(name)) {
    gone.insert(std::move(node));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::map<std::string, SharedMemory::Region>> SharedMemory::Status(
    const std::string& name) const {
  RLX_TRY(CheckEnabled());
  std::map<std::string, Region> out;
  std::lock_guard lock(mutex_);
  for (const auto& [known, open] : regions_) {
    if (name.empty() || name == known) out.emplace(known, open->region);
  }
  if (out.empty() && !name.empty()) {
    return NotFound("Unable to find system shared memory region: '", Short(name), "'");
  }
  return out;
}

absl::StatusOr<SharedMemory::OpenPtr> SharedMemory::Find(std::string_view name, uint64_t offset,
                                                         uint64_t bytes) const {
  RLX_TRY(CheckEnabled());
  OpenPtr open;
  {
    std::lock_guard lock(mutex_);
    const auto found = regions_.find(name);
    if (found == regions_.end()) {
      return NotFound("Unable to find shared memory region: '", Short(name), "'");
    }
    open = found->second;
  }
  const auto end = CheckedAdd(offset, bytes);
  if (end && *end <= open->region.bytes) return open;
  return InvalidArgument("Invalid offset or size for shared memory region: '", Short(name),
                         "': ", offset, " + ", bytes, " of ", open->region.bytes);
}

absl::Status SharedMemory::Check(std::string_view name, uint64_t offset, uint64_t bytes) const {
  return Find(name, offset, bytes).status();
}

absl::Status SharedMemory::Read(std::string_view name, uint64_t offset,
                                std::span<uint8_t> out) const {
  RLX_ASSIGN(const OpenPtr open, Find(name, offset, out.size()));
  size_t filled = 0;
  while (filled < out.size()) {
    const ssize_t got = pread(open->fd.get(), out.data() + filled, out.size() - filled,
                              static_cast<off_t>(open->region.offset + offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return InvalidArgument("shared memory region '", Short(name), "' has become shorter");
    }
    filled += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

absl::Status SharedMemory::Write(std::string_view name, uint64_t offset,
                                 std::span<const uint8_t> bytes) const {
  RLX_ASSIGN(const OpenPtr open, Find(name, offset, bytes.size()));
  const uint64_t begin = open->region.offset + offset;
  RLX_ASSIGN(const uint64_t size, SizeOf(open->fd));
  if (begin + bytes.size() > size) {  // writing would make it longer again
    return InvalidArgument("shared memory region '", Short(name), "' has become shorter");
  }
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put = pwrite(open->fd.get(), bytes.data() + done, bytes.size() - done,
                               static_cast<off_t>(begin + done));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return ErrnoStatus(errno, "write", "shared memory");
    done += static_cast<size_t>(put);
  }
  return absl::OkStatus();
}

}  // namespace rlx::server
