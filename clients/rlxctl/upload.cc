// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/upload.h"

#include <thread>

#include "clients/rlxctl/connection.h"
#include "clients/rlxctl/progress.h"
#include "rlx/v1/blobs.grpc.pb.h"
#include "rlx/v1/capabilities.pb.h"

namespace rlx::ctl {
namespace {

constexpr int kPatience = 5;                // tries without a byte of headway
constexpr double kMinBytesPerSecond = 1e6;  // slower than that, an upload runs into its deadline
constexpr uint64_t kDefaultChunk = 1 << 20;

v1::BlobRef RefOf(const Blob& blob) {
  v1::BlobRef ref;
  ref.set_sha256(std::string(blob.digest.view()));
  ref.set_size(blob.bytes.size());
  return ref;
}

bool WorthAnotherTry(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsAborted(status) || absl::IsOutOfRange(status);
}

class Uploader {
 public:
  Uploader(const Blob& blob, uint64_t chunk, Connection& server, Progress& progress)
      : blob_(blob), chunk_(chunk), server_(server), progress_(progress) {}

  absl::StatusOr<bool> IsMissing() const {
    v1::FindMissingRequest request;
    *request.add_blobs() = RefOf(blob_);
    RLX_ASSIGN(const v1::FindMissingResponse answer,
               server_.Call<v1::Blobs>(&v1::Blobs::Stub::FindMissing, request, kQuick));
    return answer.missing_size() > 0;
  }

  absl::StatusOr<v1::QueryWriteResponse> Query() const {
    v1::QueryWriteRequest request;
    *request.mutable_blob() = RefOf(blob_);
    return server_.Call<v1::Blobs>(&v1::Blobs::Stub::QueryWrite, request, kQuick);
  }

  // One stream, from `offset` to the end. What the server has said of it, if it spoke.
  absl::StatusOr<v1::WriteResponse> Write(uint64_t offset) const {
    grpc::ClientContext context;
    server_.SetDeadline(context,
                        kQuick + static_cast<double>(blob_.bytes.size()) / kMinBytesPerSecond);
    v1::WriteResponse response;
    const auto stub = v1::Blobs::NewStub(server_.channel());
    const auto writer = stub->Write(&context, &response);
    v1::WriteRequest request;
    *request.mutable_blob() = RefOf(blob_);
    request.set_offset(offset);
    do {
      const std::string_view piece = blob_.bytes.view().substr(offset, chunk_);
      request.set_data(piece.data(), piece.size());
      if (!writer->Write(request)) break;  // Finish says why
      request.clear_blob();
      request.clear_offset();
      offset += piece.size();
      progress_.Bytes("uploading", offset, blob_.bytes.size());
    } while (offset < blob_.bytes.size());
    writer->WritesDone();
    RLX_TRY(server_.Check(writer->Finish()));
    return response;
  }

 private:
  const Blob& blob_;
  const uint64_t chunk_;
  Connection& server_;
  Progress& progress_;
};

}  // namespace

Blob MakeBlob(SharedBytes bytes) {
  const Digest256 digest = Sha256Of(bytes.view());
  return {std::move(bytes), digest};
}

absl::StatusOr<uint64_t> Upload(const Blob& blob, Connection& server, Progress& progress) {
  RLX_ASSIGN(const v1::Limits* limits, server.Limits());
  const uint64_t preferred = limits->preferred_chunk_bytes();
  const Uploader uploader(blob, preferred == 0 ? kDefaultChunk : preferred, server, progress);
  RLX_ASSIGN(const bool missing, uploader.IsMissing());
  if (!missing) return 0;
  std::optional<uint64_t> began;
  uint64_t furthest = 0;
  for (int tries = 1;; ++tries) {
    RLX_ASSIGN(const v1::QueryWriteResponse state, uploader.Query());
    if (!began) began = std::min<uint64_t>(state.committed_size(), blob.bytes.size());
    if (state.complete()) return blob.bytes.size() - *began;
    if (state.committed_size() > blob.bytes.size())
      return DataLoss("the server keeps more than was sent of a blob");
    if (state.committed_size() > furthest) tries = 1;
    furthest = std::max<uint64_t>(furthest, state.committed_size());
    const auto written = uploader.Write(state.committed_size());
    if (written.ok() && written->complete()) return blob.bytes.size() - *began;
    if (!written.ok() && !WorthAnotherTry(written.status())) return written.status();
    if (tries >= kPatience) {
      if (!written.ok()) return written.status();
      return DataLoss("the server keeps less than was sent of a blob");
    }
    const double wait = written.ok() ? 0 : RetryAfter(written.status());
    std::this_thread::sleep_for(
        std::chrono::duration<double>(wait > 0 ? wait : 0.05 * (1 << tries)));
  }
}

}  // namespace rlx::ctl
