// SPDX-License-Identifier: Apache-2.0
#include "runtime/cache/blob_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "runtime/base/file.h"
#include "tests/support/temp_dir.h"

namespace rlx::cache {
namespace {

using ::absl::StatusCode;

class Blobs : public testing::TestWithParam<bool> {
 protected:
  std::unique_ptr<BlobStore> Open(BlobLimits limits = {}) {
    auto store = BlobStore::Open(GetParam() ? folder_ / "blobs" : "", limits);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  TempDir folder_;
};
INSTANTIATE_TEST_SUITE_P(Where, Blobs, testing::Bool(),
                         [](const auto& info) { return info.param ? "disk" : "memory"; });

std::string Bytes(size_t size, char fill = 'x') {
  std::string bytes(size, fill);
  for (size_t i = 0; i < size; i += 7) bytes[i] = static_cast<char>(i);
  return bytes;
}

TEST_P(Blobs, UploadInChunksThenRead) {
  auto store = Open();
  std::string bytes = Bytes(100'000);
  Digest256 digest = Sha256Of(bytes);
  EXPECT_FALSE(store->Has("alice", digest));
  EXPECT_EQ(store->Read("alice", digest).status().code(), StatusCode::kNotFound);
  auto writer = store->Write("alice", digest, bytes.size(), 0);
  ASSERT_TRUE(writer.ok()) << writer.status();
  for (size_t at = 0; at < bytes.size(); at += 30'000) {
    ASSERT_TRUE(writer->Append(std::string_view(bytes).substr(at, 30'000)).ok());
  }
  EXPECT_FALSE(store->Has("alice", digest));  // not before Finish
  absl::StatusOr<UploadState> state = writer->Finish();
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_TRUE(state->complete);
  EXPECT_TRUE(store->Has("alice", digest));
  EXPECT_EQ(store->Read("alice", digest)->view(), bytes);
  EXPECT_EQ(store->Query("alice", digest).committed_bytes, bytes.size());
  EXPECT_EQ(store->Write("alice", digest, bytes.size(), 0).status().code(),
            StatusCode::kAlreadyExists);
}

TEST_P(Blobs, ABrokenUploadGoesOn) {
  auto store = Open();
  std::string bytes = Bytes(10'000);
  Digest256 digest = Sha256Of(bytes);
  {
    auto writer = store->Write("alice", digest, bytes.size(), 0);
    ASSERT_TRUE(writer->Append(bytes.substr(0, 4000)).ok());
    absl::StatusOr<UploadState> state = writer->Finish();
    ASSERT_TRUE(state.ok());
    EXPECT_EQ(state->committed_bytes, 4000u);
    EXPECT_FALSE(state->complete);
  }
  EXPECT_EQ(store->Query("alice", digest).committed_bytes, 4000u);
  EXPECT_EQ(store->Write("alice", digest, bytes.size(), 0).status().code(),
            StatusCode::kOutOfRange);
  auto writer = store->Write("alice", digest, bytes.size(), 4000);
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_EQ(store->Write("alice", digest, bytes.size(), 4000).status().code(),
            StatusCode::kAborted);
  ASSERT_TRUE(writer->Append(bytes.substr(4000)).ok());
  EXPECT_TRUE(writer->Finish()->complete);
  EXPECT_EQ(store->Read("alice", digest)->view(), bytes);
}

TEST_P(Blobs, WrongBytesAreDropped) {
  auto store = Open();
  Digest256 digest = Sha256Of("right");
  {
    auto writer = store->Write("alice", digest, 5, 0);
    ASSERT_TRUE(writer->Append("wrong").ok());
    EXPECT_EQ(writer->Finish().status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(writer->Finish().status().code(), StatusCode::kFailedPrecondition);
  }
  {
    auto writer = store->Write("alice", digest, 5, 0);
    ASSERT_TRUE(writer->Append("righ").ok());
    EXPECT_EQ(writer->Append("ter").code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(writer->Append("t").code(), StatusCode::kFailedPrecondition);
  }
  EXPECT_EQ(store->Query("alice", digest).committed_bytes, 0u);
  EXPECT_EQ(store->Stats().size_bytes, 0u);
  EXPECT_TRUE(store->Put("alice", "right").ok());
  EXPECT_TRUE(store->Has("alice", digest));
}

TEST_P(Blobs, OwnersDoNotSeeEachOther) {
  auto store = Open();
  Digest256 digest = *store->Put("alice", "secret");
  EXPECT_FALSE(store->Has("bob", digest));
  EXPECT_EQ(store->Read("bob", digest).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(store->Query("bob", digest).committed_bytes, 0u);
  uint64_t before = store->Stats().size_bytes;
  EXPECT_EQ(*store->Put("bob", "secret"), digest);
  EXPECT_TRUE(store->Has("bob", digest));
  EXPECT_EQ(store->Stats().size_bytes, before);  // stored once
  EXPECT_EQ(store->Stats().blobs, 1u);
}

TEST_P(Blobs, EmptyBlob) {
  auto store = Open();
  Digest256 digest = *store->Put("alice", "");
  EXPECT_TRUE(store->Has("alice", digest));
  EXPECT_EQ(store->Read("alice", digest)->size(), 0u);
}

TEST_P(Blobs, LimitsAreChecked) {
  auto store = Open({.max_blob_bytes = 10'000, .budget_bytes = 8192});
  EXPECT_EQ(store->Write("a", Sha256Of("x"), 10'001, 0).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(store->Write("a", Sha256Of("x"), 9'000, 0).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(store->Write("a", Sha256Of("x"), UINT64_MAX, 0).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_TRUE(store->Put("a", "fits").ok());
}

// A declared size takes nothing: only what arrives counts.
TEST_P(Blobs, DeclaringIsFree) {
  auto store = Open({.max_blob_bytes = 1 << 30, .budget_bytes = 1 << 30});
  auto writer = store->Write("a", Sha256Of("x"), 1 << 29, 0);
  ASSERT_TRUE(writer.ok());
  EXPECT_LE(store->Stats().size_bytes, 4096u);
}

TEST_P(Blobs, TheLeastRecentlyUsedUnheldOneGoes) {
  auto store = Open({.budget_bytes = 4 * 8192});
  auto blob = [](int i) { return Bytes(5000, static_cast<char>('a' + i)); };
  Digest256 digests[5];
  for (int i = 0; i < 4; ++i) digests[i] = *store->Put("a", blob(i));
  absl::StatusOr<SharedBytes> held = store->Read("a", digests[0]);
  ASSERT_TRUE(store->Has("a", digests[1]));  // used: now 2 is the oldest that nobody holds
  digests[4] = *store->Put("a", blob(4));
  EXPECT_TRUE(store->Has("a", digests[0]));
  EXPECT_TRUE(store->Has("a", digests[1]));
  EXPECT_FALSE(store->Has("a", digests[2]));
  EXPECT_TRUE(store->Has("a", digests[4]));
  EXPECT_EQ(store->Stats().evicted_bytes, 8192u);
  EXPECT_EQ(held->view(), blob(0));
}

TEST_P(Blobs, WhatIsHeldIsNeverDropped) {
  auto store = Open({.budget_bytes = 2 * 8192});
  SharedBytes first = *store->Read("a", *store->Put("a", Bytes(5000, '1')));
  SharedBytes second = *store->Read("a", *store->Put("a", Bytes(5000, '2')));
  EXPECT_EQ(store->Put("a", Bytes(5000, '3')).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(first.view(), Bytes(5000, '1'));
  first = SharedBytes();
  EXPECT_TRUE(store->Put("a", Bytes(5000, '3')).ok());
  EXPECT_EQ(second.view(), Bytes(5000, '2'));
}

TEST_P(Blobs, IdleUploadsGoToo) {
  auto store = Open({.budget_bytes = 2 * 8192});
  std::string half = Bytes(6000);
  Digest256 digest = Sha256Of(half);
  {
    auto writer = store->Write("a", digest, half.size(), 0);
    ASSERT_TRUE(writer->Append(half.substr(0, 5000)).ok());
  }
  ASSERT_TRUE(store->Put("a", Bytes(5000, '1')).ok());
  ASSERT_TRUE(store->Put("a", Bytes(5000, '2')).ok());
  EXPECT_EQ(store->Query("a", digest).committed_bytes, 0u);
  EXPECT_EQ(store->Stats().uploads, 0u);
}

TEST_P(Blobs, BytesOutliveTheStore) {
  auto store = Open();
  SharedBytes bytes = *store->Read("a", *store->Put("a", "kept"));
  auto writer = store->Write("a", Sha256Of("later"), 5, 0);
  store.reset();
  EXPECT_EQ(bytes.view(), "kept");
  EXPECT_TRUE(writer->Append("later").ok());
  EXPECT_TRUE(writer->Finish()->complete);
}

TEST_P(Blobs, ManyOwnersUploadTheSameAtOnce) {
  auto store = Open();
  std::string bytes = Bytes(200'000);
  std::atomic<int> good = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        std::string owner = Cat("owner ", t);
        absl::StatusOr<Digest256> digest = store->Put(owner, bytes);
        good += digest.ok() && store->Read(owner, *digest)->view() == bytes;
      });
    }
  }
  EXPECT_EQ(good, 8);
  EXPECT_EQ(store->Stats().blobs, 1u);
  EXPECT_EQ(store->Stats().uploads, 0u);
}

class BlobFolder : public testing::Test {
 protected:
  std::unique_ptr<BlobStore> Open(BlobLimits limits = {}) {
    return *BlobStore::Open(folder_.path(), limits);
  }
  TempDir folder_;
};

TEST_F(BlobFolder, BlobsAndUploadsSurviveARestart) {
  std::string bytes = Bytes(50'000);
  Digest256 digest = Sha256Of(bytes), whole;
  uint64_t size;
  {
    auto store = Open();
    whole = *store->Put("alice", "whole");
    auto writer = store->Write("alice", digest, bytes.size(), 0);
    ASSERT_TRUE(writer->Append(bytes.substr(0, 20'000)).ok());
    size = store->Stats().size_bytes;
  }
  auto store = Open();
  EXPECT_EQ(store->Stats().size_bytes, size);
  EXPECT_EQ(store->Read("alice", whole)->view(), "whole");
  EXPECT_FALSE(store->Has("bob", whole));
  EXPECT_EQ(store->Query("alice", digest).committed_bytes, 20'000u);
  auto writer = store->Write("alice", digest, bytes.size(), 20'000);
  ASSERT_TRUE(writer->Append(bytes.substr(20'000)).ok());
  EXPECT_TRUE(writer->Finish()->complete);
  EXPECT_EQ(store->Read("alice", digest)->view(), bytes);
}

TEST_F(BlobFolder, DamagedUploadsFailTheirDigest) {
  Digest256 digest = Sha256Of("right bytes");
  {
    auto store = Open();
    auto writer = store->Write("alice", digest, 11, 0);
    ASSERT_TRUE(writer->Append("right").ok());
  }
  std::vector<std::string> names = *ListDir(folder_.path());
  ASSERT_EQ(names.size(), 1u);
  ASSERT_TRUE(WriteFileAtomic(folder_ / names[0], {"wrong"}).ok());
  auto store = Open();
  auto writer = store->Write("alice", digest, 11, 5);
  ASSERT_TRUE(writer->Append(" bytes").ok());
  EXPECT_EQ(writer->Finish().status().code(), StatusCode::kInvalidArgument);
}

TEST_F(BlobFolder, SmallerBudgetDropsTheOldest) {
  Digest256 digest;
  {
    auto store = Open();
    for (int i = 0; i < 3; ++i) digest = *store->Put("a", Bytes(5000, static_cast<char>('a' + i)));
  }
  auto store = Open({.budget_bytes = 8192});
  EXPECT_EQ(store->Stats().blobs, 1u);
  EXPECT_TRUE(store->Has("a", digest));
  std::vector<std::string> names = *ListDir(folder_.path());
  EXPECT_EQ(names.size(), 2u);  // the blob and its owner
}

TEST_F(BlobFolder, StrayFilesDoNoHarm) {
  std::string hex = Sha256Of("x").ToHex();
  ASSERT_TRUE(WriteFileAtomic(folder_ / "notes", {"mine"}).ok());
  ASSERT_TRUE(WriteFileAtomic(folder_ / (hex + ".blob"), {"nobody's"}).ok());
  ASSERT_TRUE(WriteFileAtomic(folder_ / (hex + ".zz.part"), {"odd"}).ok());
  ASSERT_EQ(symlink("/etc/passwd", (folder_ / (Sha256Of("y").ToHex() + ".blob")).c_str()), 0);
  auto store = Open();
  EXPECT_EQ(store->Stats().blobs, 0u);
  EXPECT_TRUE(StatFile(folder_ / "notes").ok());
}

TEST_F(BlobFolder, ADeletedFileIsNotFound) {
  auto store = Open();
  Digest256 digest = *store->Put("a", "gone soon");
  ASSERT_TRUE(RemoveFile(folder_ / (digest.ToHex() + ".blob")).ok());
  EXPECT_EQ(store->Read("a", digest).status().code(), StatusCode::kNotFound);
  EXPECT_FALSE(store->Has("a", digest));
  EXPECT_EQ(store->Stats().size_bytes, 0u);
}

TEST_F(BlobFolder, TwoStoresOnOneFolder) {
  auto one = Open();
  auto two = Open();
  Digest256 digest = *one->Put("a", "shared");
  EXPECT_TRUE(two->Has("a", digest));
  EXPECT_FALSE(two->Has("b", digest));
  EXPECT_EQ(two->Read("a", digest)->view(), "shared");
  auto writer = one->Write("a", Sha256Of("busy"), 4, 0);
  ASSERT_TRUE(writer.ok());
  EXPECT_EQ(two->Write("a", Sha256Of("busy"), 4, 0).status().code(), StatusCode::kAborted);
}

// A process uploads until it is killed; the next one finds whole blobs and uploads it can go on
// with.
TEST_F(BlobFolder, KilledWriter) {
  auto blob = [](int i) {
    return Bytes(static_cast<size_t>(100'000 + i), static_cast<char>('a' + i));
  };
  for (int round = 0; round < 4; ++round) {
    pid_t child = fork();
    if (child == 0) {
      auto store = Open();
      for (int i = 0;; ++i) (void)store->Put("a", blob(10 * round + i % 10));
    }
    usleep(10'000 + 7'000 * round);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    auto store = Open();
    for (int i = 0; i < 10; ++i) {
      std::string bytes = blob(10 * round + i);
      absl::StatusOr<Digest256> digest = store->Put("a", bytes);
      ASSERT_TRUE(digest.ok()) << digest.status();
      EXPECT_EQ(store->Read("a", *digest)->view(), bytes);
    }
  }
}

class VanishingFolder : public testing::Test {
 protected:
  TempDir dir_;
  const std::string folder_ = dir_ / "blobs";
  const std::unique_ptr<BlobStore> store_ = *BlobStore::Open(folder_, {});
  const std::string bytes_ = Bytes(10'000);
  const Digest256 digest_ = Sha256Of(bytes_);

  void Upload(std::string_view owner) {
    auto writer = store_->Write(owner, digest_, bytes_.size(), 0);
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE(writer->Append(bytes_).ok());
    const auto state = writer->Finish();
    ASSERT_TRUE(state.ok() && state->complete) << state.status();
  }
};

TEST_F(VanishingFolder, WhatIsGoneIsMissingAndCanComeAgain) {
  Upload("alice");
  std::filesystem::remove_all(folder_);
  EXPECT_FALSE(store_->Has("alice", digest_));
  EXPECT_EQ(store_->Query("alice", digest_).committed_bytes, 0u);
  EXPECT_EQ(store_->Stats().size_bytes, 0u);
  Upload("alice");
  EXPECT_EQ(store_->Read("alice", digest_)->view(), bytes_);
}

TEST_F(VanishingFolder, BytesInUseStay) {
  Upload("alice");
  const SharedBytes held = *store_->Read("alice", digest_);
  std::filesystem::remove_all(folder_);
  EXPECT_TRUE(store_->Has("alice", digest_));
  EXPECT_EQ(store_->Read("alice", digest_)->view(), bytes_);
  EXPECT_EQ(held.view(), bytes_);
}

TEST_F(VanishingFolder, AnUploadInItsMiddleSaysThatItIsLostAndBeginsAnew) {
  {
    auto writer = store_->Write("alice", digest_, bytes_.size(), 0);
    ASSERT_TRUE(writer->Append(std::string_view(bytes_).substr(0, 5000)).ok());
    std::filesystem::remove_all(folder_);
    ASSERT_TRUE(writer->Append(std::string_view(bytes_).substr(5000)).ok());
    EXPECT_EQ(writer->Finish().status().code(), StatusCode::kUnavailable);
  }
  EXPECT_EQ(store_->Query("alice", digest_).committed_bytes, 0u);
  Upload("alice");
}

TEST_F(VanishingFolder, AFolderThatCannotBeMadeIsTheServersFault) {
  std::filesystem::remove_all(folder_);
  std::ofstream(folder_) << "in the way";
  const auto writer = store_->Write("alice", digest_, bytes_.size(), 0);
  EXPECT_EQ(writer.status().code(), StatusCode::kUnavailable);
  const std::string message(writer.status().message());
  EXPECT_NE(message.find(digest_.ToHex()), std::string::npos) << message;
  EXPECT_EQ(message.find(dir_.path()), std::string::npos) << message;
}

TEST(BlobsOnDisk, AFlippedBitIsNoticedAfterARestart) {
  TempDir folder;
  const std::string bytes = Bytes(10'000);
  const Digest256 digest = Sha256Of(bytes);
  const std::string path = Cat(folder / "blobs", "/", digest, ".blob");
  for (size_t place : {size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
    {
      auto store = BlobStore::Open(folder / "blobs", {});
      ASSERT_TRUE((*store)->Put("alice", bytes).ok());
    }
    std::string flipped = bytes;
    flipped[place] = static_cast<char>(flipped[place] ^ 1);
    ASSERT_TRUE(WriteFileAtomic(path, {flipped}).ok());
    auto store = BlobStore::Open(folder / "blobs", {});
    ASSERT_TRUE(store.ok());
    EXPECT_EQ((*store)->Read("alice", digest).status().code(), StatusCode::kNotFound);
    EXPECT_FALSE((*store)->Has("alice", digest));
    EXPECT_EQ((*store)->Stats().corrupt, 1u);
    EXPECT_EQ((*store)->Stats().size_bytes, 0u);
  }
}

}  // namespace
}  // namespace rlx::cache
