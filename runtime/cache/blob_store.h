// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "runtime/base/sha256.h"
#include "runtime/base/shared_bytes.h"
#include "runtime/base/status.h"

namespace rlx::cache {

class BlobWriter;

struct BlobLimits {
  uint64_t max_blob_bytes = uint64_t{64} << 30;
  uint64_t budget_bytes = uint64_t{50} << 30;  // of all blobs and uploads together
};

struct UploadState {
  uint64_t committed_bytes = 0;
  bool complete = false;
};

struct BlobStats {
  uint64_t blobs = 0;
  uint64_t uploads = 0;  // unfinished
  uint64_t size_bytes = 0;
  uint64_t limit_bytes = 0;
  uint64_t evicted_bytes = 0;
  uint64_t corrupt = 0;  // blobs whose bytes had changed on disk: deleted
};

// Uploaded bytes, named by their SHA-256. An owner sees only what that owner uploaded (equal bytes
// are stored once); owners are opaque names. Bytes that someone holds (Read) stay; the rest goes,
// least recently used first, when the budget is needed, finished or not. With a folder all of it
// survives a restart; a blob is in the folder whole or not at all. Thread safe.
class BlobStore {
 public:
  // An empty folder name keeps blobs in anonymous memory instead.
  static absl::StatusOr<std::unique_ptr<BlobStore>> Open(std::string folder, BlobLimits limits);
  ~BlobStore();

  // Whether this owner has the blob; counts as use.
  bool Has(std::string_view owner, const Digest256& digest);

  // The blob, mapped, not copied. Held as long as any reference to the bytes lives, even after this
  // store. NotFound when this owner has none. What another process left in the folder is checked
  // against its name when first read, and deleted when it differs.
  absl::StatusOr<SharedBytes> Read(std::string_view owner, const Digest256& digest);

  // What has arrived of it. Nothing yet is 0 bytes.
  UploadState Query(std::string_view owner, const Digest256& digest);

  // Starts or goes on with an upload of `size` bytes; `offset` must be what Query says (OutOfRange
  // otherwise). ResourceExhausted for a size over a limit, Aborted while another writer has this
  // upload, AlreadyExists when it is complete. No space is taken before bytes arrive.
  absl::StatusOr<BlobWriter> Write(std::string_view owner, const Digest256& digest, uint64_t size,
                                   uint64_t offset);

  // All of a blob at once.
  absl::StatusOr<Digest256> Put(std::string_view owner, std::string_view bytes);

  BlobStats Stats() const;

 private:
  friend class BlobWriter;
  class Impl;
  explicit BlobStore(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

// The right to append to one upload, until destroyed. What was appended is kept for a later writer.
// Used by one thread at a time; may outlive the store.
class BlobWriter {
 public:
  BlobWriter(BlobWriter&&) noexcept;
  BlobWriter& operator=(BlobWriter&&) noexcept;
  ~BlobWriter();

  // InvalidArgument, and the upload is dropped, for more bytes than the size; ResourceExhausted
  // when the budget is full of what is in use.
  absl::Status Append(std::string_view bytes);

  // When all bytes are here: checks the digest (InvalidArgument, and the upload is dropped, when it
  // differs) and makes the blob visible. Otherwise only says how far it is. Last call but the
  // destructor.
  absl::StatusOr<UploadState> Finish();

 private:
  friend class BlobStore;
  struct Upload;
  BlobWriter(std::shared_ptr<BlobStore::Impl> impl, std::shared_ptr<Upload> upload);
  std::shared_ptr<BlobStore::Impl> impl_;
  std::shared_ptr<Upload> upload_;
};

}  // namespace rlx::cache
