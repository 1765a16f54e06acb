// SPDX-License-Identifier: Apache-2.0
#include "server/infer_outputs.h"

#include <algorithm>

#include "runtime/base/fault.h"
#include "server/models/config.h"
#include "server/shared_memory.h"

namespace rlx::server {
namespace {

void SliceToWire(const RegionSlice& slice, uint64_t bytes, InferParameters& out) {
  out["shared_memory_region"].set_string_param(std::string(slice.region));
  out["shared_memory_byte_size"].set_int64_param(static_cast<int64_t>(bytes));
  if (slice.offset == 0) return;
  out["shared_memory_offset"].set_int64_param(static_cast<int64_t>(slice.offset));
}

}  // namespace

absl::Status WantedOutputs::Read(const ServedModel& model,
                                 const inference::ModelInferRequest& request,
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

bool WantedOutputs::Has(std::string_view name) const {
  return names_.empty() || std::ranges::count(names_, name) > 0;
}

uint8_t* OutputBuffers::Make(const engine::OutputSpec& spec) {
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

absl::Status OutputBuffers::Deliver(const SharedMemory& memory) const {
  for (const Shared& output : shared_) {
    RLX_TRY(memory.Write(output.slice->region, output.slice->offset,
                         {output.bytes.get(), output.size}));
  }
  return absl::OkStatus();
}

}  // namespace rlx::server
