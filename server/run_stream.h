// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rlx/v1/sessions.grpc.pb.h"
#include "server/bidi.h"
#include "server/quick_runs.h"

namespace rlx::server {

// One RunStream. A request that fails answers with its status; the stream goes on.
class RunStreamReactor final : public BidiReactor<v1::RunStreamRequest, v1::RunStreamResponse> {
 public:
  RunStreamReactor(Frontend& frontend, const Method& stream, const Method& run, QuickRuns& quick,
                   const grpc::CallbackServerContext& context)
      : BidiReactor(frontend, stream, context), run_(run), quick_(quick) {}

 private:
  Way WayOf(const v1::RunStreamRequest& request) override;
  absl::Status Fill(const v1::RunStreamRequest& request, v1::RunStreamResponse& response) override;
  void Refuse(const v1::RunStreamRequest& request, const absl::Status& why,
              v1::RunStreamResponse& response) override;

  const Method& run_;
  QuickRuns& quick_;
};

}  // namespace rlx::server
