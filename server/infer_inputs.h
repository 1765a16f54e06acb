// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <deque>
#include <memory>

#include "inference/grpc_service.pb.h"
#include "server/models/served_model.h"

namespace rlx::server {

class SharedMemory;
struct RegionSlice;

// The inputs of one ModelInfer, checked against the model. What they refer to is the request's, or
// kept here: elements of narrow integers travel as wider ones.
class InferInputs {
 public:
  // What lies in shared memory, of which there are at most `max_copied` bytes, is copied first and
  // looked at then.
  absl::Status Read(const ServedModel& model, const inference::ModelInferRequest& request,
                    const SharedMemory& memory, uint64_t max_copied);
  const std::vector<engine::NamedInput>& all() const { return inputs_; }
  // Of all of them.
  uint64_t bytes() const;
  // How many inferences the request is: its batch, or one.
  int64_t batch() const { return std::max<int64_t>(1, batch_); }
  // The input that the model's `name` is.
  const engine::NamedInput& Get(std::string_view name) const;
  // What the time of a run depends on: the extents of all inputs, in the model's order, and how
  // many such inferences it is, in powers of two.
  uint64_t LatencyKey(const ServedModel& model, int64_t inferences) const;

 private:
  using Tensor = inference::ModelInferRequest::InferInputTensor;
  // The bytes of one input of `size`, wherever they are.
  absl::StatusOr<std::span<const uint8_t>> Bytes(const ServedModel& model,
                                                 const ServedTensor& declared, const Tensor& input,
                                                 const std::string* raw, uint64_t size);
  absl::StatusOr<std::span<const uint8_t>> Copy(const ServedModel& model, const Tensor& input,
                                                const RegionSlice& slice,
                                                const SharedMemory& memory, uint64_t size,
                                                uint64_t max_copied);

  std::vector<engine::NamedInput> inputs_;
  std::deque<std::string> narrowed_;
  std::vector<std::unique_ptr<uint8_t[]>> copied_;  // from shared memory
  uint64_t copied_bytes_ = 0;
  int64_t batch_ = -1;  // of the first input, where the model has one
};

// The request's own parameters that count where the model has a queue, or sequences.
struct QueueParameters {
  uint64_t priority = 0;        // 0: the model's default
  uint64_t timeout_micros = 0;  // 0: none
  std::string sequence_id;      // a number, or a word in quotes; empty: none
  bool sequence_start = false, sequence_end = false;
};
// InvalidArgument for parameters of another type, and names that are reserved.
absl::StatusOr<QueueParameters> ReadParameters(const inference::ModelInferRequest& request);

}  // namespace rlx::server
