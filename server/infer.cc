// SPDX-License-Identifier: Apache-2.0
#include "server/infer.h"

#include <algorithm>

#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "server/infer_inputs.h"
#include "server/models/config.h"
#include "server/region_parameters.h"
#include "server/shared_memory.h"

namespace rlx::server {
namespace {

using inference::ModelInferRequest;
using inference::ModelInferResponse;

// The outputs that a request wants, and where they go.
class WantedOutputs {
 public:
  absl::Status Read(const ServedModel& model, const ModelInferRequest& request,
                    const SharedMemory& memory) {
    for (const auto& output : request.outputs()) {
      const std::string_view name = output.name();
      if (std::ranges::find(model.outputs(), name, &ServedTensor::name) == model.outputs().end()) {
        return InvalidArgument("unexpected inference output '", name.substr(0, 64), "' for model '",
                               model.name(), "'");
      }
      if (std::ranges::count(names_, name) > 0) {
        return InvalidArgument("output '", name, "' already exists in request");
      }
      if (output.parameters().contains("classification")) {
        return Unimplemented("classification is not served: output '", name, "'");
      }
      RLX_ASSIGN(const auto slice, RegionOf(output.parameters()));
      if (slice) RLX_TRY(memory.Check(slice->region, slice->offset, slice->bytes));
      names_.push_back(name);
      slices_.push_back(slice);
    }
    return absl::OkStatus();
  }

  const std::vector<std::string_view>& names() const { return names_; }
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
  OutputBuffers(const WantedOutputs& wanted, uint64_t most, ModelInferResponse& response)
      : wanted_(wanted), most_(most), response_(response) {}

  uint8_t* Make(const engine::OutputSpec& spec) {
    total_ += spec.bytes;  // as in RunOnWire
    if (total_ > most_) {
      why_not_ = WithLimit(ResourceExhausted("the outputs exceed max_message_bytes ", most_),
                           "max_message_bytes", most_);
      return nullptr;
    }
    auto& to = *response_.add_outputs();
    to.set_name(std::string(spec.name));
    to.set_datatype(std::string(KserveName(spec.type.dtype)));
    for (const Dim& dim : spec.type.shape) to.add_shape(dim.value());
    std::string& bytes = *response_.add_raw_output_contents();
    const RegionSlice* const slice = wanted_.slice(spec.position);
    if (slice == nullptr) {
      bytes.resize(spec.bytes);
      return reinterpret_cast<uint8_t*>(bytes.data());
    }
    if (spec.bytes > slice->bytes) {
      why_not_ =
          InvalidArgument("shared memory size specified with the request for output '", spec.name,
                          "' (", slice->bytes, " bytes) should be at least ", spec.bytes, " bytes");
      return nullptr;
    }
    SliceToWire(*slice, spec.bytes, *to.mutable_parameters());
    shared_.push_back({slice, std::make_unique_for_overwrite<uint8_t[]>(spec.bytes), spec.bytes});
    return shared_.back().bytes.get();
  }

  // Why Make gave none, or OK.
  const absl::Status& why_not() const { return why_not_; }

  absl::Status Deliver(const SharedMemory& memory) const {
    for (const Shared& output : shared_) {
      RLX_TRY(memory.Write(output.slice->region, output.slice->offset,
                           {output.bytes.get(), output.size}));
    }
    return absl::OkStatus();
  }

 private:
  struct Shared {
    const RegionSlice* slice;
    std::unique_ptr<uint8_t[]> bytes;
    size_t size;
  };
  static void SliceToWire(const RegionSlice& slice, uint64_t bytes, InferParameters& out) {
    out["shared_memory_region"].set_string_param(std::string(slice.region));
    out["shared_memory_byte_size"].set_int64_param(static_cast<int64_t>(bytes));
    if (slice.offset == 0) return;
    out["shared_memory_offset"].set_int64_param(static_cast<int64_t>(slice.offset));
  }

  const WantedOutputs& wanted_;
  const uint64_t most_;
  ModelInferResponse& response_;
  uint64_t total_ = 0;
  absl::Status why_not_;
  std::vector<Shared> shared_;
};

absl::Status Infer(Frontend& frontend, const ServedModel& model, const SharedMemory& shared,
                   const ModelInferRequest& request, const CancelToken& cancel,
                   ModelInferResponse& response) {
  const double start = MonotonicSeconds();
  const uint64_t most = frontend.limits.max_message_bytes;
  RLX_TRY(CheckInferParameters(request));
  InferInputs inputs;
  RLX_TRY(inputs.Read(model, request, shared, most));
  WantedOutputs wanted;
  RLX_TRY(wanted.Read(model, request, shared));
  const double read = MonotonicSeconds();
  OutputBuffers buffers(wanted, most, response);
  const auto memory = [&](const engine::OutputSpec& spec) { return buffers.Make(spec); };
  const auto timing =
      frontend.engine.Run(ServedModel::Owner(),
                          {model.handle(), inputs.all(), wanted.names(), nullptr}, memory, cancel);
  absl::Status status = buffers.why_not().ok() ? timing.status() : buffers.why_not();
  if (status.ok()) status = buffers.Deliver(shared);
  if (!status.ok()) {
    response.Clear();
    return status;
  }
  response.set_model_name(model.name());
  response.set_model_version(model.version_text());
  response.set_id(request.id());
  ModelStats& stats = model.stats();
  stats.input.Add(read - start);
  stats.queue.Add(timing->queue_seconds);
  stats.infer.Add(timing->compute_seconds);
  stats.output.Add(
      std::max(0.0, MonotonicSeconds() - read - timing->queue_seconds - timing->compute_seconds));
  stats.inferences.fetch_add(static_cast<uint64_t>(inputs.batch()), std::memory_order_relaxed);
  return absl::OkStatus();
}

}  // namespace

absl::Status InferOnWire(Frontend& frontend, const ServedModel& model, const SharedMemory& shared,
                         const ModelInferRequest& request, const CancelToken& cancel,
                         ModelInferResponse& response) {
  const double start = MonotonicSeconds();
  absl::Status status = Infer(frontend, model, shared, request, cancel, response);
  ModelStats& stats = model.stats();
  (status.ok() ? stats.success : stats.fail).Add(MonotonicSeconds() - start);
  stats.last_ms.store(static_cast<uint64_t>(WallSeconds() * 1e3), std::memory_order_relaxed);
  return status;
}

std::string_view SessionName(const ServedModel& model) {
  const auto& bytes = model.handle().bytes;
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace rlx::server
