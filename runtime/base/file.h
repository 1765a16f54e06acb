// SPDX-License-Identifier: Apache-2.0
// Files, whole. Nothing here follows a symbolic link in the last component of a path. Errors carry
// the errno's closest code and name the path's last component, so that messages sent to clients
// show no folder of ours. Paths come from configuration and digests, never from a client. Thread
// safe.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/shared_bytes.h"
#include "runtime/base/status.h"

namespace rlx {

// An owned file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd();
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

struct FileInfo {
  uint64_t size = 0;
  double modified_seconds = 0;  // since the epoch
};

// `error` is an errno value: "NAME: ACTION: TEXT".
absl::Status ErrnoStatus(int error, std::string_view action, std::string_view path);

// open(2) with O_CLOEXEC and O_NOFOLLOW added; anything but a regular file is FailedPrecondition.
absl::StatusOr<Fd> OpenFile(const std::string& path, int flags, unsigned mode = 0600);

// All of `bytes`, at the file position.
absl::Status WriteAll(const Fd& fd, std::string_view bytes, std::string_view path);

// A regular file of at most `max_bytes`; ResourceExhausted above, NotFound when absent.
absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes);

// The same as a read-only mapping: no copy, pages on demand. Removing the file leaves the bytes;
// nobody may truncate or rewrite it in place.
absl::StatusOr<SharedBytes> MapFile(const std::string& path, uint64_t max_bytes);
absl::StatusOr<SharedBytes> MapOpenFile(const Fd& fd, uint64_t max_bytes, std::string_view path);

// Writes the pieces one after the other into a temporary file of the same folder, syncs it, renames
// it to `path` and syncs the folder: readers and a crash see the old file or the new one, never a
// part.
absl::Status WriteFileAtomic(const std::string& path,
                             std::initializer_list<std::string_view> pieces, unsigned mode = 0600);

// True for the name of a temporary file of WriteFileAtomic: what a killed writer leaves behind.
bool IsTemporaryName(std::string_view name);

absl::StatusOr<FileInfo> StatFile(const std::string& path);
absl::Status RenameFile(const std::string& from,
                        const std::string& to);    // then syncs the folder of `to`
absl::Status RemoveFile(const std::string& path);  // NotFound when absent
absl::Status TouchFile(const std::string& path);   // modified now

// Names of all entries but "." and "..", in no order.
absl::StatusOr<std::vector<std::string>> ListDir(const std::string& path);

// Makes the folder, and those above it, where missing.
absl::Status EnsureDir(const std::string& path, unsigned mode = 0700);

}  // namespace rlx
