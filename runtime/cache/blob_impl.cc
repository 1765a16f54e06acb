// SPDX-License-Identifier: Apache-2.0
#include "runtime/cache/blob_impl.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/base/clock.h"
#include "runtime/base/fault.h"

namespace rlx::cache {
namespace {

constexpr double kTouchSeconds = 60;  // file times are refreshed this often at most
constexpr size_t kOwnerDigits = 32;

}  // namespace

std::string BlobStore::Impl::BlobPath(const Digest256& digest) const {
  return Cat(folder_, "/", digest, ".blob");
}
std::string BlobStore::Impl::OwnerPath(const Digest256& digest, const std::string& owner) const {
  return Cat(folder_, "/", digest, ".", owner, ".owner");
}
std::string BlobStore::Impl::PartPath(const Upload& upload) const {
  return Cat(folder_, "/", upload.digest, ".", upload.owner, ".part");
}

absl::Status BlobStore::Impl::Scan() {
  std::lock_guard lock(mutex_);
  RLX_TRY(EnsureDir(folder_));
  RLX_ASSIGN(std::vector<std::string> names, ListDir(folder_));
  std::vector<std::pair<std::string, FileInfo>> files;
  for (std::string& name : names) {
    absl::StatusOr<FileInfo> info = StatFile(folder_ + "/" + name);
    if (info.ok()) files.emplace_back(std::move(name), *info);
  }
  // Oldest first makes the order of use; and blobs before the owners that refer to them.
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) {
    return std::pair(!a.first.ends_with(".blob"), a.second.modified_seconds) <
           std::pair(!b.first.ends_with(".blob"), b.second.modified_seconds);
  });
  for (const auto& [name, info] : files) ScanFile(name, info);

  std::vector<Digest256> unowned;
  for (const auto& [digest, blob] : blobs_.entries()) {
    if (blob.owners.empty()) unowned.push_back(digest);
  }
  for (const Digest256& digest : unowned) DropBlobLocked(digest);
  FitBudgetLocked(0).IgnoreError();  // the budget may be smaller than last time
  return absl::OkStatus();
}

void BlobStore::Impl::ScanFile(const std::string& name, const FileInfo& info) {
  std::vector<std::string_view> parts = Split(name, '.');
  std::optional<Digest256> digest = Digest256::FromHex(parts[0]);
  if (!digest) return;
  double used = info.modified_seconds;
  if (parts.size() == 2 && parts[1] == "blob") {
    AddBlobLocked(*digest, Blob{.bytes = info.size, .used_seconds = used, .touched_seconds = used});
    return;
  }
  if (parts.size() != 3 || parts[1].size() != kOwnerDigits) return;
  std::string owner(parts[1]);
  if (parts[2] == "owner") {
    if (Blob* blob = blobs_.Find(*digest)) {
      blob->owners.insert(owner);
    } else {
      RemoveFile(folder_ + "/" + name).IgnoreError();
    }
  } else if (parts[2] == "part") {
    auto upload = std::make_shared<Upload>();
    upload->digest = *digest;
    upload->owner = owner;
    upload->committed = info.size;
    upload->used_seconds = used;
    uploads_.Insert(UploadKey(owner, *digest), std::move(upload));
    used_bytes_ += BlobCost(info.size);
  }
}

void BlobStore::Impl::AddBlobLocked(const Digest256& digest, Blob blob) {
  used_bytes_ += BlobCost(blob.bytes);
  blobs_.Insert(digest, std::move(blob));
}

// The blob if this owner has it, as most recently used.
BlobStore::Impl::Blob* BlobStore::Impl::FindLocked(const std::string& owner,
                                                   const Digest256& digest) {
  Blob* blob = blobs_.Use(digest);
  // Someone may have cleared the folder. Bytes that are mapped are here all the same.
  if (on_disk() && blob != nullptr && blob->mapping.expired() &&
      absl::IsNotFound(StatFile(BlobPath(digest)).status())) {
    DropBlobLocked(digest);
    blob = nullptr;
  }
  if (on_disk() && (blob == nullptr || !blob->owners.contains(owner))) {
    // Another process on the same folder may have taken the upload.
    if (!StatFile(OwnerPath(digest, owner)).ok()) return nullptr;
    absl::StatusOr<FileInfo> info = StatFile(BlobPath(digest));
    if (!info.ok()) return nullptr;
    if (blob == nullptr) AddBlobLocked(digest, Blob{.bytes = info->size});
    blob = blobs_.Use(digest);
    blob->owners.insert(owner);
  }
  if (blob == nullptr || !blob->owners.contains(owner)) return nullptr;
  blob->used_seconds = WallSeconds();
  if (on_disk() && blob->used_seconds - blob->touched_seconds > kTouchSeconds) {
    blob->touched_seconds = blob->used_seconds;
    TouchFile(BlobPath(digest)).IgnoreError();
  }
  return blob;
}

void BlobStore::Impl::DropBlobLocked(const Digest256& digest) {
  std::optional<Blob> blob = blobs_.Erase(digest);
  if (!blob) return;
  used_bytes_ -= BlobCost(blob->bytes);
  if (!on_disk()) return;
  RemoveFile(BlobPath(digest)).IgnoreError();
  for (const std::string& owner : blob->owners) RemoveFile(OwnerPath(digest, owner)).IgnoreError();
}

void BlobStore::Impl::DropUploadLocked(Upload& upload) {
  std::optional<std::shared_ptr<Upload>> dropped =
      uploads_.Erase(UploadKey(upload.owner, upload.digest));
  if (!dropped) return;
  upload.gone = true;
  used_bytes_ -= BlobCost(upload.committed);
  if (on_disk() && !upload.foreign) RemoveFile(PartPath(upload)).IgnoreError();
}

// Drops the least recently used blob or upload that nobody uses; false when there is none.
bool BlobStore::Impl::EvictOneLocked() {
  const auto& blobs = blobs_.entries();
  const auto& uploads = uploads_.entries();
  auto blob = std::find_if(blobs.rbegin(), blobs.rend(),
                           [](const auto& entry) { return entry.second.mapping.expired(); });
  auto upload = std::find_if(uploads.rbegin(), uploads.rend(),
                             [](const auto& entry) { return !entry.second->writing; });
  if (blob == blobs.rend() && upload == uploads.rend()) return false;
  uint64_t before = used_bytes_;
  if (upload == uploads.rend() ||
      (blob != blobs.rend() && blob->second.used_seconds <= upload->second->used_seconds)) {
    DropBlobLocked(Digest256(blob->first));
  } else {
    DropUploadLocked(*std::shared_ptr<Upload>(upload->second));
  }
  evicted_bytes_ += before - used_bytes_;
  return true;
}

absl::Status BlobStore::Impl::FitBudgetLocked(uint64_t more) {
  while (used_bytes_ + more > limits_.budget_bytes) {
    if (EvictOneLocked()) continue;
    return TryLater(WithLimit(
        ResourceExhausted("the blob budget of ", limits_.budget_bytes, " bytes is in use"),
        "blob_bytes", limits_.budget_bytes));
  }
  return absl::OkStatus();
}

bool BlobStore::Impl::Has(const std::string& owner, const Digest256& digest) {
  std::lock_guard lock(mutex_);
  return FindLocked(owner, digest) != nullptr;
}

absl::StatusOr<SharedBytes> BlobStore::Impl::Read(const std::string& owner,
                                                  const Digest256& digest) {
  bool verified = false;
  RLX_ASSIGN(SharedBytes bytes, Map(owner, digest, verified));
  if (verified) return bytes;
  const bool sound = Sha256Of(bytes.view()) == digest;  // takes its time: not under the lock
  std::lock_guard lock(mutex_);
  Blob* blob = FindLocked(owner, digest);
  if (blob != nullptr && sound) blob->verified = true;
  if (sound) return bytes;
  if (blob != nullptr) {
    ++corrupt_;
    DropBlobLocked(digest);
  }
  return NotFound("no blob ", digest);
}

absl::StatusOr<SharedBytes> BlobStore::Impl::Map(const std::string& owner, const Digest256& digest,
                                                 bool& verified) {
  std::lock_guard lock(mutex_);
  Blob* blob = FindLocked(owner, digest);
  if (blob == nullptr) return NotFound("no blob ", digest);
  std::shared_ptr<const SharedBytes> held = blob->mapping.lock();
  if (held == nullptr) {
    absl::StatusOr<SharedBytes> mapped =
        on_disk() ? MapFile(BlobPath(digest), limits_.max_blob_bytes)
                  : MapOpenFile(blob->memory, limits_.max_blob_bytes, "blob");
    if (absl::IsNotFound(mapped.status())) {  // someone deleted the file
      DropBlobLocked(digest);
      return NotFound("no blob ", digest);
    }
    if (!mapped.ok()) return std::move(mapped).status();
    held = std::make_shared<const SharedBytes>(*std::move(mapped));
    blob->mapping = held;
  }
  verified = blob->verified;
  return SharedBytes(held, held->data(), held->size());
}

UploadState BlobStore::Impl::Query(const std::string& owner, const Digest256& digest) {
  std::lock_guard lock(mutex_);
  if (const Blob* blob = FindLocked(owner, digest)) return {blob->bytes, true};
  std::shared_ptr<Upload>* upload = uploads_.Use(UploadKey(owner, digest));
  return {upload == nullptr ? 0 : (*upload)->committed, false};
}

BlobStats BlobStore::Impl::Stats() const {
  std::lock_guard lock(mutex_);
  return {.blobs = blobs_.size(),
          .uploads = uploads_.size(),
          .size_bytes = used_bytes_,
          .limit_bytes = limits_.budget_bytes,
          .evicted_bytes = evicted_bytes_,
          .corrupt = corrupt_};
}

}  // namespace rlx::cache
