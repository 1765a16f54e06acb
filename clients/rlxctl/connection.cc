// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/connection.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "rlx/v1/capabilities.grpc.pb.h"

namespace rlx::ctl {
namespace {

using Clock = std::chrono::system_clock;

std::shared_ptr<grpc::Channel> Connect(const std::string& server) {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(-1);  // the server's limits are the limits
  args.SetMaxSendMessageSize(-1);
  return grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), args);
}

Clock::time_point After(double seconds) {
  return Clock::now() + std::chrono::microseconds(static_cast<int64_t>(seconds * 1e6));
}

}  // namespace

Connection::Connection(std::string_view server, std::optional<double> seconds)
    : server_(server),
      channel_(Connect(server_)),
      deadline_(seconds ? std::optional(After(*seconds)) : std::nullopt) {}

Connection::~Connection() = default;

void Connection::SetDeadline(grpc::ClientContext& context, double seconds) const {
  context.set_deadline(deadline_ ? *deadline_ : After(seconds));
}

absl::Status Connection::Check(const grpc::Status& status) const {
  absl::Status ours = FromGrpc(status);
  if (absl::IsUnavailable(ours) && status.error_details().empty())
    return Annotate(std::move(ours), server_);
  return ours;
}

absl::StatusOr<const v1::Limits*> Connection::Limits() {
  if (limits_ == nullptr) {
    RLX_ASSIGN(v1::GetCapabilitiesResponse found,
               Call<v1::Server>(&v1::Server::Stub::GetCapabilities, {}, kQuick));
    limits_ = std::make_unique<v1::Limits>(std::move(*found.mutable_limits()));
  }
  return limits_.get();
}

}  // namespace rlx::ctl
