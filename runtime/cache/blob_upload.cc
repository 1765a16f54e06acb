// SPDX-License-Identifier: Apache-2.0
// Writing: begin, append, finish.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/cache/blob_impl.h"

namespace rlx::cache {

auto BlobStore::Impl::Begin(const std::string& owner, const Digest256& digest, uint64_t size,
                            uint64_t offset) -> absl::StatusOr<std::shared_ptr<Upload>> {
  if (size > limits_.max_blob_bytes) {
    return WithLimit(ResourceExhausted("blob ", digest, ": ", size, " bytes are more than ",
                                       limits_.max_blob_bytes),
                     "max_blob_bytes", limits_.max_blob_bytes);
  }
  if (BlobCost(size) > limits_.budget_bytes) {
    return WithLimit(ResourceExhausted("blob ", digest, ": ", size,
                                       " bytes are more than the budget of ", limits_.budget_bytes),
                     "blob_bytes", limits_.budget_bytes);
  }
  std::shared_ptr<Upload> upload;
  {
    std::lock_guard lock(mutex_);
    RLX_ASSIGN(upload, StartLocked(owner, digest, size, offset));
  }
  absl::Status ready = OpenUpload(*upload);
  if (ready.ok()) ready = HashCommitted(*upload);
  if (ready.ok()) return upload;
  Release(*upload);
  return ready;
}

auto BlobStore::Impl::StartLocked(const std::string& owner, const Digest256& digest, uint64_t size,
                                  uint64_t offset) -> absl::StatusOr<std::shared_ptr<Upload>> {
  if (FindLocked(owner, digest) != nullptr) return AlreadyExists("blob ", digest, " is complete");
  Digest256 key = UploadKey(owner, digest);
  std::shared_ptr<Upload>* known = uploads_.Use(key);
  if (known != nullptr && (*known)->writing) return Aborted("blob ", digest, " is being written");
  uint64_t committed = known == nullptr ? 0 : (*known)->committed;
  if (offset != committed) {
    return OutOfRange("blob ", digest, ": the offset is ", offset, ", ", committed,
                      " bytes are here");
  }
  if (committed > size) {
    DropUploadLocked(*std::shared_ptr<Upload>(*known));
    return InvalidArgument("blob ", digest, ": ", committed,
                           " bytes are here, more than the size of ", size);
  }
  std::shared_ptr<Upload> upload = known == nullptr ? nullptr : *known;
  if (upload == nullptr) {
    RLX_TRY(FitBudgetLocked(BlobCost(0)));
    used_bytes_ += BlobCost(0);
    upload = std::make_shared<Upload>();
    upload->digest = digest;
    upload->owner = owner;
    uploads_.Insert(key, upload);
  }
  upload->size = size;
  upload->writing = true;
  upload->used_seconds = WallSeconds();
  return upload;
}

// What the disk says is no fault of who uploads, and no permission that they lack.
absl::Status BlobStore::Impl::OfDisk(const Upload& upload, const absl::Status& status) {
  if (status.ok() || absl::IsResourceExhausted(status)) return status;
  return Unavailable("blob ", upload.digest, " cannot be stored: ", Message(status));
}

absl::Status BlobStore::Impl::OpenUpload(Upload& upload) {
  if (!on_disk()) {
    if (upload.fd.get() < 0) upload.fd = Fd(memfd_create("rlx-blob", MFD_CLOEXEC));
    return upload.fd.get() < 0 ? ErrnoStatus(errno, "create", "memory blob") : absl::OkStatus();
  }
  std::string path = PartPath(upload);
  absl::StatusOr<Fd> opened = OpenFile(path, O_RDWR | O_CREAT);
  if (absl::IsNotFound(opened.status())) {  // someone removed the folder
    RLX_TRY(OfDisk(upload, EnsureDir(folder_)));
    opened = OpenFile(path, O_RDWR | O_CREAT);
  }
  if (!opened.ok()) return OfDisk(upload, opened.status());
  upload.fd = *std::move(opened);
  // Another process on the same folder; within this one, `writing` says so.
  if (flock(upload.fd.get(), LOCK_EX | LOCK_NB) != 0) {
    upload.foreign = true;
    return Aborted("blob ", upload.digest, " is being written");
  }
  off_t end = lseek(upload.fd.get(), 0, SEEK_END);
  if (end < 0) return ErrnoStatus(errno, "seek", path);
  if (static_cast<uint64_t>(end) == upload.committed) return absl::OkStatus();
  std::lock_guard lock(mutex_);
  used_bytes_ += BlobCost(static_cast<uint64_t>(end)) - BlobCost(upload.committed);
  upload.committed = static_cast<uint64_t>(end);
  upload.hashed = false;
  return OutOfRange("blob ", upload.digest, ": ", upload.committed, " bytes are here");
}

// After a restart the hash of what is here must be made again.
absl::Status BlobStore::Impl::HashCommitted(Upload& upload) {
  if (upload.hashed) return absl::OkStatus();
  upload.hash = Sha256();
  if (upload.committed > 0) {
    RLX_ASSIGN(SharedBytes bytes, MapOpenFile(upload.fd, upload.committed, "upload"));
    upload.hash.Update(bytes.view());
  }
  upload.hashed = true;
  return absl::OkStatus();
}

absl::Status BlobStore::Impl::Append(Upload& upload, std::string_view bytes) {
  {
    std::lock_guard lock(mutex_);
    if (upload.gone) return FailedPrecondition("the upload of blob ", upload.digest, " is over");
    if (bytes.size() > upload.size - upload.committed) {
      DropUploadLocked(upload);
      return InvalidArgument("blob ", upload.digest, ": more bytes than its size of ", upload.size);
    }
    RLX_TRY(GrowLocked(upload, bytes.size()));
  }
  absl::Status written = WriteBytes(upload, bytes);
  if (written.ok()) upload.hash.Update(bytes);

  std::lock_guard lock(mutex_);
  uint64_t after = upload.committed + bytes.size();
  if (written.ok()) {
    upload.committed = after;
    upload.used_seconds = WallSeconds();
  } else {
    used_bytes_ -= BlobCost(after) - BlobCost(upload.committed);
  }
  return written;
}

absl::Status BlobStore::Impl::GrowLocked(const Upload& upload, uint64_t more) {
  uint64_t growth = BlobCost(upload.committed + more) - BlobCost(upload.committed);
  RLX_TRY(FitBudgetLocked(growth));
  used_bytes_ += growth;
  return absl::OkStatus();
}

// All of them or, with the file as before, none.
absl::Status BlobStore::Impl::WriteBytes(Upload& upload, std::string_view bytes) {
  absl::Status written = WriteAll(upload.fd, bytes, "upload");
  if (written.ok()) return written;
  off_t end = static_cast<off_t>(upload.committed);
  if (ftruncate(upload.fd.get(), end) == 0 && lseek(upload.fd.get(), end, SEEK_SET) == end)
    return written;
  std::lock_guard lock(mutex_);
  DropUploadLocked(upload);  // what is in the file is no longer known
  return written;
}

absl::StatusOr<UploadState> BlobStore::Impl::Finish(Upload& upload) {
  if (upload.gone) return FailedPrecondition("the upload of blob ", upload.digest, " is over");
  if (upload.committed < upload.size) return UploadState{upload.committed, false};
  if (upload.hash.Finish() != upload.digest) {
    std::lock_guard lock(mutex_);
    DropUploadLocked(upload);
    return InvalidArgument("blob ", upload.digest, ": the bytes have another digest");
  }
  upload.hashed = false;  // the hash has started anew: a second try needs the bytes again
  if (on_disk() && fsync(upload.fd.get()) != 0) return ErrnoStatus(errno, "fsync", "upload");
  std::lock_guard lock(mutex_);
  RLX_TRY(KeepLocked(upload));
  return UploadState{upload.size, true};
}

// The files of a blob: its owner's, and its own unless that is there.
absl::Status BlobStore::Impl::PlaceLocked(Upload& upload, bool blob_is_there) {
  const std::string owner = OwnerPath(upload.digest, upload.owner);
  absl::Status placed = OpenFile(owner, O_WRONLY | O_CREAT).status();
  if (placed.ok() && !blob_is_there) {
    placed = RenameFile(PartPath(upload), BlobPath(upload.digest));
    if (!placed.ok()) RemoveFile(owner).IgnoreError();
  }
  if (!absl::IsNotFound(placed)) return OfDisk(upload, placed);
  DropUploadLocked(upload);  // someone removed it, or the folder
  return Unavailable("blob ", upload.digest, ": what was uploaded is gone from the cache folder");
}

// A verified upload becomes a blob, or one more owner of the blob that is here already.
absl::Status BlobStore::Impl::KeepLocked(Upload& upload) {
  Blob* const known = blobs_.Use(upload.digest);
  if (on_disk()) RLX_TRY(PlaceLocked(upload, known != nullptr));
  if (known != nullptr) {
    known->owners.insert(upload.owner);
    DropUploadLocked(upload);
    return absl::OkStatus();
  }
  double now = WallSeconds();
  Blob blob{.bytes = upload.size,
            .owners = {upload.owner},
            .used_seconds = now,
            .touched_seconds = now,
            .verified = true};
  if (!on_disk()) blob.memory = std::move(upload.fd);
  uploads_.Erase(UploadKey(upload.owner, upload.digest));
  upload.gone = true;
  used_bytes_ -= BlobCost(upload.committed);
  AddBlobLocked(upload.digest, std::move(blob));
  return absl::OkStatus();
}

void BlobStore::Impl::Release(Upload& upload) {
  std::lock_guard lock(mutex_);
  if (on_disk()) upload.fd = Fd();
  upload.writing = false;
  // A foreign one is forgotten, not deleted: the next try looks at the folder again.
  if (!upload.gone && (upload.committed == 0 || upload.foreign)) DropUploadLocked(upload);
}

}  // namespace rlx::cache
