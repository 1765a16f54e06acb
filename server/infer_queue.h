// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "inference/grpc_service.pb.h"
#include "server/frontend.h"
#include "server/models/store.h"

namespace rlx::server {

struct Batch;
class SharedMemory;

// One ModelInfer of a model with a queue: InferOnWire, but for when `done` is called with what
// became of it: once, by any thread, maybe before this returns.
struct QueuedInfer {
  ModelStore::Served model;
  const SharedMemory& shared;
  const inference::ModelInferRequest& request;  // these two stay until `done`
  inference::ModelInferResponse& response;
  CancelToken cancel;
  std::function<void(absl::Status)> done;
};
// Reads and checks it, and hands it to the queue. Does not block.
void QueueInfer(Frontend& frontend, QueuedInfer infer);

// Runs requests that QueueInfer queued, as one run where they are several. One that makes such a
// run fail fails alone: then each is run by itself.
void RunQueued(Frontend& frontend, Batch& batch);

}  // namespace rlx::server
