// SPDX-License-Identifier: Apache-2.0
#include "server/infer_inputs.h"

#include <algorithm>
#include <bit>

#include "runtime/base/checked.h"
#include "runtime/base/fault.h"
#include "server/region_parameters.h"
#include "server/shared_memory.h"

namespace rlx::server {
namespace {

using inference::InferParameter;
using inference::InferTensorContents;
using inference::ModelInferRequest;
using Input = ModelInferRequest::InferInputTensor;

// A client's word in a message.
std::string_view Short(std::string_view word) { return word.substr(0, 64); }

template <class Dims>
std::string DimsText(const Dims& dims) {
  return Cat("[", Join(dims, ","), "]");
}

// ` for input 'x' for model 'm'`, as most of Triton's messages go on.
std::string Where(const Input& input, const ServedModel& model) {
  return Cat("'", Short(input.name()), "' for model '", model.name(), "'");
}

template <class T>
std::span<const uint8_t> BytesOf(const google::protobuf::RepeatedField<T>& field) {
  return {reinterpret_cast<const uint8_t*>(field.data()),
          static_cast<size_t>(field.size()) * sizeof(T)};
}

// Elements that travel wider than they are. Nothing when one does not fit.
template <class To, class From>
bool Narrow(const google::protobuf::RepeatedField<From>& from, std::string& out) {
  out.resize(static_cast<size_t>(from.size()) * sizeof(To));
  for (int i = 0; i < from.size(); ++i) {
    const auto value = CheckedCast<To>(from[i]);
    if (!value) return false;
    std::memcpy(out.data() + static_cast<size_t>(i) * sizeof(To), &*value, sizeof(To));
  }
  return true;
}

// The fields that hold anything.
int FieldsUsed(const InferTensorContents& c) {
  return !c.bool_contents().empty() + !c.int_contents().empty() + !c.int64_contents().empty() +
         !c.uint_contents().empty() + !c.uint64_contents().empty() + !c.fp32_contents().empty() +
         !c.fp64_contents().empty() + !c.bytes_contents().empty();
}

// The elements from the field of their type, which is the only one that may hold any. Nothing where
// another does, or where an element is out of range. Memory is like the wire: little-endian.
std::optional<std::span<const uint8_t>> Typed(const InferTensorContents& c, DType dtype,
                                              std::deque<std::string>& kept) {
  std::span<const uint8_t> bytes;
  const auto narrow = [&](const auto& field, auto as) {
    std::string& out = kept.emplace_back();
    if (!Narrow<decltype(as)>(field, out)) return false;
    bytes = {reinterpret_cast<const uint8_t*>(out.data()), out.size()};
    return true;
  };
  switch (dtype) {
    case DType::kBool:
      bytes = BytesOf(c.bool_contents());
      break;
    case DType::kI8:
      if (!narrow(c.int_contents(), int8_t{})) return std::nullopt;
      break;
    case DType::kI16:
      if (!narrow(c.int_contents(), int16_t{})) return std::nullopt;
      break;
    case DType::kI32:
      bytes = BytesOf(c.int_contents());
      break;
    case DType::kI64:
      bytes = BytesOf(c.int64_contents());
      break;
    case DType::kU8:
      if (!narrow(c.uint_contents(), uint8_t{})) return std::nullopt;
      break;
    case DType::kU32:
      bytes = BytesOf(c.uint_contents());
      break;
    case DType::kF32:
      bytes = BytesOf(c.fp32_contents());
      break;
    case DType::kF64:
      bytes = BytesOf(c.fp64_contents());
      break;
    default:  // FP16 and BF16 travel raw
      break;
  }
  if (FieldsUsed(c) != (bytes.empty() ? 0 : 1)) return std::nullopt;
  return bytes;
}

absl::Status CheckType(const ServedModel& model, const ServedTensor& declared, const Input& input) {
  if (input.datatype() == declared.datatype) return absl::OkStatus();
  return InvalidArgument("inference input '", Short(input.name()), "' data-type is '",
                         Short(input.datatype()), "', but model '", model.name(), "' expects '",
                         declared.datatype, "'");
}

absl::Status WrongSize(const ServedModel& model, const Input& input, uint64_t expected,
                       uint64_t got) {
  return InvalidArgument("input byte size mismatch for input ", Where(input, model), ". Expected ",
                         expected, ", got ", got);
}

// Whole: what a batch and every other extent must be is in `declared`.
absl::Status CheckShape(const ServedModel& model, const ServedTensor& declared,
                        const Input& input) {
  if (std::ranges::any_of(input.shape(), [](int64_t extent) { return extent < 0; })) {
    return InvalidArgument("All input dimensions should be specified for input ",
                           Where(input, model), ", got ", DimsText(input.shape()));
  }
  const bool fits = std::ranges::equal(
      declared.dims, input.shape(),
      [](int64_t wanted, int64_t given) { return wanted == -1 || wanted == given; });
  if (fits) return absl::OkStatus();
  return InvalidArgument("unexpected shape for input ", Where(input, model), ". Expected ",
                         DimsText(declared.dims), ", got ", DimsText(input.shape()));
}

absl::Status CheckBatch(const ServedModel& model, const Input& input, int64_t& batch) {
  const int64_t most = model.config().max_batch_size();
  if (most == 0) return absl::OkStatus();
  if (input.shape(0) < 1 || input.shape(0) > most) {
    return InvalidArgument("inference request batch-size must be <= ", most, " for '", model.name(),
                           "', and at least 1");
  }
  if (batch == -1) batch = input.shape(0);
  if (batch == input.shape(0)) return absl::OkStatus();
  return InvalidArgument("input '", Short(input.name()),
                         "' batch size does not match other inputs for '", model.name(), "'");
}

absl::StatusOr<uint64_t> ByteSize(const ServedModel& model, const ServedTensor& declared,
                                  const Input& input) {
  const auto count = CheckedProduct(input.shape());
  const auto bytes = count ? CheckedMul<int64_t>(*count, ByteWidth(declared.dtype)) : std::nullopt;
  if (bytes) return static_cast<uint64_t>(*bytes);
  return InvalidArgument("the size of input ", Where(input, model), " overflows");
}

absl::Status Missing(const ServedModel& model, const ModelInferRequest& request) {
  std::vector<std::string_view> got, missing;
  for (const Input& input : request.inputs()) got.push_back(Short(input.name()));
  for (const ServedTensor& declared : model.inputs()) {
    const bool here = std::ranges::any_of(
        request.inputs(), [&](const Input& input) { return input.name() == declared.name; });
    if (!here) missing.push_back(declared.name);
  }
  return InvalidArgument("expected ", model.inputs().size(), " inputs but got ", got.size(),
                         " inputs for model '", model.name(), "'. Got input(s) ",
                         DimsText(std::span(got).first(std::min<size_t>(got.size(), 16))),
                         ", but missing required input(s) ", DimsText(missing));
}

}  // namespace

absl::Status InferInputs::Read(const ServedModel& model, const ModelInferRequest& request,
                               const SharedMemory& memory, uint64_t max_copied) {
  const int raws = request.raw_input_contents_size();
  if (static_cast<size_t>(request.inputs_size()) < model.inputs().size()) {
    return Missing(model, request);
  }
  inputs_.reserve(model.inputs().size());
  int next_raw = 0;
  for (const Tensor& input : request.inputs()) {
    const auto declared = std::ranges::find(model.inputs(), input.name(), &ServedTensor::name);
    if (declared == model.inputs().end()) {
      return InvalidArgument("unexpected inference input ", Where(input, model));
    }
    if (std::ranges::count(inputs_, declared->name, &engine::NamedInput::name) > 0) {
      return InvalidArgument("input '", declared->name, "' already exists in request");
    }
    RLX_TRY(CheckType(model, *declared, input));
    RLX_TRY(CheckShape(model, *declared, input));
    RLX_TRY(CheckBatch(model, input, batch_));
    RLX_ASSIGN(const uint64_t size, ByteSize(model, *declared, input));
    RLX_ASSIGN(const std::optional<RegionSlice> slice, RegionOf(input.parameters()));
    std::span<const uint8_t> bytes;
    if (slice) {
      RLX_ASSIGN(bytes, Copy(model, input, *slice, memory, size, max_copied));
    } else {
      const std::string* const raw =
          next_raw < raws ? &request.raw_input_contents(next_raw++) : nullptr;
      RLX_ASSIGN(bytes, Bytes(model, *declared, input, raw, size));
    }
    if (bytes.size() != size) return WrongSize(model, input, size, bytes.size());
    inputs_.push_back({.name = declared->name,
                       .dtype = declared->dtype,
                       .dims = {input.shape().data(), static_cast<size_t>(input.shape_size())},
                       .bytes = bytes});
  }
  if (next_raw == raws) return absl::OkStatus();
  return InvalidArgument("expected ", next_raw, " raw_input_contents, one for each input, but got ",
                         raws);
}

absl::StatusOr<std::span<const uint8_t>> InferInputs::Bytes(const ServedModel& model,
                                                            const ServedTensor& declared,
                                                            const Tensor& input,
                                                            const std::string* raw, uint64_t size) {
  if (raw != nullptr) {
    if (input.has_contents()) {
      return InvalidArgument("contents field must not be specified when using raw_input_contents ",
                             "for ", Where(input, model));
    }
    return std::span(reinterpret_cast<const uint8_t*>(raw->data()), raw->size());
  }
  if (!input.has_contents() && size > 0) {
    return InvalidArgument("unable to find data for input tensor ", Where(input, model),
                           " in request");
  }
  const auto typed = Typed(input.contents(), declared.dtype, narrowed_);
  if (typed) return *typed;
  return InvalidArgument("unexpected explicit tensor data for input tensor ", Where(input, model),
                         " of type '", declared.datatype, "'");
}

absl::StatusOr<std::span<const uint8_t>> InferInputs::Copy(const ServedModel& model,
                                                           const Tensor& input,
                                                           const RegionSlice& slice,
                                                           const SharedMemory& memory,
                                                           uint64_t size, uint64_t max_copied) {
  if (input.has_contents()) {
    return InvalidArgument("unexpected 'content' provided when using shared memory for input ",
                           Where(input, model));
  }
  if (slice.bytes != size) return WrongSize(model, input, size, slice.bytes);
  RLX_TRY(memory.Check(slice.region, slice.offset, slice.bytes));
  if (size > max_copied - copied_bytes_) {
    return WithLimit(
        ResourceExhausted("the inputs in shared memory exceed max_message_bytes ", max_copied),
        "max_message_bytes", max_copied);
  }
  copied_bytes_ += size;
  copied_.push_back(std::make_unique_for_overwrite<uint8_t[]>(size));
  const std::span<uint8_t> copy(copied_.back().get(), size);
  RLX_TRY(memory.Read(slice.region, slice.offset, copy));
  return copy;
}

uint64_t InferInputs::bytes() const {
  uint64_t sum = 0;
  for (const engine::NamedInput& input : inputs_) sum += input.bytes.size();
  return sum;
}

const engine::NamedInput& InferInputs::Get(std::string_view name) const {
  return *std::ranges::find(inputs_, name, &engine::NamedInput::name);
}

uint64_t InferInputs::LatencyKey(const ServedModel& model, int64_t inferences) const {
  const uint64_t bucket = std::bit_ceil(static_cast<uint64_t>(inferences));
  uint64_t key = LatencyTable::Fold(LatencyTable::kNoShape, static_cast<int64_t>(bucket));
  const size_t first = batch_ == -1 ? 0 : 1;
  for (const ServedTensor& declared : model.inputs()) {
    key = LatencyTable::Fold(key, Get(declared.name).dims.subspan(first));
  }
  return key;
}

// Empty for 0 and for an empty word, which name no sequence.
std::string SequenceId(const InferParameter& value) {
  if (value.has_string_param()) {
    return value.string_param().empty() ? "" : Cat("\"", value.string_param(), "\"");
  }
  const std::string number =
      value.has_uint64_param() ? Cat(value.uint64_param()) : Cat(value.int64_param());
  return number == "0" ? "" : number;
}

absl::StatusOr<QueueParameters> ReadParameters(const ModelInferRequest& request) {
  QueueParameters out;
  for (const auto& [name, value] : request.parameters()) {
    const auto kind = value.parameter_choice_case();
    if (name == "sequence_start" || name == "sequence_end" ||
        name == "triton_enable_empty_final_response") {
      if (kind != InferParameter::kBoolParam) return WrongParameterType(name);
      out.sequence_start |= name == "sequence_start" && value.bool_param();
      out.sequence_end |= name == "sequence_end" && value.bool_param();
    } else if (name == "sequence_id") {
      if (kind != InferParameter::kInt64Param && kind != InferParameter::kUint64Param &&
          kind != InferParameter::kStringParam) {
        return WrongParameterType(name);
      }
      out.sequence_id = SequenceId(value);
    } else if (name == "priority" || name == "timeout") {
      if (kind != InferParameter::kInt64Param && kind != InferParameter::kUint64Param) {
        return WrongParameterType(name);
      }
      if (value.int64_param() < 0) {
        return InvalidArgument("invalid value for '", name, "': ", value.int64_param(),
                               " is below 0");
      }
      const uint64_t number = kind == InferParameter::kUint64Param
                                  ? value.uint64_param()
                                  : static_cast<uint64_t>(value.int64_param());
      (name == "priority" ? out.priority : out.timeout_micros) = number;
    } else if (name.starts_with("triton_")) {
      return InvalidArgument("parameter keys starting with 'triton_' are reserved, and '",
                             Short(name), "' is none that is known");
    }
  }
  return out;
}

}  // namespace rlx::server
