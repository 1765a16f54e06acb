// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "rlx/v1/sessions.grpc.pb.h"
#include "server/call.h"
#include "server/guarded_requests.h"
#include "server/quick_runs.h"

namespace rlx::server {

// One RunStream: requests are run as they come, up to WireLimits::max_stream_requests at a time
// (then reading pauses), and answered as they finish. A request that fails answers with its status;
// the stream goes on. Ends when the client has said its last and all is answered; UNAVAILABLE when
// the daemon closes and all that it has read is answered.
class RunStreamReactor final
    : public grpc::ServerBidiReactor<v1::RunStreamRequest, v1::RunStreamResponse>,
      public std::enable_shared_from_this<RunStreamReactor> {
 public:
  static RunStreamReactor* Start(Frontend& frontend, const Method& stream, const Method& run,
                                 QuickRuns& quick, const grpc::CallbackServerContext& context);

  RunStreamReactor(Frontend& frontend, const Method& stream, const Method& run, QuickRuns& quick,
                   const grpc::CallbackServerContext& context);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override { self_.reset(); }

 private:
  void Answer(const v1::RunStreamRequest& request);
  void Close();
  // Continues whatever may go on now: the next read, the next write, the end. Takes the lock over.
  void Advance(std::unique_lock<std::mutex> lock);

  std::shared_ptr<RunStreamReactor> self_;
  Call call_;
  const Method& run_;
  QuickRuns& quick_;
  std::mutex mutex_;
  v1::RunStreamRequest incoming_;
  std::deque<v1::RunStreamResponse> answers_;  // the front is being written while writing_
  uint32_t running_ = 0;
  bool reading_ = false;
  bool writing_ = false;
  bool last_read_ = false;
  bool broken_ = false;
  bool closing_ = false;
  bool finished_ = false;
  absl::Status refused_;  // what was read last, when it was no request
  std::optional<std::stop_callback<std::function<void()>>> on_closing_;
};

}  // namespace rlx::server
