// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rlx/v1/sessions.grpc.pb.h"
#include "server/call.h"
#include "server/guarded_requests.h"
#include "server/quick_runs.h"

namespace rlx::server {

class SessionService final : public v1::Sessions::CallbackService {
 public:
  explicit SessionService(Frontend& frontend);
  ~SessionService() override;

  grpc::ServerUnaryReactor* Open(grpc::CallbackServerContext* context,
                                 const v1::OpenRequest* request,
                                 v1::OpenResponse* response) override;
  grpc::ServerUnaryReactor* Run(grpc::CallbackServerContext* context, const v1::RunRequest* request,
                                v1::RunResponse* response) override;
  grpc::ServerBidiReactor<v1::RunStreamRequest, v1::RunStreamResponse>* RunStream(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* KeepAlive(grpc::CallbackServerContext* context,
                                      const v1::KeepAliveRequest* request,
                                      v1::KeepAliveResponse* response) override;
  grpc::ServerUnaryReactor* Close(grpc::CallbackServerContext* context,
                                  const v1::CloseRequest* request,
                                  v1::CloseResponse* response) override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const v1::ListSessionsRequest* request,
                                 v1::ListSessionsResponse* response) override;

 private:
  Frontend& frontend_;
  QuickRuns quick_;
  const Method open_{frontend_, "Sessions", "Open"};
  const Method run_{frontend_, "Sessions", "Run"};
  const Method run_stream_{frontend_, "Sessions", "RunStream"};
  const Method keep_alive_{frontend_, "Sessions", "KeepAlive"};
  const Method close_{frontend_, "Sessions", "Close"};
  const Method list_{frontend_, "Sessions", "List"};
};

}  // namespace rlx::server
