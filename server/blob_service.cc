// SPDX-License-Identifier: Apache-2.0
#include "server/blob_service.h"
#include "runtime/base/fault.h"

#include "runtime/base/status.h"
#include "server/unary.h"

namespace rlx::server {
namespace {

constexpr int kMaxFindMissing = 4096;

absl::StatusOr<Digest256> DigestOf(const v1::BlobRef& blob) {
  const auto digest = Digest256::FromBytes(blob.sha256());
  if (!digest) return InvalidArgument("blob.sha256 has ", blob.sha256().size(), " bytes, not 32");
  return *digest;
}

// A size that the caller claims of bytes that are here; 0 claims nothing.
absl::Status CheckSize(const v1::BlobRef& blob, const Digest256& digest, uint64_t bytes) {
  if (blob.size() == 0 || blob.size() == bytes) return absl::OkStatus();
  return InvalidArgument("blob ", digest, " has ", bytes, " bytes, not ", blob.size());
}

// One upload. Chunks are appended on the executor, one after the other: the next is read when the
// one before it is on disk, so that a client is slowed to the disk's pace.
class WriteReactor final : public grpc::ServerReadReactor<v1::WriteRequest>,
                           public std::enable_shared_from_this<WriteReactor> {
 public:
  static WriteReactor* Start(Frontend& frontend, const Method& method,
                             const grpc::CallbackServerContext& context,
                             v1::WriteResponse* response) {
    auto self = std::make_shared<WriteReactor>(frontend, method, context, response);
    self->self_ = self;
    self->StartRead(&self->chunk_);
    return self.get();
  }

  WriteReactor(Frontend& frontend, const Method& method, const grpc::CallbackServerContext& context,
               v1::WriteResponse* response)
      : call_(frontend, method, context, Call::Kind::kTransfer), response_(response) {}

  void OnReadDone(bool ok) override {
    if (ok) call_.Received(chunk_.ByteSizeLong());
    const bool taken = call_.frontend().executor.Submit(
        [self = shared_from_this(), ok] { ok ? self->Append() : self->Complete(); });
    if (!taken) End(TooManyCalls(call_.frontend()));
  }
  void OnCancel() override { call_.Stop(); }
  void OnDone() override { self_.reset(); }

 private:
  void Append() {
    const absl::Status status = AppendChunk();
    if (!status.ok()) return End(status);
    if (!writer_) return Complete();  // the blob is here already, whatever is still under way
    StartRead(&chunk_);
  }

  absl::Status AppendChunk() {
    RLX_TRY(call_.cancel().Check());
    RLX_TRY(Refusal(chunk_));
    if (!begun_) RLX_TRY(Begin());
    if (chunk_.data().size() > call_.frontend().limits.max_chunk_bytes) {
      return LimitExceeded("max_chunk_bytes",
                           static_cast<int64_t>(call_.frontend().limits.max_chunk_bytes),
                           "data has ", chunk_.data().size(), " bytes");
    }
    return writer_ ? writer_->Append(chunk_.data()) : absl::OkStatus();
  }

  // The first message says which upload this is.
  absl::Status Begin() {
    begun_ = true;
    if (!chunk_.has_blob()) return InvalidArgument("the first message names no blob");
    RLX_ASSIGN(digest_, DigestOf(chunk_.blob()));
    size_ = chunk_.blob().size();
    if (size_ == 0) return InvalidArgument("blob.size is not set");
    auto writer = call_.engine().blobs().Write(call_.who().name, digest_, size_, chunk_.offset());
    if (writer.ok()) {
      writer_.emplace(*std::move(writer));
      return absl::OkStatus();
    }
    if (!absl::IsAlreadyExists(writer.status())) return writer.status();
    const auto here = call_.engine().blobs().Query(call_.who().name, digest_);
    if (!here.complete) return Aborted("blob ", digest_, " has just gone");
    return CheckSize(chunk_.blob(), digest_, here.committed_bytes);
  }

  void Complete() {
    // The stream broke: what came is kept for a later try.
    const absl::Status gone = call_.cancel().Check();
    if (!gone.ok()) return End(gone);
    if (!begun_) return End(InvalidArgument("the upload has no message"));
    if (!writer_) {
      response_->set_committed_size(size_);
      response_->set_complete(true);
      return End(absl::OkStatus());
    }
    const auto state = writer_->Finish();
    if (!state.ok()) return End(state.status());
    response_->set_committed_size(state->committed_bytes);
    response_->set_complete(state->complete);
    End(absl::OkStatus());
  }

  void End(const absl::Status& status) {
    writer_.reset();
    if (status.ok()) call_.Sent(response_->ByteSizeLong());
    Finish(call_.End(status));
  }

  std::shared_ptr<WriteReactor> self_;
  Call call_;
  v1::WriteResponse* response_;
  v1::WriteRequest chunk_;
  bool begun_ = false;
  Digest256 digest_;
  uint64_t size_ = 0;
  std::optional<cache::BlobWriter> writer_;
};

// One download: a chunk is copied out of the mapped blob when the one before it has been written,
// so a slow reader costs one chunk and no thread.
class ReadReactor final : public grpc::ServerWriteReactor<v1::ReadResponse> {
 public:
  static ReadReactor* Start(Frontend& frontend, const Method& method,
                            const grpc::CallbackServerContext& context,
                            const v1::ReadRequest& request) {
    auto* self = new ReadReactor(frontend, method, context);  // deleted by OnDone
    self->call_.Received(request.ByteSizeLong());
    const absl::Status status = self->Begin(request);
    status.ok() ? self->Next() : self->Finish(self->call_.End(status));
    return self;
  }

  void OnWriteDone(bool ok) override {
    ok ? Next() : Finish(call_.End(Cancelled("the caller has gone")));
  }
  void OnCancel() override { call_.Stop(); }
  void OnDone() override { delete this; }

 private:
  ReadReactor(Frontend& frontend, const Method& method, const grpc::CallbackServerContext& context)
      : call_(frontend, method, context, Call::Kind::kTransfer) {}

  absl::Status Begin(const v1::ReadRequest& request) {
    RLX_TRY(Refusal(request));
    RLX_ASSIGN(const Digest256 digest, DigestOf(request.blob()));
    RLX_ASSIGN(const SharedBytes blob, call_.engine().blobs().Read(call_.who().name, digest));
    RLX_TRY(CheckSize(request.blob(), digest, blob.size()));
    if (request.offset() > blob.size() || request.length() > blob.size() - request.offset()) {
      return OutOfRange("[", request.offset(), ", +", request.length(), ") is beyond a blob of ",
                        blob.size(), " bytes");
    }
    rest_ = blob.Slice(request.offset(),
                       request.length() != 0 ? request.length() : blob.size() - request.offset());
    return absl::OkStatus();
  }

  void Next() {
    if (rest_.empty()) return Finish(call_.End(absl::OkStatus()));
    const size_t step =
        std::min<size_t>(rest_.size(), call_.frontend().limits.preferred_chunk_bytes);
    message_.set_data(rest_.data(), step);
    rest_ = rest_.Slice(step, rest_.size() - step);
    call_.Sent(message_.ByteSizeLong());
    StartWrite(&message_);
  }

  Call call_;
  SharedBytes rest_;
  v1::ReadResponse message_;
};

}  // namespace

BlobService::BlobService(Frontend& frontend) : frontend_(frontend) {}
BlobService::~BlobService() = default;

grpc::ServerUnaryReactor* BlobService::FindMissing(grpc::CallbackServerContext* context,
                                                   const v1::FindMissingRequest* request,
                                                   v1::FindMissingResponse* response) {
  const auto handle = [request, response](Call& call) -> absl::Status {
    if (request->blobs_size() > kMaxFindMissing) {
      return InvalidArgument(request->blobs_size(), " blobs are more than ", kMaxFindMissing);
    }
    for (const v1::BlobRef& blob : request->blobs()) {
      RLX_ASSIGN(const Digest256 digest, DigestOf(blob));
      const cache::UploadState state = call.engine().blobs().Query(call.who().name, digest);
      if (state.complete) {
        RLX_TRY(CheckSize(blob, digest, state.committed_bytes));
      } else {
        *response->add_missing() = blob;
      }
    }
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, find_missing_, *context, *request, *response,
                             Where::kExecutor, handle);
}

grpc::ServerReadReactor<v1::WriteRequest>* BlobService::Write(grpc::CallbackServerContext* context,
                                                              v1::WriteResponse* response) {
  return WriteReactor::Start(frontend_, write_, *context, response);
}

grpc::ServerUnaryReactor* BlobService::QueryWrite(grpc::CallbackServerContext* context,
                                                  const v1::QueryWriteRequest* request,
                                                  v1::QueryWriteResponse* response) {
  const auto handle = [request, response](Call& call) -> absl::Status {
    RLX_ASSIGN(const Digest256 digest, DigestOf(request->blob()));
    const cache::UploadState state = call.engine().blobs().Query(call.who().name, digest);
    if (state.complete) RLX_TRY(CheckSize(request->blob(), digest, state.committed_bytes));
    response->set_committed_size(state.committed_bytes);
    response->set_complete(state.complete);
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, query_write_, *context, *request, *response,
                             Where::kExecutor, handle);
}

grpc::ServerWriteReactor<v1::ReadResponse>* BlobService::Read(grpc::CallbackServerContext* context,
                                                              const v1::ReadRequest* request) {
  return ReadReactor::Start(frontend_, read_, *context, *request);
}

}  // namespace rlx::server
