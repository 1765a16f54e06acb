// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/data.h"

#include "runtime/base/checked.h"
#include "runtime/base/status.h"

namespace rlx::onnx {
namespace {

constexpr int32_t kExternal = 1;  // TensorProto.data_location

absl::Status ReadPlace(const TensorProto& tensor, TensorData& out) {
  out.in_file = true;
  bool has_length = false;
  for (const StringEntry& entry : tensor.external_data()) {
    if (entry.key() == "location") {
      out.location = entry.value();
    } else if (entry.key() == "offset" || entry.key() == "length") {
      const auto number = ParseInt(entry.value());
      if (!number || *number < 0)
        return InvalidArgument("external ", entry.key(), " \"", entry.value(), "\" is no size");
      (entry.key() == "offset" ? out.offset : out.length) = static_cast<uint64_t>(*number);
      has_length |= entry.key() == "length";
    }
  }
  if (out.location.empty()) return InvalidArgument("its data is external and has no location");
  const auto bits = CheckedMul<int64_t>(out.count, out.element->bits);
  if (!bits) return InvalidArgument("its size overflows");
  if (!has_length) out.length = (static_cast<uint64_t>(*bits) + 7) / 8;
  return absl::OkStatus();
}

// Those of a 4 or 2 bit type share bytes, the first element lowest.
int64_t Unpacked(std::string_view bytes, int64_t k, const ElementInfo& element) {
  const int per_byte = 8 / element.bits;
  const auto byte = static_cast<uint8_t>(bytes[static_cast<size_t>(k / per_byte)]);
  const int low = byte >> (k % per_byte * element.bits) & ((1 << element.bits) - 1);
  const bool negative = element.dtype == DType::kI8 && (low >> (element.bits - 1) & 1) != 0;
  return negative ? low - (1 << element.bits) : low;
}

HostTensor Widen(std::string_view bytes, const TensorData& data) {
  std::vector<int64_t> values(static_cast<size_t>(data.count));
  for (int64_t k = 0; k < data.count; ++k) {
    const auto at = static_cast<size_t>(k);
    if (data.element->bits == 16) {
      uint16_t value = 0;
      std::memcpy(&value, bytes.data() + 2 * at, 2);
      values[at] = value;
    } else {
      values[at] = Unpacked(bytes, k, *data.element);
    }
  }
  return HostTensor::FromInts(data.element->dtype, data.dims, values);
}

template <class T, class List>
std::string Pack(const List& list) {
  std::string out;
  out.reserve(static_cast<size_t>(list.size()) * sizeof(T));
  for (const auto value : list) {
    const T narrow = static_cast<T>(value);
    out.append(reinterpret_cast<const char*>(&narrow), sizeof narrow);
  }
  return out;
}

// Elements that were written one by one, as raw_data would have them.
std::string Written(const TensorProto& tensor, const ElementInfo& element) {
  switch (element.bits) {
    case 64:
      return tensor.uint64_data_size() > 0 ? Pack<uint64_t>(tensor.uint64_data())
                                           : Pack<uint64_t>(tensor.int64_data());
    case 32:
      return tensor.uint64_data_size() > 0 ? Pack<uint32_t>(tensor.uint64_data())
                                           : Pack<uint32_t>(tensor.int32_data());
    case 16:
      return Pack<uint16_t>(tensor.int32_data());
    default:
      return Pack<uint8_t>(tensor.int32_data());
  }
}

absl::StatusOr<SharedBytes> BytesOf(const TensorProto& tensor, const TensorData& data,
                                    const SharedBytes& model, const ExternalFiles& external) {
  if (!data.in_file) return SharedBytes(Written(tensor, *data.element));
  if (data.location.empty()) return model.Slice(data.offset, data.length);
  if (!external) return NotFound("its file \"", data.location, "\" is not given");
  RLX_ASSIGN(const SharedBytes file, external(data.location));
  if (data.offset > file.size() || data.length > file.size() - data.offset)
    return OutOfRange("[", data.offset, ", +", data.length, ") is beyond the ", file.size(),
                      " bytes of \"", data.location, "\"");
  return file.Slice(data.offset, data.length);
}

}  // namespace

bool TensorData::is_slice() const {
  return in_file && element->bits == 8 * ByteWidth(element->dtype);
}

TensorType TensorData::type() const { return {element->dtype, Shape(dims.begin(), dims.end())}; }

absl::StatusOr<TensorData> Describe(const TensorProto& tensor) {
  TensorData out;
  out.element = Find(tensor.data_type());
  if (out.element == nullptr)
    return Unimplemented("element type ", Name(static_cast<Element>(tensor.data_type())), " (",
                         tensor.data_type(), ") is not supported");
  out.dims.assign(tensor.dims().begin(), tensor.dims().end());
  for (const int64_t dim : out.dims)
    if (dim < 0) return InvalidArgument("extent ", dim, " is negative");
  const auto count = CheckedProduct(out.dims);
  if (!count || !CheckedMul<int64_t>(*count, 8)) return InvalidArgument("its size overflows");
  out.count = *count;
  if (tensor.data_location() == kExternal) {
    RLX_TRY(ReadPlace(tensor, out));
  } else if (tensor.has_payload_offset() && (tensor.payload_length() > 0 || out.count == 0)) {
    out.in_file = true;
    out.offset = tensor.payload_offset();
    out.length = tensor.payload_length();
  }
  return out;
}

absl::Status CheckLength(const TensorData& data) {
  const uint64_t needed =
      (static_cast<uint64_t>(data.count) * static_cast<uint64_t>(data.element->bits) + 7) / 8;
  if (data.length == needed) return absl::OkStatus();
  return InvalidArgument(data.type(), " (", data.element->name, ") needs ", needed,
                         " bytes of data, has ", data.length);
}

absl::StatusOr<HostTensor> Read(const TensorProto& tensor, const SharedBytes& model,
                                const ExternalFiles& external) {
  RLX_ASSIGN(const TensorData data, Describe(tensor));
  RLX_ASSIGN(SharedBytes bytes, BytesOf(tensor, data, model, external));
  TensorData got = data;
  got.length = bytes.size();
  RLX_TRY(CheckLength(got));
  if (data.element->bits != 8 * ByteWidth(data.element->dtype)) return Widen(bytes.view(), data);
  return HostTensor::Create(data.element->dtype, data.dims, std::move(bytes));
}

}  // namespace rlx::onnx
