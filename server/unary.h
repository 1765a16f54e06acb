// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>

#include "runtime/base/status.h"
#include "server/call.h"

namespace rlx::server {

enum class Where {
  kHere,      // does not block: on the thread that received the call
  kExecutor,  // may block
};

// Answers one unary call: `handle` fills the response, on this thread or on the executor's. The
// reactor owns itself until gRPC is done with it; what `handle` captured goes with it.
class UnaryReactor final : public grpc::ServerUnaryReactor,
                           public std::enable_shared_from_this<UnaryReactor> {
 public:
  using Handler = std::function<absl::Status(Call&)>;

  static grpc::ServerUnaryReactor* Start(Frontend& frontend, const Method& method,
                                         const grpc::CallbackServerContext& context, Where where,
                                         Handler handle) {
    auto self = std::make_shared<UnaryReactor>(frontend, method, context, std::move(handle));
    self->self_ = self;
    self->Begin(where);
    return self.get();
  }

  UnaryReactor(Frontend& frontend, const Method& method, const grpc::CallbackServerContext& context,
               Handler handle)
      : call_(frontend, method, context), handle_(std::move(handle)) {}

  void OnCancel() override { call_.Stop(); }
  void OnDone() override { self_.reset(); }

 private:
  void Begin(Where where) {
    if (where == Where::kHere) return Answer();
    const bool taken =
        call_.frontend().executor.Submit([self = shared_from_this()] { self->Answer(); });
    if (!taken) Finish(call_.End(ResourceExhausted("too many calls wait already")));
  }

  // A call that waited too long, or whose caller has gone, is not begun.
  void Answer() {
    absl::Status status = call_.cancel().Check();
    if (status.ok()) status = handle_(call_);
    Finish(call_.End(status));
  }

  std::shared_ptr<UnaryReactor> self_;
  Call call_;
  Handler handle_;
};

}  // namespace rlx::server
