// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>

#include "runtime/base/status.h"
#include "server/call.h"
#include "server/guarded_requests.h"

namespace rlx::server {

enum class Where {
  kHere,      // does not block: on the thread that received the call
  kExecutor,  // may block
};

// Answers one unary call: `handle` fills the response, on this thread or on the executor's. The
// reactor owns itself until gRPC is done with it; what `handle` captured goes with it, request and
// response stay as long.
class UnaryReactor final : public grpc::ServerUnaryReactor,
                           public std::enable_shared_from_this<UnaryReactor> {
 public:
  using Handler = std::function<absl::Status(Call&)>;

  static grpc::ServerUnaryReactor* Start(Frontend& frontend, const Method& method,
                                         const grpc::CallbackServerContext& context,
                                         const google::protobuf::Message& request,
                                         const google::protobuf::Message& response, Where where,
                                         Handler handle) {
    auto self =
        std::make_shared<UnaryReactor>(frontend, method, context, response, std::move(handle));
    self->call_.Received(request.ByteSizeLong());
    self->self_ = self;
    const absl::Status read = Refusal(request);
    read.ok() ? self->Handle(where) : self->Finish(self->call_.End(read));
    return self.get();
  }

  // For what neither blocks nor answers at once: `begin` arranges that what it is given is called
  // with the status, once, by any thread.
  using Done = std::function<void(absl::Status)>;
  using Beginner = std::function<void(Call&, Done)>;
  static grpc::ServerUnaryReactor* Begin(Frontend& frontend, const Method& method,
                                         const grpc::CallbackServerContext& context,
                                         const google::protobuf::Message& request,
                                         const google::protobuf::Message& response,
                                         const Beginner& begin) {
    auto self = std::make_shared<UnaryReactor>(frontend, method, context, response, nullptr);
    self->call_.Received(request.ByteSizeLong());
    self->self_ = self;
    const absl::Status read = Refusal(request);
    if (read.ok()) {
      begin(self->call_, [self](const absl::Status& end) { self->End(end); });
    } else {
      self->End(read);
    }
    return self.get();
  }

  UnaryReactor(Frontend& frontend, const Method& method, const grpc::CallbackServerContext& context,
               const google::protobuf::Message& response, Handler handle)
      : call_(frontend, method, context), response_(response), handle_(std::move(handle)) {}

  void OnCancel() override { call_.Stop(); }
  void OnDone() override { self_.reset(); }

 private:
  void Handle(Where where) {
    if (where == Where::kHere) return Answer();
    const bool taken =
        call_.frontend().executor.Submit([self = shared_from_this()] { self->Answer(); });
    if (!taken) Finish(call_.End(TooManyCalls(call_.frontend())));
  }

  // A call that waited too long, or whose caller has gone, is not begun.
  void Answer() {
    absl::Status status = call_.CheckWaited();
    if (status.ok()) status = handle_(call_);
    End(status);
  }

  void End(const absl::Status& status) {
    if (status.ok()) call_.Sent(response_.ByteSizeLong());
    Finish(call_.End(status));
  }

  std::shared_ptr<UnaryReactor> self_;
  Call call_;
  const google::protobuf::Message& response_;
  Handler handle_;
};

}  // namespace rlx::server
