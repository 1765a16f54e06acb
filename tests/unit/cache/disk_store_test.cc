// SPDX-License-Identifier: Apache-2.0
// A folder is a hostile place: garbage, truncation, bit rot, no permission, other processes,
// SIGKILL.
#include "runtime/cache/disk_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "runtime/base/file.h"
#include "runtime/cache/entry_format.h"
#include "tests/support/temp_dir.h"

namespace rlx::cache {
namespace {

constexpr uint64_t kLimit = 1 << 20;

Digest256 Key(int i) { return FieldHasher().AddInt(static_cast<uint64_t>(i)).Finish(); }
SharedBytes Value(std::string text) { return SharedBytes(std::move(text)); }

std::string EntryPath(const TempDir& dir, const Digest256& key) {
  return dir / (key.ToHex() + ".entry");
}

std::unique_ptr<DiskStore> Open(const TempDir& dir, uint64_t limit = kLimit) {
  auto store = DiskStore::Open(dir.path(), limit);
  EXPECT_TRUE(store.ok()) << store.status();
  return *std::move(store);
}

void SetAge(const std::string& path, int seconds) {
  timespec times[2] = {};
  clock_gettime(CLOCK_REALTIME, &times[0]);
  times[0].tv_sec -= seconds;
  times[1] = times[0];
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

TEST(DiskStore, OutlivesTheProcess) {
  TempDir dir;
  Open(dir)->Put(Key(1), Value("kept"));
  auto store = Open(dir);
  EXPECT_EQ(store->Stats().entries, 1u);
  EXPECT_EQ(store->Get(Key(1))->value.view(), "kept");
  EXPECT_EQ(store->Get(Key(1))->tier, "disk");
}

TEST(DiskStore, OrderOfUseOutlivesTheProcess) {
  TempDir dir;
  {
    auto store = Open(dir);
    for (int i = 0; i < 3; ++i) store->Put(Key(i), Value(std::string(1000, 'x')));
  }
  SetAge(EntryPath(dir, Key(0)), 100);
  SetAge(EntryPath(dir, Key(1)), 300);
  SetAge(EntryPath(dir, Key(2)), 200);
  (void)Open(dir)->Get(Key(1));  // used now, and so the file says
  auto store = Open(dir, 2 * 1088);
  EXPECT_EQ(store->Stats().entries, 2u);
  EXPECT_FALSE(store->Get(Key(2)).has_value());
  EXPECT_TRUE(store->Get(Key(1)).has_value());
}

// Every single changed byte, every truncation, an extension: a miss, a deleted file, a count.
TEST(DiskStore, DetectsEveryDamage) {
  TempDir dir;
  auto store = Open(dir);
  const std::string value = "the value";
  const std::string path = EntryPath(dir, Key(1));
  store->Put(Key(1), Value(value));
  const std::string good = *ReadFile(path, kLimit);
  ASSERT_EQ(good.size(), kEntryHeaderBytes + value.size());

  std::vector<std::string> damaged;
  for (size_t i = 0; i < good.size(); ++i) {
    damaged.push_back(good);
    damaged.back()[i] = static_cast<char>(damaged.back()[i] ^ 0x20);
    damaged.push_back(good.substr(0, i));
  }
  damaged.push_back(good + "x");
  uint64_t count = 0;
  for (const std::string& bad : damaged) {
    ASSERT_TRUE(WriteFileAtomic(path, {bad}).ok());
    EXPECT_FALSE(store->Get(Key(1)).has_value());
    EXPECT_TRUE(absl::IsNotFound(StatFile(path).status()));
    EXPECT_EQ(store->Stats().corrupt, ++count);
  }
  store->Put(Key(1), Value(value));
  EXPECT_EQ(store->Get(Key(1))->value.view(), value);
}

TEST(DiskStore, AnEntryUnderAnotherNameIsNone) {
  TempDir dir;
  auto store = Open(dir);
  store->Put(Key(1), Value("one"));
  ASSERT_TRUE(RenameFile(EntryPath(dir, Key(1)), EntryPath(dir, Key(2))).ok());
  EXPECT_FALSE(store->Get(Key(2)).has_value());
  EXPECT_EQ(store->Stats().corrupt, 1u);
}

TEST(DiskStore, LeavesWhatIsNotItsOwn) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomic(dir / "notes.txt", {"mine"}).ok());
  ASSERT_TRUE(WriteFileAtomic(dir / "zz.entry", {"short name"}).ok());
  ASSERT_TRUE(EnsureDir(EntryPath(dir, Key(1))).ok());  // a folder where a file should be
  ASSERT_EQ(symlink("/etc/passwd", EntryPath(dir, Key(2)).c_str()), 0);
  auto store = Open(dir);
  EXPECT_EQ(store->Stats().entries, 0u);
  EXPECT_FALSE(store->Get(Key(1)).has_value());
  EXPECT_FALSE(store->Get(Key(2)).has_value());
  store->Put(Key(1), Value("cannot"));
  EXPECT_EQ(store->Stats().puts, 0u);
  EXPECT_GE(store->Stats().errors, 1u);
  store->Put(Key(3), Value("can"));
  EXPECT_TRUE(store->Get(Key(3)).has_value());
  store->Clear();
  EXPECT_EQ(*ReadFile(dir / "notes.txt", 100), "mine");
  EXPECT_TRUE(StatFile(dir / "zz.entry").ok());
}

TEST(DiskStore, RemovesOldTemporaryFilesAlone) {
  TempDir dir;
  const std::string old_name = "tmp-00000000000000000000000000000001";
  const std::string new_name = "tmp-00000000000000000000000000000002";
  ASSERT_TRUE(WriteFileAtomic(dir / old_name, {"x"}).ok());
  ASSERT_TRUE(WriteFileAtomic(dir / new_name, {"x"}).ok());
  SetAge(dir / old_name, 7200);
  auto store = Open(dir);
  EXPECT_TRUE(absl::IsNotFound(StatFile(dir / old_name).status()));
  EXPECT_TRUE(StatFile(dir / new_name).ok());
}

TEST(DiskStore, AFolderThatCannotBeIsAnError) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomic(dir / "file", {"x"}).ok());
  EXPECT_FALSE(DiskStore::Open(dir / "file", kLimit).ok());
  EXPECT_FALSE(DiskStore::Open(dir / "file/below", kLimit).ok());
}

// A folder taken away while in use stands for every write failure; permissions do not bind root.
TEST(DiskStore, FailingWritesAreCountersOnly) {
  TempDir dir;
  auto store = DiskStore::Open(dir / "sub", kLimit);
  ASSERT_TRUE(store.ok());
  (*store)->Put(Key(1), Value("x"));
  ASSERT_TRUE(RenameFile(dir / "sub", dir / "elsewhere").ok());
  std::ofstream(dir / "sub") << "in the way";  // the folder cannot be made anew
  (*store)->Put(Key(2), Value("x"));
  EXPECT_FALSE((*store)->Get(Key(1)).has_value());
  EXPECT_EQ((*store)->Stats().errors, 2u);  // the write, and the read
  EXPECT_EQ((*store)->Stats().entries, 0u);
  EXPECT_EQ((*store)->Stats().puts, 1u);
}

// In a process of its own that is not root, whom permissions do not bind.
TEST(DiskStore, AReadOnlyFolderStillServes) {
  TempDir dir;
  Open(dir)->Put(Key(1), Value("x"));
  if (geteuid() == 0) {
    ASSERT_EQ(chown(dir.path().c_str(), 65534, 65534), 0);
    ASSERT_EQ(chown(EntryPath(dir, Key(1)).c_str(), 65534, 65534), 0);
  }
  ASSERT_EQ(chmod(dir.path().c_str(), 0500), 0);
  pid_t child = fork();
  if (child == 0) {
    if (geteuid() == 0 && setuid(65534) != 0) _exit(2);
    auto store = DiskStore::Open(dir.path(), kLimit);
    (*store)->Put(Key(2), Value("y"));
    bool served = (*store)->Get(Key(1)).has_value();
    (*store)->Remove(Key(1));
    TierStats stats = (*store)->Stats();
    _exit(served && stats.puts == 0 && stats.errors == 2 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

// A file-size limit of the process stands for a full disk: write(2) fails part-way.
TEST(DiskStore, AFullDiskLeavesNoHalfEntry) {
  TempDir dir;
  pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    rlimit limit{.rlim_cur = 10'000, .rlim_max = 10'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    auto store = DiskStore::Open(dir.path(), kLimit);
    (*store)->Put(Key(1), Value(std::string(50'000, 'x')));
    (*store)->Put(Key(2), Value("small"));
    TierStats stats = (*store)->Stats();
    _exit(stats.errors == 1 && stats.puts == 1 && (*store)->Get(Key(2)).has_value() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  std::vector<std::string> names = *ListDir(dir.path());
  EXPECT_EQ(names, std::vector<std::string>{Key(2).ToHex() + ".entry"});
}

TEST(DiskStore, TwoOnOneFolderSeeEachOther) {
  TempDir dir;
  auto a = Open(dir, 3 * 1088);
  auto b = Open(dir, 3 * 1088);
  a->Put(Key(1), Value(std::string(1000, 'a')));
  EXPECT_EQ(b->Get(Key(1))->value.view(), std::string(1000, 'a'));
  EXPECT_EQ(b->Stats().entries, 1u);
  b->Remove(Key(1));
  EXPECT_FALSE(a->Get(Key(1)).has_value());
  EXPECT_EQ(a->Stats().entries, 0u);
  EXPECT_EQ(a->Stats().errors + b->Stats().errors, 0u);
}

// Writers of the same keys are killed in the middle; what a reader then finds is whole or absent.
TEST(DiskStore, KilledWritersLeaveWholeEntries) {
  TempDir dir;
  auto value = [](int key) {
    return std::string(static_cast<size_t>(50'000 + key), static_cast<char>('a' + key));
  };
  for (int round = 0; round < 4; ++round) {
    pid_t writers[2];
    for (pid_t& writer : writers) {
      writer = fork();
      if (writer == 0) {
        auto store = DiskStore::Open(dir.path(), kLimit);
        for (int i = 0;; i = (i + 1) % 20) (*store)->Put(Key(i), Value(value(i)));
      }
    }
    usleep(30'000 + 5'000 * round);
    for (pid_t writer : writers) {
      kill(writer, SIGKILL);
      waitpid(writer, nullptr, 0);
    }
    auto store = Open(dir);
    EXPECT_GT(store->Stats().entries, 0u);
    for (int i = 0; i < 20; ++i) {
      std::optional<Hit> hit = store->Get(Key(i));
      if (hit) {
        EXPECT_EQ(hit->value.view(), value(i));
      }
    }
    EXPECT_EQ(store->Stats().corrupt, 0u);
  }
}

TEST(DiskStore, ManyFilesAreReadQuickly) {
  TempDir dir;
  for (int i = 0; i < 5000; ++i) {
    ASSERT_TRUE(WriteAll(*OpenFile(EntryPath(dir, Key(i)), O_WRONLY | O_CREAT), "x", "x").ok());
  }
  auto store = Open(dir);
  EXPECT_EQ(store->Stats().entries, 5000u);
  EXPECT_EQ(store->Stats().size_bytes, 5000u);
}

TEST(DiskStore, MakesItsFolderAnew) {
  TempDir dir;
  const std::string folder = dir / "artifacts";
  auto store = *DiskStore::Open(folder, kLimit);
  store->Put(Key(1), Value("gone"));
  std::filesystem::remove_all(folder);
  EXPECT_FALSE(store->Get(Key(1)).has_value());
  store->Put(Key(2), Value("kept"));
  EXPECT_EQ(store->Get(Key(2))->value.view(), "kept");
  EXPECT_EQ(store->Stats().trouble, "");
}

TEST(DiskStore, SaysWhatTheLastWriteFailedWith) {
  TempDir dir;
  const std::string folder = dir / "artifacts";
  auto store = *DiskStore::Open(folder, kLimit);
  std::filesystem::remove_all(folder);
  std::ofstream(folder) << "in the way";
  store->Put(Key(1), Value("lost"));
  EXPECT_EQ(store->Stats().errors, 1u);
  EXPECT_NE(store->Stats().trouble, "");
  EXPECT_EQ(store->Stats().trouble.find(dir.path()), std::string::npos);  // clients may see it
  std::filesystem::remove(folder);
  store->Put(Key(1), Value("kept"));
  EXPECT_EQ(store->Stats().trouble, "");
}

}  // namespace
}  // namespace rlx::cache
