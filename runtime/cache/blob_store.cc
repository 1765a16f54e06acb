// SPDX-License-Identifier: Apache-2.0
#include "runtime/cache/blob_store.h"

#include "runtime/cache/blob_impl.h"

namespace rlx::cache {
namespace {

// Owners are names from outside: in file names and in the index their digest stands for them.
std::string TagOf(std::string_view owner) { return Sha256Of(owner).ToHex().substr(0, 32); }

}  // namespace

absl::StatusOr<std::unique_ptr<BlobStore>> BlobStore::Open(std::string folder, BlobLimits limits) {
  bool on_disk = !folder.empty();
  auto impl = std::make_shared<Impl>(std::move(folder), limits);
  if (on_disk) RLX_TRY(impl->Scan());
  return std::unique_ptr<BlobStore>(new BlobStore(std::move(impl)));
}

BlobStore::BlobStore(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
BlobStore::~BlobStore() = default;

bool BlobStore::Has(std::string_view owner, const Digest256& digest) {
  return impl_->Has(TagOf(owner), digest);
}

absl::StatusOr<SharedBytes> BlobStore::Read(std::string_view owner, const Digest256& digest) {
  return impl_->Read(TagOf(owner), digest);
}

UploadState BlobStore::Query(std::string_view owner, const Digest256& digest) {
  return impl_->Query(TagOf(owner), digest);
}

absl::StatusOr<BlobWriter> BlobStore::Write(std::string_view owner, const Digest256& digest,
                                            uint64_t size, uint64_t offset) {
  RLX_ASSIGN(std::shared_ptr<BlobWriter::Upload> upload,
             impl_->Begin(TagOf(owner), digest, size, offset));
  return BlobWriter(impl_, std::move(upload));
}

absl::StatusOr<Digest256> BlobStore::Put(std::string_view owner, std::string_view bytes) {
  Digest256 digest = Sha256Of(bytes);
  UploadState state = Query(owner, digest);
  if (state.complete) return digest;
  RLX_ASSIGN(BlobWriter writer, Write(owner, digest, bytes.size(), state.committed_bytes));
  RLX_TRY(writer.Append(bytes.substr(state.committed_bytes)));
  RLX_TRY(writer.Finish().status());
  return digest;
}

BlobStats BlobStore::Stats() const { return impl_->Stats(); }

BlobWriter::BlobWriter(std::shared_ptr<BlobStore::Impl> impl, std::shared_ptr<Upload> upload)
    : impl_(std::move(impl)), upload_(std::move(upload)) {}
BlobWriter::BlobWriter(BlobWriter&&) noexcept = default;
BlobWriter& BlobWriter::operator=(BlobWriter&& other) noexcept {
  std::swap(impl_, other.impl_);
  std::swap(upload_, other.upload_);
  return *this;
}
BlobWriter::~BlobWriter() {
  if (upload_ != nullptr) impl_->Release(*upload_);
}

absl::Status BlobWriter::Append(std::string_view bytes) { return impl_->Append(*upload_, bytes); }
absl::StatusOr<UploadState> BlobWriter::Finish() { return impl_->Finish(*upload_); }

}  // namespace rlx::cache
