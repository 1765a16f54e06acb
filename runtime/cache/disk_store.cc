// SPDX-License-Identifier: Apache-2.0
#include "runtime/cache/disk_store.h"

#include <algorithm>
#include <utility>

#include "runtime/base/clock.h"
#include "runtime/base/file.h"
#include "runtime/cache/entry_format.h"

namespace rlx::cache {
namespace {

constexpr std::string_view kSuffix = ".entry";
constexpr double kStaleTemporarySeconds = 3600;  // a write takes seconds at most
constexpr double kTouchSeconds = 60;             // file times are refreshed this often at most
constexpr double kScanSeconds = 30;  // how old our idea of the folder may be before a put

std::optional<Digest256> KeyOfName(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  return Digest256::FromHex(name.substr(0, name.size() - kSuffix.size()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<DiskStore>> DiskStore::Open(std::string folder,
                                                           uint64_t limit_bytes) {
  RLX_TRY(EnsureDir(folder));
  std::unique_ptr<DiskStore> store(new DiskStore(std::move(folder), limit_bytes));
  store->Scan();
  store->MakeRoom(0);
  return store;
}

DiskStore::DiskStore(std::string folder, uint64_t limit_bytes) : folder_(std::move(folder)) {
  stats_.tier = tier();
  stats_.limit_bytes = limit_bytes;
}

std::string DiskStore::PathOf(const Digest256& key) const {
  return Cat(folder_, "/", key, kSuffix);
}

// Reads the folder anew: what others wrote and deleted becomes known.
void DiskStore::Scan() {
  double started = MonotonicSeconds();
  double now = WallSeconds();
  absl::StatusOr<std::vector<std::string>> names = ListDir(folder_);
  std::vector<std::pair<Digest256, Entry>> found;
  for (const std::string& name : names.ok() ? *names : std::vector<std::string>()) {
    absl::StatusOr<FileInfo> info = StatFile(folder_ + "/" + name);
    if (!info.ok()) continue;
    if (std::optional<Digest256> key = KeyOfName(name)) {
      found.emplace_back(*key, Entry{info->size, info->modified_seconds, info->modified_seconds});
    } else if (IsTemporaryName(name) && now - info->modified_seconds > kStaleTemporarySeconds) {
      RemoveFile(folder_ + "/" + name).IgnoreError();
    }
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return a.second.used_seconds < b.second.used_seconds;
  });

  std::lock_guard lock(mutex_);
  if (!names.ok()) ++stats_.errors;
  entries_.Clear();
  stats_.size_bytes = 0;
  for (const auto& [key, entry] : found) {
    entries_.Insert(key, entry);
    stats_.size_bytes += entry.file_bytes;
  }
  // A folder so large that reading it takes long is read accordingly less often.
  double finished = MonotonicSeconds();
  next_scan_seconds_ = finished + std::max(kScanSeconds, 100 * (finished - started));
}

void DiskStore::ScanIfDue() {
  {
    std::lock_guard lock(mutex_);
    if (MonotonicSeconds() < next_scan_seconds_) return;
  }
  Scan();
}

// Deletes least recently used files until `file_bytes` more fit the limit.
void DiskStore::MakeRoom(uint64_t file_bytes) {
  std::lock_guard lock(mutex_);
  while (!entries_.empty() && stats_.size_bytes + file_bytes > stats_.limit_bytes) {
    auto [key, entry] = entries_.entries().back();
    absl::Status removed = RemoveFile(PathOf(key));
    if (removed.ok()) stats_.evicted_bytes += entry.file_bytes;
    if (!removed.ok() && !absl::IsNotFound(removed)) ++stats_.errors;
    entries_.Erase(key);
    stats_.size_bytes -= entry.file_bytes;
  }
}

std::optional<Hit> DiskStore::Get(const Digest256& key) {
  absl::StatusOr<std::string> file = ReadFile(PathOf(key), stats_.limit_bytes);
  if (file.ok() && CheckEntry(*file, key).ok()) {
    CountHit(key, file->size());
    SharedBytes bytes(*std::move(file));
    return Hit{bytes.Slice(kEntryHeaderBytes, bytes.size() - kEntryHeaderBytes), tier()};
  }
  if (file.ok()) {
    RemoveCorrupt(key);
  } else {
    Forget(key);
  }
  std::lock_guard lock(mutex_);
  ++stats_.misses;
  if (!file.ok() && !absl::IsNotFound(file.status())) ++stats_.errors;
  return std::nullopt;
}

void DiskStore::CountHit(const Digest256& key, uint64_t file_bytes) {
  {
    std::lock_guard lock(mutex_);
    ++stats_.hits;
    if (entries_.Find(key) == nullptr) {  // another process wrote it
      entries_.Insert(key, Entry{file_bytes, 0, 0});
      stats_.size_bytes += file_bytes;
    }
  }
  Touch(key);
}

void DiskStore::Touch(const Digest256& key) {
  double now = WallSeconds();
  {
    std::lock_guard lock(mutex_);
    Entry* entry = entries_.Use(key);
    if (entry == nullptr) return;
    entry->used_seconds = now;
    if (now - entry->touched_seconds <= kTouchSeconds) return;
    entry->touched_seconds = now;
  }
  TouchFile(PathOf(key)).IgnoreError();  // best effort: a read-only folder still serves
}

absl::Status DiskStore::Write(const Digest256& key, const SharedBytes& value) {
  const auto write = [&] {
    return WriteFileAtomic(PathOf(key), {EntryHeader(key, value.view()), value.view()});
  };
  absl::Status written = write();
  if (!absl::IsNotFound(written)) return written;
  RLX_TRY(EnsureDir(folder_));  // someone removed it
  return write();
}

void DiskStore::Put(const Digest256& key, const SharedBytes& value) {
  uint64_t file_bytes = kEntryHeaderBytes + value.size();
  if (file_bytes > stats_.limit_bytes) return;  // the limit never changes: no lock
  ScanIfDue();
  MakeRoom(file_bytes);
  const absl::Status written = Write(key, value);

  double now = WallSeconds();
  std::lock_guard lock(mutex_);
  stats_.trouble = Message(written);
  if (!written.ok()) {
    ++stats_.errors;
    return;
  }
  std::optional<Entry> before = entries_.Insert(key, Entry{file_bytes, now, now});
  if (before) stats_.size_bytes -= before->file_bytes;
  stats_.size_bytes += file_bytes;
  ++stats_.puts;
}

void DiskStore::Forget(const Digest256& key) {
  std::lock_guard lock(mutex_);
  std::optional<Entry> entry = entries_.Erase(key);
  if (entry) stats_.size_bytes -= entry->file_bytes;
}

void DiskStore::Delete(const Digest256& key) {
  absl::Status removed = RemoveFile(PathOf(key));
  Forget(key);
  if (removed.ok() || absl::IsNotFound(removed)) return;
  std::lock_guard lock(mutex_);
  ++stats_.errors;
}

void DiskStore::Remove(const Digest256& key) { Delete(key); }

void DiskStore::RemoveCorrupt(const Digest256& key) {
  Delete(key);
  std::lock_guard lock(mutex_);
  ++stats_.corrupt;
}

Cleared DiskStore::Clear() {
  Scan();
  Cleared cleared;
  for (const EntryInfo& entry : List()) {
    Delete(entry.key);
    ++cleared.entries;
    cleared.bytes += entry.size_bytes;
  }
  return cleared;
}

std::vector<EntryInfo> DiskStore::List() const {
  double now = WallSeconds();
  std::lock_guard lock(mutex_);
  std::vector<EntryInfo> list;
  for (const auto& [key, entry] : entries_.entries()) {
    double idle = std::max(0.0, now - entry.used_seconds);
    list.push_back({key, entry.file_bytes, idle, {tier()}});
  }
  return list;
}

TierStats DiskStore::Stats() const {
  std::lock_guard lock(mutex_);
  TierStats stats = stats_;
  stats.entries = entries_.size();
  if (!entries_.empty()) {  // file times may be ahead of the clock
    stats.longest_idle_seconds =
        std::max(0.0, WallSeconds() - entries_.entries().back().second.used_seconds);
  }
  return stats;
}

}  // namespace rlx::cache
