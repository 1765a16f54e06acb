// SPDX-License-Identifier: Apache-2.0
#include "server/models/sequence_plan.h"

#include <algorithm>

#include "runtime/base/status.h"
#include "server/models/config.h"

namespace rlx::server {
namespace {

using inference::ModelConfig;
using inference::ModelSequenceBatching;
using WireControl = ModelSequenceBatching::Control;

const IoEntry* Find(const std::vector<IoEntry>& entries, std::string_view name) {
  const auto found = std::ranges::find(entries, name, &IoEntry::name);
  return found == entries.end() ? nullptr : &*found;
}

// The extents of one request's part of a tensor. FailedPrecondition when one is open.
absl::StatusOr<std::vector<int64_t>> OwnDims(const IoEntry& entry, bool batched) {
  std::vector<int64_t> dims;
  for (size_t i = batched ? 1 : 0; i < entry.type.shape.size(); ++i) {
    const Dim& dim = entry.type.shape[i];
    if (!dim.is_static()) {
      return FailedPrecondition("\"", entry.name, "\" is ", entry.type, ": its size is not fixed");
    }
    dims.push_back(dim.value());
  }
  const bool has_batch = !entry.type.shape.empty() && !entry.type.shape[0].is_static();
  if (!batched || has_batch) return dims;
  return FailedPrecondition("\"", entry.name, "\" is ", entry.type, ": it has no batch");
}

template <class T>
void SetBytes(const google::protobuf::RepeatedField<T>& said, SequencePlan::Control& out) {
  const auto bytes = [](T value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof value);
  };
  out.no = bytes(said[0]);
  out.yes = bytes(said[1]);
}

// The two values of a control, of the type that they are given in.
absl::Status ReadValues(const WireControl& said, SequencePlan::Control& out) {
  const bool ints = !said.int32_false_true().empty(), floats = !said.fp32_false_true().empty(),
             bools = !said.bool_false_true().empty();
  const int size =
      said.int32_false_true_size() + said.fp32_false_true_size() + said.bool_false_true_size();
  if (ints + floats + bools != 1 || size != 2) {
    return InvalidArgument(
        "takes one of int32_false_true, fp32_false_true and bool_false_true, "
        "with two values");
  }
  const DType dtype = ints ? DType::kI32 : floats ? DType::kF32 : DType::kBool;
  if (out.dtype != dtype) {
    return FailedPrecondition("is ", out.dtype, " in the model, and its values ", dtype);
  }
  if (ints) SetBytes(said.int32_false_true(), out);
  if (floats) SetBytes(said.fp32_false_true(), out);
  if (bools) SetBytes(said.bool_false_true(), out);
  return absl::OkStatus();
}

absl::StatusOr<SequencePlan::Control> ReadControl(const std::string& name, const WireControl& said,
                                                  const BufferPlan& model, bool batched) {
  const IoEntry* entry = Find(model.inputs, name);
  if (entry == nullptr) return FailedPrecondition("the model has no such input");
  RLX_ASSIGN(const std::vector<int64_t> dims, OwnDims(*entry, batched));
  if (std::ranges::any_of(dims, [](int64_t extent) { return extent != 1; })) {
    return FailedPrecondition("is ", entry->type, " in the model, and not one element");
  }
  SequencePlan::Control out{name, said.kind(), entry->type.dtype, dims, {}, {}};
  if (said.kind() != WireControl::CONTROL_SEQUENCE_CORRID) {
    RLX_TRY(ReadValues(said, out));
    return out;
  }
  const bool whole =
      out.dtype == DType::kI64 || out.dtype == DType::kI32 || out.dtype == DType::kU32;
  if (!whole || said.data_type() != KserveType(out.dtype)) {
    return FailedPrecondition("is ", out.dtype,
                              " in the model: a correlation id is INT64, INT32 or ",
                              "UINT32 here, and data_type says which");
  }
  return out;
}

absl::StatusOr<SequencePlan::State> ReadState(const ModelSequenceBatching::State& said,
                                              const BufferPlan& model, bool batched) {
  const IoEntry* input = Find(model.inputs, said.input_name());
  const IoEntry* output = Find(model.outputs, said.output_name());
  if (input == nullptr || output == nullptr) {
    return FailedPrecondition("the model has no such ", input == nullptr ? "input" : "output");
  }
  RLX_ASSIGN(const std::vector<int64_t> dims, OwnDims(*input, batched));
  RLX_ASSIGN(const std::vector<int64_t> after, OwnDims(*output, batched));
  const DType dtype = input->type.dtype;
  if (dims != after || dtype != output->type.dtype) {
    return FailedPrecondition("is ", input->type, " and becomes ", output->type);
  }
  if (said.data_type() != inference::TYPE_INVALID && said.data_type() != KserveType(dtype)) {
    return FailedPrecondition("is ", DataType_Name(said.data_type()), " in config.pbtxt and ",
                              dtype, " in the model");
  }
  if (!said.dims().empty() && !std::ranges::equal(said.dims(), dims)) {
    return FailedPrecondition("is [", Join(said.dims(), ","), "] in config.pbtxt and [",
                              Join(dims, ","), "] in the model");
  }
  const TensorType own{dtype, Shape(dims.begin(), dims.end())};
  return SequencePlan::State{said.input_name(), said.output_name(), dtype, dims,
                             static_cast<size_t>(own.ByteSize().value_or(0))};
}

}  // namespace

bool SequencePlan::HidesInput(std::string_view name) const {
  return std::ranges::count(controls, name, &Control::input) > 0 ||
         std::ranges::count(states, name, &State::input) > 0;
}

bool SequencePlan::HidesOutput(std::string_view name) const {
  return std::ranges::count(states, name, &State::output) > 0;
}

absl::StatusOr<SequencePlan> ReadSequencePlan(const ModelConfig& config, const BufferPlan& model) {
  SequencePlan plan;
  const ModelSequenceBatching& said = config.sequence_batching();
  const bool batched = config.max_batch_size() > 0;
  for (const auto& input : said.control_input()) {
    if (input.control_size() != 1) {
      return InvalidArgument("control_input \"", input.name(), "\" takes one control");
    }
    auto control = ReadControl(input.name(), input.control(0), model, batched);
    if (!control.ok()) return Annotate(control.status(), "control_input \"", input.name(), "\"");
    if (plan.HidesInput(input.name())) {
      return InvalidArgument("control_input \"", input.name(), "\" is there twice");
    }
    plan.controls.push_back(*std::move(control));
  }
  for (const auto& one : said.state()) {
    auto state = ReadState(one, model, batched);
    if (!state.ok()) return Annotate(state.status(), "state \"", one.input_name(), "\"");
    if (plan.HidesInput(one.input_name()) || plan.HidesOutput(one.output_name())) {
      return InvalidArgument("state \"", one.input_name(), "\" is there twice");
    }
    plan.states.push_back(*std::move(state));
  }
  return plan;
}

}  // namespace rlx::server
