// SPDX-License-Identifier: Apache-2.0
#include "runtime/tensor/host_tensor.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "runtime/base/check.h"
#include "runtime/base/checked.h"
#include "runtime/base/status.h"
#include "runtime/tensor/float8.h"

namespace rlx {
namespace {

static_assert(std::endian::native == std::endian::little, "payloads are little-endian");

TensorType StaticType(DType dtype, const std::vector<int64_t>& dims) {
  return {dtype, Shape(dims.begin(), dims.end())};
}

// Elements as stored; C64 is stored as twice as many floats.
template <class Stored, class Value, class Convert>
SharedBytes Pack(const std::vector<Value>& values, Convert convert) {
  std::string bytes(values.size() * sizeof(Stored), '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    const Stored stored = convert(values[i]);
    std::memcpy(bytes.data() + i * sizeof(Stored), &stored, sizeof(Stored));
  }
  return SharedBytes(std::move(bytes));
}

template <class Stored, class Value, class Convert>
std::vector<Value> Unpack(const SharedBytes& bytes, Convert convert) {
  std::vector<Value> values(bytes.size() / sizeof(Stored));
  for (size_t i = 0; i < values.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    values[i] = convert(stored);
  }
  return values;
}

struct IntRange {
  int64_t low, high;
};

IntRange RangeOf(DType dtype) {
  if (dtype == DType::kBool) return {0, 1};
  const int bits = 8 * ByteWidth(dtype);
  if (!Info(dtype).is_signed) return {0, (int64_t{1} << bits) - 1};
  const int64_t high = static_cast<int64_t>(~uint64_t{0} >> (65 - bits));
  return {-high - 1, high};
}

// Significant bits, and the exponent of the least positive number's unit.
struct FloatFormat {
  int precision, min_exponent;
  double max;
};

double RoundToFormat(const FloatFormat& format, double value) {
  if (value == 0 || !std::isfinite(value)) return value;
  int exponent;
  std::frexp(value, &exponent);  // |value| in [2^(exponent-1), 2^exponent)
  const int unit = std::max(exponent - format.precision, format.min_exponent);
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(value, -unit)), unit);
  if (std::abs(rounded) > format.max) return std::copysign(INFINITY, value);
  return rounded == 0 ? std::copysign(0.0, value) : rounded;
}

constexpr FloatFormat kF16Format = {11, -24, 65504.0};
constexpr FloatFormat kBF16Format = {8, -133, 3.3895313892515355e38};

}  // namespace

absl::StatusOr<HostTensor> HostTensor::Create(DType dtype, std::vector<int64_t> dims,
                                              SharedBytes bytes) {
  for (int64_t dim : dims)
    if (dim < 0) return InvalidArgument("extent ", dim, " is negative");
  const TensorType type = StaticType(dtype, dims);
  const auto expected = type.ByteSize();
  if (!expected) return InvalidArgument("the size of ", type, " overflows");
  if (static_cast<uint64_t>(*expected) != bytes.size())
    return InvalidArgument(type, " needs ", *expected, " bytes, got ", bytes.size());
  HostTensor tensor;
  tensor.dtype_ = dtype;
  tensor.dims_ = std::move(dims);
  tensor.bytes_ = std::move(bytes);
  return tensor;
}

HostTensor HostTensor::FromDoubles(DType dtype, std::vector<int64_t> dims,
                                   const std::vector<double>& values) {
  if (IsExact(dtype)) {
    std::vector<int64_t> ints;
    ints.reserve(values.size());
    for (double value : values) ints.push_back(SaturateToInt(dtype, std::nearbyint(value)));
    return FromInts(dtype, std::move(dims), ints);
  }
  SharedBytes bytes;
  switch (dtype) {
    case DType::kBF16:
      bytes = Pack<uint16_t>(
          values, [](double v) { return F32ToBF16(static_cast<float>(RoundTo(DType::kBF16, v))); });
      break;
    case DType::kF16:
      bytes = Pack<uint16_t>(
          values, [](double v) { return F32ToF16(static_cast<float>(RoundTo(DType::kF16, v))); });
      break;
    case DType::kFp8E4M3:
      bytes = Pack<uint8_t>(values, ToFp8E4M3);
      break;
    case DType::kFp8E5M2:
      bytes = Pack<uint8_t>(values, ToFp8E5M2);
      break;
    case DType::kF64:
      bytes = Pack<double>(values, [](double v) { return v; });
      break;
    default:  // f32, c64
      bytes = Pack<float>(values, [](double v) { return static_cast<float>(v); });
  }
  auto tensor = Create(dtype, std::move(dims), std::move(bytes));
  CHECK(tensor.ok(), Message(tensor.status()));
  return *std::move(tensor);
}

HostTensor HostTensor::FromInts(DType dtype, std::vector<int64_t> dims,
                                const std::vector<int64_t>& values) {
  if (!IsExact(dtype)) {
    std::vector<double> doubles;
    for (int64_t value : values) {
      doubles.push_back(static_cast<double>(value));
      if (dtype == DType::kC64) doubles.push_back(0);
    }
    return FromDoubles(dtype, std::move(dims), doubles);
  }
  const auto [low, high] = RangeOf(dtype);
  const auto clamp = [low, high](int64_t v) { return std::min(std::max(v, low), high); };
  SharedBytes bytes;
  switch (ByteWidth(dtype)) {
    case 1:
      bytes = Pack<uint8_t>(values, clamp);
      break;
    case 2:
      bytes = Pack<uint16_t>(values, clamp);
      break;
    case 4:
      bytes = Pack<uint32_t>(values, clamp);
      break;
    default:
      bytes = Pack<int64_t>(values, clamp);
  }
  auto tensor = Create(dtype, std::move(dims), std::move(bytes));
  CHECK(tensor.ok(), Message(tensor.status()));
  return *std::move(tensor);
}

int64_t HostTensor::size() const {
  int64_t elements = 1;  // Create checked the product
  for (int64_t dim : dims_) elements *= dim;
  return elements;
}

TensorType HostTensor::type() const { return StaticType(dtype_, dims_); }

std::vector<double> HostTensor::ToDoubles() const {
  const auto identity = [](auto v) { return static_cast<double>(v); };
  switch (dtype_) {
    case DType::kBF16:
      return Unpack<uint16_t, double>(bytes_, [](uint16_t v) { return BF16ToF32(v); });
    case DType::kF16:
      return Unpack<uint16_t, double>(bytes_, [](uint16_t v) { return F16ToF32(v); });
    case DType::kFp8E4M3:
      return Unpack<uint8_t, double>(bytes_, Fp8E4M3ToF32);
    case DType::kFp8E5M2:
      return Unpack<uint8_t, double>(bytes_, Fp8E5M2ToF32);
    case DType::kF32:
    case DType::kC64:
      return Unpack<float, double>(bytes_, identity);
    case DType::kF64:
      return Unpack<double, double>(bytes_, identity);
    default: {
      const std::vector<int64_t> ints = ToInts();
      return {ints.begin(), ints.end()};
    }
  }
}

std::vector<int64_t> HostTensor::ToInts() const {
  CHECK(IsExact(dtype_), "ToInts of ", Name(dtype_));
  const auto identity = [](auto v) { return static_cast<int64_t>(v); };
  switch (dtype_) {
    case DType::kI8:
      return Unpack<int8_t, int64_t>(bytes_, identity);
    case DType::kI16:
      return Unpack<int16_t, int64_t>(bytes_, identity);
    case DType::kU32:
      return Unpack<uint32_t, int64_t>(bytes_, identity);
    case DType::kI32:
      return Unpack<int32_t, int64_t>(bytes_, identity);
    case DType::kI64:
      return Unpack<int64_t, int64_t>(bytes_, identity);
    default:  // bool, u8
      return Unpack<uint8_t, int64_t>(bytes_, identity);
  }
}

uint16_t F32ToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;                 // NaN, quiet
  if (magnitude >= 0x477ff000) return sign | 0x7c00;                // rounds past 65504
  if (magnitude < 0x38800000) {                                     // below 2^-14: subnormal
    const float units = std::bit_cast<float>(magnitude) * 0x1p24f;  // exact: a power of two
    return sign | static_cast<uint16_t>(std::nearbyint(units));
  }
  const uint32_t rebased = magnitude - (112u << 23);  // exponent bias 127 → 15
  const uint32_t rounded = rebased + 0xfff + (rebased >> 13 & 1);
  return sign | static_cast<uint16_t>(rounded >> 13);
}

float F16ToF32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = bits >> 10 & 0x1f, mantissa = bits & 0x3ff;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
  }
  const uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

uint16_t F32ToBF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float BF16ToF32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

int64_t SaturateToInt(DType dtype, double value) {
  if (std::isnan(value)) return 0;
  const auto [low, high] = RangeOf(dtype);
  if (value <= static_cast<double>(low)) return low;
  if (value >= static_cast<double>(high)) return high;
  return static_cast<int64_t>(value);
}

int64_t WrapToInt(DType dtype, int64_t value) {
  switch (dtype) {
    case DType::kBool:
      return value != 0;
    case DType::kU8:
      return static_cast<uint8_t>(value);
    case DType::kI8:
      return static_cast<int8_t>(value);
    case DType::kI16:
      return static_cast<int16_t>(value);
    case DType::kU32:
      return static_cast<uint32_t>(value);
    case DType::kI32:
      return static_cast<int32_t>(value);
    default:
      return value;
  }
}

double RoundTo(DType dtype, double value) {
  switch (dtype) {
    case DType::kBF16:
      return RoundToFormat(kBF16Format, value);
    case DType::kF16:
      return RoundToFormat(kF16Format, value);
    case DType::kFp8E4M3:
      return Fp8E4M3ToF32(ToFp8E4M3(value));
    case DType::kFp8E5M2:
      return Fp8E5M2ToF32(ToFp8E5M2(value));
    case DType::kF32:
    case DType::kC64:
      return static_cast<float>(value);
    case DType::kF64:
      return value;
    default:
      return static_cast<double>(SaturateToInt(dtype, std::nearbyint(value)));
  }
}

}  // namespace rlx
