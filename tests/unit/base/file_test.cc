// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "tests/support/temp_dir.h"

namespace rlx {
namespace {

using ::absl::StatusCode;

TEST(File, WritesAndReadsBack) {
  TempDir dir;
  std::string binary("a\0b", 3);
  ASSERT_TRUE(WriteFileAtomic(dir / "f", {"head ", binary}).ok());
  EXPECT_EQ(*ReadFile(dir / "f", 100), "head " + binary);
  ASSERT_TRUE(WriteFileAtomic(dir / "f", {"new"}).ok());
  EXPECT_EQ(*ReadFile(dir / "f", 100), "new");
  EXPECT_EQ(MapFile(dir / "f", 100)->view(), "new");
  EXPECT_EQ(*ListDir(dir.path()), std::vector<std::string>{"f"});
  EXPECT_EQ(StatFile(dir / "f")->size, 3u);
}

TEST(File, CapsSizeAndSaysWhatIsMissing) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomic(dir / "f", {"12345"}).ok());
  EXPECT_TRUE(ReadFile(dir / "f", 5).ok());
  EXPECT_EQ(ReadFile(dir / "f", 4).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(MapFile(dir / "f", 4).status().code(), StatusCode::kResourceExhausted);
  absl::Status missing = ReadFile(dir / "g", 4).status();
  EXPECT_EQ(missing.code(), StatusCode::kNotFound);
  EXPECT_EQ(Message(missing), "g: open: No such file or directory");  // no folder in the message
  EXPECT_EQ(RemoveFile(dir / "g").code(), StatusCode::kNotFound);
}

TEST(File, TouchesNothingButRegularFiles) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomic(dir / "target", {"secret"}).ok());
  ASSERT_EQ(symlink((dir / "target").c_str(), (dir / "link").c_str()), 0);
  ASSERT_EQ(mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(ReadFile(dir / "link", 100).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatFile(dir / "link").status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReadFile(dir / "fifo", 100).status().code(),
            StatusCode::kFailedPrecondition);  // and does not hang
  EXPECT_EQ(ReadFile(dir.path(), 100).status().code(), StatusCode::kFailedPrecondition);
  // Writing replaces the link, not what it points to.
  ASSERT_TRUE(WriteFileAtomic(dir / "link", {"mine"}).ok());
  EXPECT_EQ(*ReadFile(dir / "target", 100), "secret");
  EXPECT_EQ(*ReadFile(dir / "link", 100), "mine");
}

TEST(File, FailedWriteLeavesNothing) {
  TempDir dir;
  EXPECT_EQ(WriteFileAtomic(dir / "no/such", {"x"}).code(), StatusCode::kNotFound);
  ASSERT_TRUE(EnsureDir(dir / "taken").ok());  // a folder where the file should go
  EXPECT_FALSE(WriteFileAtomic(dir / "taken", {"x"}).ok());
  EXPECT_EQ(*ListDir(dir.path()), std::vector<std::string>{"taken"});
}

TEST(File, MappingOutlivesTheName) {
  TempDir dir;
  std::string large(100'000, 'x');
  ASSERT_TRUE(WriteFileAtomic(dir / "f", {large}).ok());
  SharedBytes bytes = *MapFile(dir / "f", 1 << 20);
  ASSERT_TRUE(RemoveFile(dir / "f").ok());
  EXPECT_EQ(bytes.view(), large);
  ASSERT_TRUE(WriteFileAtomic(dir / "empty", {}).ok());
  EXPECT_TRUE(MapFile(dir / "empty", 10)->empty());
}

TEST(File, EnsureDirMakesTheWholePath) {
  TempDir dir;
  EXPECT_TRUE(EnsureDir(dir / "a/b/c").ok());
  EXPECT_TRUE(EnsureDir(dir / "a/b/c/").ok());
  EXPECT_TRUE(WriteFileAtomic(dir / "a/b/c/f", {"x"}).ok());
  EXPECT_EQ(EnsureDir(dir / "a/b/c/f").code(), StatusCode::kFailedPrecondition);
}

TEST(File, TouchMovesTheTime) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomic(dir / "f", {"x"}).ok());
  timespec old[2] = {{.tv_sec = 1000, .tv_nsec = 0}, {.tv_sec = 1000, .tv_nsec = 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, (dir / "f").c_str(), old, 0), 0);
  EXPECT_EQ(StatFile(dir / "f")->modified_seconds, 1000);
  ASSERT_TRUE(TouchFile(dir / "f").ok());
  EXPECT_GT(StatFile(dir / "f")->modified_seconds, 1e9);
}

// A process writes versions until it is killed; a reader must only ever see whole ones.
TEST(File, KilledWriterLeavesAWholeFile) {
  TempDir dir;
  const std::string path = dir / "f";
  auto version = [](int i) { return std::string(20'000 + i, static_cast<char>('a' + i % 26)); };
  ASSERT_TRUE(WriteFileAtomic(path, {version(0)}).ok());
  for (int round = 0; round < 5; ++round) {
    pid_t writer = fork();
    if (writer == 0) {
      for (int i = 0;; i = (i + 1) % 1000) (void)WriteFileAtomic(path, {version(i)});
    }
    usleep(20'000 + 3'000 * round);
    kill(writer, SIGKILL);
    waitpid(writer, nullptr, 0);
    std::string found = *ReadFile(path, 1 << 20);
    EXPECT_EQ(found, version(static_cast<int>(found.size()) - 20'000));
  }
  std::vector<std::string> names = *ListDir(dir.path());
  for (const std::string& name : names) {
    EXPECT_TRUE(name == "f" || IsTemporaryName(name)) << name;
  }
}

TEST(File, TemporaryNames) {
  EXPECT_TRUE(IsTemporaryName("tmp-00112233445566778899aabbccddeeff"));
  EXPECT_FALSE(IsTemporaryName("tmp-"));
  EXPECT_FALSE(IsTemporaryName("00112233445566778899aabbccddeeff"));
}

}  // namespace
}  // namespace rlx
