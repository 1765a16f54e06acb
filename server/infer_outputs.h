// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>

#include "inference/grpc_service.pb.h"
#include "server/models/served_model.h"
#include "server/region_parameters.h"

namespace rlx::server {

class SharedMemory;

// The outputs that a request wants, and where they go. Refers to the request.
class WantedOutputs {
 public:
  absl::Status Read(const ServedModel& model, const inference::ModelInferRequest& request,
                    const SharedMemory& memory);

  // In the order asked for; none: all.
  const std::vector<std::string_view>& names() const { return names_; }
  bool Has(std::string_view name) const;
  // Of the output at `position`; null: it goes into the message.
  const RegionSlice* slice(size_t position) const {
    const bool shared = position < slices_.size() && slices_[position];
    return shared ? &*slices_[position] : nullptr;
  }

 private:
  std::vector<std::string_view> names_;
  std::vector<std::optional<RegionSlice>> slices_;
};

// Memory for outputs while they are made: the message's own, or a copy of what is to go into shared
// memory, which the device never writes to.
class OutputBuffers {
 public:
  // All outlive it. `most`: bytes of all outputs together.
  OutputBuffers(const WantedOutputs& wanted, uint64_t most, inference::ModelInferResponse& response)
      : wanted_(wanted), most_(most), response_(response) {}

  // In the order asked for. Null: why_not() says why.
  uint8_t* Make(const engine::OutputSpec& spec);
  const absl::Status& why_not() const { return why_not_; }
  absl::Status Deliver(const SharedMemory& memory) const;

 private:
  struct Shared {
    const RegionSlice* slice;
    std::unique_ptr<uint8_t[]> bytes;
    size_t size;
  };

  const WantedOutputs& wanted_;
  const uint64_t most_;
  inference::ModelInferResponse& response_;
  uint64_t total_ = 0;
  absl::Status why_not_;
  std::vector<Shared> shared_;
};

}  // namespace rlx::server
