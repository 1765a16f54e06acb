// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "runtime/base/status.h"
#include "runtime/cache/lru_map.h"
#include "runtime/cache/store.h"

namespace rlx::cache {

// Entries as files of one folder, <key in hex>.entry (entry_format.h), up to a number of bytes on
// disk. A file appears whole or not at all. What does not check out is a miss and is deleted; files
// that are not ours are left alone, except temporary ones that a killed process left an hour ago.
// The times of files say which was used last, so the order outlives the process. Several processes
// may share the folder: each sees the others' entries, and looks now and then how much space all of
// them take.
class DiskStore : public Store {
 public:
  // Makes the folder where missing and reads its names. An unreadable or read-only folder is no
  // error: it costs misses and the error counter. Fails when there cannot be such a folder.
  static absl::StatusOr<std::unique_ptr<DiskStore>> Open(std::string folder, uint64_t limit_bytes);

  std::string_view tier() const override { return "disk"; }
  std::optional<Hit> Get(const Digest256& key) override;
  void Put(const Digest256& key, const SharedBytes& value) override;
  void Touch(const Digest256& key) override;
  void Remove(const Digest256& key) override;
  void RemoveCorrupt(const Digest256& key) override;
  Cleared Clear() override;
  std::vector<EntryInfo> List() const override;
  TierStats Stats() const override;

 private:
  struct Entry {
    uint64_t file_bytes;
    double used_seconds;     // WallSeconds, as file times are
    double touched_seconds;  // the file's time
  };

  DiskStore(std::string folder, uint64_t limit_bytes);

  std::string PathOf(const Digest256& key) const;
  void Scan();
  void ScanIfDue();
  void MakeRoom(uint64_t file_bytes);
  absl::Status Write(const Digest256& key, const SharedBytes& value);
  void CountHit(const Digest256& key, uint64_t file_bytes);
  void Forget(const Digest256& key);
  void Delete(const Digest256& key);

  const std::string folder_;
  mutable std::mutex mutex_;
  LruMap<Digest256, Entry> entries_;  // guarded by mutex_, as all below
  TierStats stats_;
  double next_scan_seconds_ = 0;  // MonotonicSeconds
};

}  // namespace rlx::cache
