// SPDX-License-Identifier: Apache-2.0
// One server, and the time that a command may take.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "clients/rlxctl/failure.h"

namespace rlx::v1 {
class Limits;
}

namespace rlx::ctl {

inline constexpr double kQuick = 30;  // seconds for a call that only asks
inline constexpr double kLong = 600;  // for one that compiles

class Connection {
 public:
  // "HOST:PORT" or "unix:PATH", connected at the first call. `seconds`, when given, counts from now
  // and is for all calls together; otherwise each has what it asks for.
  Connection(std::string_view server, std::optional<double> seconds);
  ~Connection();

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  void SetDeadline(grpc::ClientContext& context, double seconds) const;

  // One unary call: `server.Call<v1::Devices>(&v1::Devices::Stub::List, request, kQuick)`.
  template <class Service, class Stub, class Request, class Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const std::type_identity_t<Request>& request,
                                double seconds) const {
    grpc::ClientContext context;
    SetDeadline(context, seconds);
    Response response;
    const std::unique_ptr<Stub> stub = Service::NewStub(channel_);
    RLX_TRY(Check((stub.get()->*method)(&context, request, &response)));
    return response;
  }

  // The status as ours; where nobody answered, with the server's address.
  absl::Status Check(const grpc::Status& status) const;

  // The server's limits, asked for once.
  absl::StatusOr<const v1::Limits*> Limits();

 private:
  const std::string server_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::optional<std::chrono::system_clock::time_point> deadline_;
  std::unique_ptr<v1::Limits> limits_;
};

}  // namespace rlx::ctl
