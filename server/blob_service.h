// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rlx/v1/blobs.grpc.pb.h"
#include "server/call.h"
#include "server/guarded_requests.h"

namespace rlx::server {

class BlobService final : public v1::Blobs::CallbackService {
 public:
  explicit BlobService(Frontend& frontend);
  ~BlobService() override;

  grpc::ServerUnaryReactor* FindMissing(grpc::CallbackServerContext* context,
                                        const v1::FindMissingRequest* request,
                                        v1::FindMissingResponse* response) override;
  grpc::ServerReadReactor<v1::WriteRequest>* Write(grpc::CallbackServerContext* context,
                                                   v1::WriteResponse* response) override;
  grpc::ServerUnaryReactor* QueryWrite(grpc::CallbackServerContext* context,
                                       const v1::QueryWriteRequest* request,
                                       v1::QueryWriteResponse* response) override;
  grpc::ServerWriteReactor<v1::ReadResponse>* Read(grpc::CallbackServerContext* context,
                                                   const v1::ReadRequest* request) override;

 private:
  Frontend& frontend_;
  const Method find_missing_{frontend_, "Blobs", "FindMissing"};
  const Method write_{frontend_, "Blobs", "Write"};
  const Method query_write_{frontend_, "Blobs", "QueryWrite"};
  const Method read_{frontend_, "Blobs", "Read"};
};

}  // namespace rlx::server
