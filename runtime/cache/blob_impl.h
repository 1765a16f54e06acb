// SPDX-License-Identifier: Apache-2.0
// The inside of BlobStore. Files in the folder, D = 64 digits of the digest, O = 32 of the owner's
// tag:
//
//   D.blob      whole and verified
//   D.O.owner   empty; owner O uploaded D
//   D.O.part    what owner O has uploaded so far
#pragma once

#include <mutex>
#include <set>

#include "runtime/base/file.h"
#include "runtime/cache/blob_store.h"
#include "runtime/cache/lru_map.h"

namespace rlx::cache {

// What a file takes: whole blocks, and at least one, so that many tiny ones are not free.
inline uint64_t BlobCost(uint64_t bytes) { return (bytes / 4096 + 1) * 4096; }

inline Digest256 UploadKey(const std::string& owner, const Digest256& digest) {
  return FieldHasher().Add(owner).Add(digest).Finish();
}

// One unfinished upload. `fd` and `hash` belong to the writer while `writing`; all else is guarded
// by the store's mutex.
struct BlobWriter::Upload {
  Digest256 digest;
  std::string owner;       // tag
  uint64_t size = 0;       // as the writer declared
  uint64_t committed = 0;  // bytes in the file
  double used_seconds = 0;
  bool writing = false;
  bool gone = false;     // dropped or complete: no longer in the index
  bool foreign = false;  // another process writes the file: not ours to delete
  bool hashed = false;   // `hash` has taken in what is committed
  Fd fd;                 // positioned at `committed`; on disk only while writing, in memory always
  Sha256 hash;
};

class BlobStore::Impl {
 public:
  using Upload = BlobWriter::Upload;

  Impl(std::string folder, BlobLimits limits) : folder_(std::move(folder)), limits_(limits) {}

  // The folder's contents as the index; drops what makes no sense.
  absl::Status Scan();

  bool Has(const std::string& owner, const Digest256& digest);
  absl::StatusOr<SharedBytes> Read(const std::string& owner, const Digest256& digest);
  UploadState Query(const std::string& owner, const Digest256& digest);
  absl::StatusOr<std::shared_ptr<Upload>> Begin(const std::string& owner, const Digest256& digest,
                                                uint64_t size, uint64_t offset);
  absl::Status Append(Upload& upload, std::string_view bytes);
  absl::StatusOr<UploadState> Finish(Upload& upload);
  void Release(Upload& upload);
  BlobStats Stats() const;

 private:
  struct Blob {
    uint64_t bytes = 0;
    std::set<std::string> owners;              // tags
    std::weak_ptr<const SharedBytes> mapping;  // alive: someone holds the bytes
    Fd memory;                                 // without a folder
    double used_seconds = 0;                   // WallSeconds
    double touched_seconds = 0;                // the file's time
    bool verified = false;  // this process has seen that it is what its name says
  };

  bool on_disk() const { return !folder_.empty(); }
  std::string BlobPath(const Digest256& digest) const;
  std::string OwnerPath(const Digest256& digest, const std::string& owner) const;
  std::string PartPath(const Upload& upload) const;

  // The bytes, and whether they are known to be the right ones.
  absl::StatusOr<SharedBytes> Map(const std::string& owner, const Digest256& digest,
                                  bool& verified);

  // Those named ...Locked need mutex_.
  Blob* FindLocked(const std::string& owner, const Digest256& digest);
  void AddBlobLocked(const Digest256& digest, Blob blob);
  void DropBlobLocked(const Digest256& digest);
  void DropUploadLocked(Upload& upload);
  bool EvictOneLocked();
  absl::Status FitBudgetLocked(uint64_t more);
  absl::Status GrowLocked(const Upload& upload, uint64_t more);
  absl::StatusOr<std::shared_ptr<Upload>> StartLocked(const std::string& owner,
                                                      const Digest256& digest, uint64_t size,
                                                      uint64_t offset);
  void ScanFile(const std::string& name, const FileInfo& info);
  absl::Status OpenUpload(Upload& upload);
  absl::Status HashCommitted(Upload& upload);
  absl::Status WriteBytes(Upload& upload, std::string_view bytes);
  absl::Status KeepLocked(Upload& upload);
  absl::Status PlaceLocked(Upload& upload, bool blob_is_there);
  static absl::Status OfDisk(const Upload& upload, const absl::Status& status);

  const std::string folder_;
  const BlobLimits limits_;
  mutable std::mutex mutex_;
  LruMap<Digest256, Blob> blobs_;
  LruMap<Digest256, std::shared_ptr<Upload>> uploads_;  // by UploadKey
  uint64_t used_bytes_ = 0;
  uint64_t evicted_bytes_ = 0;
  uint64_t corrupt_ = 0;
};

}  // namespace rlx::cache
