// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/safetensors.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <cmath>

#include "clients/rlxctl/tensor.h"

namespace rlx::ctl {
namespace {

using google::protobuf::ListValue;
using google::protobuf::Struct;
using google::protobuf::Value;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr double kMaxExact = 9007199254740992;     // 2^53: whole numbers above may be rounded ones

struct DTypeName {
  std::string_view name;
  v1::DType dtype;
};
constexpr DTypeName kDTypes[] = {
    {"BOOL", v1::DTYPE_BOOL},       {"U8", v1::DTYPE_U8},           {"I8", v1::DTYPE_I8},
    {"I16", v1::DTYPE_I16},         {"BF16", v1::DTYPE_BF16},       {"F16", v1::DTYPE_F16},
    {"U32", v1::DTYPE_U32},         {"I32", v1::DTYPE_I32},         {"I64", v1::DTYPE_I64},
    {"F32", v1::DTYPE_F32},         {"F64", v1::DTYPE_F64},         {"C64", v1::DTYPE_C64},
    {"F8_E4M3", v1::DTYPE_FP8E4M3}, {"F8_E5M2", v1::DTYPE_FP8E5M2},
};

const Value* Find(const Struct& object, const char* key) {
  const auto found = object.fields().find(key);
  return found == object.fields().end() ? nullptr : &found->second;
}

// A list of whole numbers, each at least 0.
std::optional<std::vector<int64_t>> Numbers(const Value* value) {
  if (value == nullptr || !value->has_list_value()) return std::nullopt;
  std::vector<int64_t> numbers;
  for (const Value& element : value->list_value().values()) {
    const double number = element.number_value();
    const bool whole = element.kind_case() == Value::kNumberValue && number >= 0 &&
                       number < kMaxExact && std::floor(number) == number;
    if (!whole) return std::nullopt;
    numbers.push_back(static_cast<int64_t>(number));
  }
  return numbers;
}

// `data` is where the data begins and how many bytes it has.
absl::StatusOr<TensorSlice> SliceFrom(const Value& entry, uint64_t begin, uint64_t size) {
  if (!entry.has_struct_value()) return InvalidArgument("is described by no object");
  const Value* dtype = Find(entry.struct_value(), "dtype");
  TensorSlice slice;
  for (const DTypeName& known : kDTypes) {
    if (dtype != nullptr && dtype->string_value() == known.name) slice.dtype = known.dtype;
  }
  if (slice.dtype == v1::DTYPE_UNSPECIFIED) {
    return InvalidArgument("rlxd has no element type \"",
                           dtype == nullptr ? "" : dtype->string_value(), "\"");
  }
  const auto shape = Numbers(Find(entry.struct_value(), "shape"));
  const auto offsets = Numbers(Find(entry.struct_value(), "data_offsets"));
  if (!shape || !offsets || offsets->size() != 2)
    return InvalidArgument("has no shape and data_offsets of whole numbers");
  slice.shape = *shape;
  const std::optional<uint64_t> bytes = TensorBytes(slice.dtype, slice.shape);
  const auto from = static_cast<uint64_t>(offsets->front());
  const auto to = static_cast<uint64_t>(offsets->back());
  if (to < from || to > size) {
    return InvalidArgument("bytes ", from, " to ", to, " are not in the file's ", size,
                           " bytes of data");
  }
  if (!bytes || to - from != *bytes) {
    return InvalidArgument("bytes ", from, " to ", to, " do not hold shape [",
                           Join(slice.shape, ", "), "]");
  }
  slice.offset = begin + from;
  slice.length = to - from;
  return slice;
}

}  // namespace

absl::StatusOr<std::map<std::string, TensorSlice, std::less<>>> ParseSafetensors(
    std::string_view bytes) {
  uint64_t length = 0;
  if (bytes.size() < sizeof(length)) return InvalidArgument("is no safetensors file");
  std::memcpy(&length, bytes.data(), sizeof(length));
  const std::string_view rest = bytes.substr(sizeof(length));
  if (length == 0 || length > kMaxHeaderBytes || length > rest.size())
    return InvalidArgument("is no safetensors file: a header of ", length, " bytes");
  Struct header;
  const auto parsed = google::protobuf::util::JsonStringToMessage(
      {rest.data(), static_cast<size_t>(length)}, &header);
  if (!parsed.ok()) return InvalidArgument("is no safetensors file: the header is no JSON object");
  std::map<std::string, TensorSlice, std::less<>> tensors;
  for (const auto& [name, entry] : header.fields()) {
    if (name == "__metadata__") continue;
    auto slice = SliceFrom(entry, sizeof(length) + length, rest.size() - length);
    if (!slice.ok()) return Annotate(slice.status(), "tensor \"", name, "\"");
    tensors.emplace(name, *std::move(slice));
  }
  return tensors;
}

}  // namespace rlx::ctl
