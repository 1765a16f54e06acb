// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "runtime/base/random.h"

namespace rlx {
namespace {

constexpr std::string_view kTemporaryPrefix = "tmp-";

std::string_view BaseName(std::string_view path) {
  size_t slash = path.find_last_of('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string DirName(const std::string& path) {
  size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case EFBIG:
      return absl::StatusCode::kResourceExhausted;
    case ELOOP:  // a symbolic link where O_NOFOLLOW forbids one
    case ENOTDIR:
    case EISDIR:
      return absl::StatusCode::kFailedPrecondition;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

absl::Status SyncDir(const std::string& path) {
  Fd dir(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.get() < 0) return ErrnoStatus(errno, "open", path);
  if (fsync(dir.get()) != 0) return ErrnoStatus(errno, "fsync", path);
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> SizeWithin(const Fd& fd, uint64_t max_bytes, std::string_view path) {
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "stat", path);
  uint64_t size = static_cast<uint64_t>(info.st_size);
  if (size > max_bytes) {
    return ResourceExhausted(BaseName(path), ": ", size, " bytes are more than ", max_bytes);
  }
  return size;
}

absl::Status WritePieces(const std::string& path, std::initializer_list<std::string_view> pieces,
                         unsigned mode) {
  RLX_ASSIGN(Fd fd, OpenFile(path, O_WRONLY | O_CREAT | O_EXCL, mode));
  for (std::string_view piece : pieces) RLX_TRY(WriteAll(fd, piece, path));
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, "fsync", path);
  return absl::OkStatus();
}

}  // namespace

Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}

absl::Status ErrnoStatus(int error, std::string_view action, std::string_view path) {
  char buffer[128];
  const char* text = strerror_r(error, buffer, sizeof(buffer));
  return MakeStatus(CodeOf(error), Cat(BaseName(path), ": ", action, ": ", text));
}

absl::StatusOr<Fd> OpenFile(const std::string& path, int flags, unsigned mode) {
  // O_NONBLOCK: opening a FIFO that someone put there must not wait.
  Fd fd(open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode));
  if (fd.get() < 0) return ErrnoStatus(errno, "open", path);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "stat", path);
  if (!S_ISREG(info.st_mode)) return FailedPrecondition(BaseName(path), ": not a regular file");
  return fd;
}

absl::Status WriteAll(const Fd& fd, std::string_view bytes, std::string_view path) {
  while (!bytes.empty()) {
    ssize_t written = write(fd.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, "write", path);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes) {
  RLX_ASSIGN(Fd fd, OpenFile(path, O_RDONLY));
  RLX_ASSIGN(uint64_t size, SizeWithin(fd, max_bytes, path));
  std::string contents(size, '\0');
  uint64_t filled = 0;
  while (filled < size) {
    ssize_t got = read(fd.get(), contents.data() + filled, size - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read", path);
    if (got == 0) break;  // truncated under us: what is there now is the file
    filled += static_cast<uint64_t>(got);
  }
  contents.resize(filled);
  return contents;
}

absl::StatusOr<SharedBytes> MapFile(const std::string& path, uint64_t max_bytes) {
  RLX_ASSIGN(Fd fd, OpenFile(path, O_RDONLY));
  return MapOpenFile(fd, max_bytes, path);
}

absl::StatusOr<SharedBytes> MapOpenFile(const Fd& fd, uint64_t max_bytes, std::string_view path) {
  RLX_ASSIGN(uint64_t size, SizeWithin(fd, max_bytes, path));
  if (size == 0) return SharedBytes();
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) return ErrnoStatus(errno, "mmap", path);
  std::shared_ptr<const void> owner(data, [data, size](const void*) { munmap(data, size); });
  return SharedBytes(std::move(owner), data, size);
}

absl::Status WriteFileAtomic(const std::string& path,
                             std::initializer_list<std::string_view> pieces, unsigned mode) {
  std::string temporary = Cat(DirName(path), "/", kTemporaryPrefix, RandomId::New());
  absl::Status status = WritePieces(temporary, pieces, mode);
  if (status.ok()) status = RenameFile(temporary, path);
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

bool IsTemporaryName(std::string_view name) {
  return name.starts_with(kTemporaryPrefix) &&
         RandomId::FromHex(name.substr(kTemporaryPrefix.size())).has_value();
}

absl::StatusOr<FileInfo> StatFile(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return ErrnoStatus(errno, "stat", path);
  if (!S_ISREG(info.st_mode)) return FailedPrecondition(BaseName(path), ": not a regular file");
  return FileInfo{.size = static_cast<uint64_t>(info.st_size),
                  .modified_seconds = static_cast<double>(info.st_mtim.tv_sec) +
                                      static_cast<double>(info.st_mtim.tv_nsec) * 1e-9};
}

absl::Status RenameFile(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) return ErrnoStatus(errno, "rename", to);
  return SyncDir(DirName(to));
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) != 0) return ErrnoStatus(errno, "remove", path);
  return absl::OkStatus();
}

absl::Status TouchFile(const std::string& path) {
  if (utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoStatus(errno, "touch", path);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ListDir(const std::string& path) {
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(path.c_str()), &closedir);
  if (dir == nullptr) return ErrnoStatus(errno, "list", path);
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(dir.get());
    if (entry == nullptr) break;
    std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return ErrnoStatus(errno, "list", path);
  return names;
}

absl::Status EnsureDir(const std::string& path, unsigned mode) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    std::string prefix = path.substr(0, slash);
    if (mkdir(prefix.c_str(), mode) != 0 && errno != EEXIST) {
      // A folder above may exist where we may not write (EACCES, EROFS): only the last must be
      // there.
      int error = errno;
      struct stat info;
      if (stat(prefix.c_str(), &info) != 0) return ErrnoStatus(error, "create folder", prefix);
    }
    if (slash == std::string::npos) break;
  }
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, "stat", path);
  if (!S_ISDIR(info.st_mode)) return FailedPrecondition(BaseName(path), ": not a folder");
  return absl::OkStatus();
}

}  // namespace rlx
