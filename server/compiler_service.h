// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rlx/v1/compiler.grpc.pb.h"
#include "server/call.h"
#include "server/guarded_requests.h"

namespace rlx::server {

class CompilerService final : public v1::Compiler::CallbackService {
 public:
  explicit CompilerService(Frontend& frontend);
  ~CompilerService() override;

  grpc::ServerWriteReactor<v1::CompileEvent>* Compile(grpc::CallbackServerContext* context,
                                                      const v1::CompileRequest* request) override;
  grpc::ServerWriteReactor<v1::CompileEvent>* WaitCompile(
      grpc::CallbackServerContext* context, const v1::WaitCompileRequest* request) override;
  grpc::ServerUnaryReactor* Inspect(grpc::CallbackServerContext* context,
                                    const v1::InspectRequest* request,
                                    v1::CompileResult* response) override;
  grpc::ServerUnaryReactor* Lower(grpc::CallbackServerContext* context,
                                  const v1::LowerRequest* request,
                                  v1::LowerResponse* response) override;
  grpc::ServerUnaryReactor* Explain(grpc::CallbackServerContext* context,
                                    const v1::ExplainRequest* request,
                                    v1::ExplainResponse* response) override;
  grpc::ServerUnaryReactor* ExportSource(grpc::CallbackServerContext* context,
                                         const v1::ExportSourceRequest* request,
                                         v1::ExportSourceResponse* response) override;
  grpc::ServerUnaryReactor* ExplainKey(grpc::CallbackServerContext* context,
                                       const v1::ExplainKeyRequest* request,
                                       v1::ExplainKeyResponse* response) override;

 private:
  Frontend& frontend_;
  const Method compile_{frontend_, "Compiler", "Compile"};
  const Method wait_{frontend_, "Compiler", "WaitCompile"};
  const Method inspect_{frontend_, "Compiler", "Inspect"};
  const Method lower_{frontend_, "Compiler", "Lower"};
  const Method explain_{frontend_, "Compiler", "Explain"};
  const Method export_source_{frontend_, "Compiler", "ExportSource"};
  const Method explain_key_{frontend_, "Compiler", "ExplainKey"};
};

}  // namespace rlx::server
