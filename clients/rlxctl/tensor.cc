// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/tensor.h"

#include <bit>
#include <cmath>

#include "clients/rlxctl/table.h"
#include "clients/rlxctl/words.h"
#include "runtime/base/checked.h"

namespace rlx::ctl {
namespace {

// IEEE 754 binary16 and bfloat16. Finite numbers of moderate size alone are converted to f16.
double FromF16(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  double value =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  if (exponent == 31) value = fraction == 0 ? HUGE_VAL : std::nan("");
  return (bits & 0x8000) != 0 ? -value : value;
}

double FromBf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint16_t ToF16(double value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (value == 0) return sign;
  int exponent = 0;
  std::frexp(value, &exponent);                        // |value| in [2^(exponent - 1), 2^exponent)
  const int scale = std::max(exponent - 1, -14) - 10;  // of the last bit
  const int fraction = static_cast<int>(std::nearbyint(std::ldexp(std::fabs(value), -scale)));
  // A subnormal has exponent field 0; otherwise the implicit bit carries into the field.
  return static_cast<uint16_t>(sign + ((scale + 24) << 10) + fraction);
}

uint16_t ToBf16(double value) {
  const auto bits = std::bit_cast<uint32_t>(static_cast<float>(value));
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// The 8-bit floats of the OCP specification: so many bits of fraction, so many values of exponent
// below 2^0.
struct Float8 {
  int fraction_bits, bias;
  uint8_t most;  // the largest finite number
};
constexpr Float8 kE4M3 = {3, 7, 0x7E}, kE5M2 = {2, 15, 0x7B};

double FromFloat8(const Float8& format, uint8_t bits) {
  const int magnitude = bits & 0x7F, exponent = magnitude >> format.fraction_bits;
  const int one = 1 << format.fraction_bits, fraction = magnitude & (one - 1);
  double value = std::ldexp(exponent == 0 ? fraction : one + fraction,
                            std::max(exponent, 1) - format.bias - format.fraction_bits);
  if (magnitude > format.most)
    value = fraction == 0 && format.most == kE5M2.most ? HUGE_VAL : std::nan("");
  return (bits & 0x80) != 0 ? -value : value;
}

// A finite number, saturated.
uint8_t ToFloat8(const Float8& format, double value) {
  const int sign = std::signbit(value) ? 0x80 : 0;
  if (value == 0) return static_cast<uint8_t>(sign);
  const int exponent = std::clamp(std::ilogb(value), 1 - format.bias, 64);
  const double steps =
      std::nearbyint(std::ldexp(std::fabs(value), format.fraction_bits - exponent));
  const int code = ((exponent + format.bias - 1) << format.fraction_bits) +
                   static_cast<int>(std::min(steps, 256.0));
  return static_cast<uint8_t>(sign | std::min<int>(code, format.most));
}

template <class T>
T Load(std::string_view data, uint64_t i) {
  T value;
  std::memcpy(&value, data.data() + i * sizeof(T), sizeof(T));
  return value;
}

template <class T>
void Append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

void AppendNumber(std::string& out, v1::DType dtype, double value) {
  switch (dtype) {
    case v1::DTYPE_BF16:
      return Append(out, ToBf16(value));
    case v1::DTYPE_F16:
      return Append(out, ToF16(value));
    case v1::DTYPE_FP8E4M3:
      return Append(out, ToFloat8(kE4M3, value));
    case v1::DTYPE_FP8E5M2:
      return Append(out, ToFloat8(kE5M2, value));
    case v1::DTYPE_F32:
      return Append(out, static_cast<float>(value));
    case v1::DTYPE_F64:
      return Append(out, value);
    case v1::DTYPE_C64:
      Append(out, static_cast<float>(value));
      return Append(out, 0.0F);
    default: {
      const auto whole = static_cast<int64_t>(value);
      out.append(reinterpret_cast<const char*>(&whole), ElementBytes(dtype));
    }
  }
}

bool IsFloat(v1::DType dtype) {
  return dtype == v1::DTYPE_BF16 || dtype == v1::DTYPE_F16 || dtype == v1::DTYPE_F32 ||
         dtype == v1::DTYPE_F64 || dtype == v1::DTYPE_C64 || dtype == v1::DTYPE_FP8E4M3 ||
         dtype == v1::DTYPE_FP8E5M2;
}

// SplitMix64: one multiply-mix a number, the same on every machine.
uint64_t Next(uint64_t& state) {
  uint64_t z = state += 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

}  // namespace

static_assert(std::endian::native == std::endian::little, "the wire is little endian");

size_t ElementBytes(v1::DType dtype) {
  switch (dtype) {
    case v1::DTYPE_BOOL:
    case v1::DTYPE_U8:
    case v1::DTYPE_I8:
    case v1::DTYPE_FP8E4M3:
    case v1::DTYPE_FP8E5M2:
      return 1;
    case v1::DTYPE_I16:
    case v1::DTYPE_BF16:
    case v1::DTYPE_F16:
      return 2;
    case v1::DTYPE_U32:
    case v1::DTYPE_I32:
    case v1::DTYPE_F32:
      return 4;
    case v1::DTYPE_I64:
    case v1::DTYPE_F64:
    case v1::DTYPE_C64:
      return 8;
    default:
      return 0;
  }
}

std::optional<uint64_t> TensorBytes(v1::DType dtype, std::span<const int64_t> shape) {
  const auto bytes = static_cast<int64_t>(ElementBytes(dtype));
  const bool positive = std::all_of(shape.begin(), shape.end(), [](int64_t d) { return d >= 1; });
  if (bytes == 0 || !positive) return std::nullopt;
  const auto count = CheckedProduct(shape);
  const auto total = count ? CheckedMul(*count, bytes) : std::nullopt;
  return total ? std::optional(static_cast<uint64_t>(*total)) : std::nullopt;
}

absl::Status CheckTensor(const v1::Tensor& tensor) {
  const auto bytes = TensorBytes(tensor.dtype(),
                                 {tensor.shape().data(), static_cast<size_t>(tensor.shape_size())});
  if (bytes && *bytes == tensor.data().size()) return absl::OkStatus();
  return InvalidArgument("a tensor ", TypeText(tensor.dtype(), tensor.shape()), " has ",
                         tensor.data().size(), " bytes");
}

double ElementAt(v1::DType dtype, std::string_view data, uint64_t i) {
  switch (dtype) {
    case v1::DTYPE_BOOL:
    case v1::DTYPE_U8:
      return Load<uint8_t>(data, i);
    case v1::DTYPE_I8:
      return Load<int8_t>(data, i);
    case v1::DTYPE_I16:
      return Load<int16_t>(data, i);
    case v1::DTYPE_BF16:
      return FromBf16(Load<uint16_t>(data, i));
    case v1::DTYPE_F16:
      return FromF16(Load<uint16_t>(data, i));
    case v1::DTYPE_FP8E4M3:
      return FromFloat8(kE4M3, Load<uint8_t>(data, i));
    case v1::DTYPE_FP8E5M2:
      return FromFloat8(kE5M2, Load<uint8_t>(data, i));
    case v1::DTYPE_U32:
      return Load<uint32_t>(data, i);
    case v1::DTYPE_I32:
      return Load<int32_t>(data, i);
    case v1::DTYPE_I64:
      return static_cast<double>(Load<int64_t>(data, i));
    case v1::DTYPE_F32:
      return Load<float>(data, i);
    case v1::DTYPE_F64:
      return Load<double>(data, i);
    case v1::DTYPE_C64:
      return Load<float>(data, 2 * i);
    default:
      return 0;
  }
}

std::string ValuesText(const v1::Tensor& tensor, uint64_t most) {
  const uint64_t count = tensor.data().size() / std::max<size_t>(ElementBytes(tensor.dtype()), 1);
  std::string out;
  for (uint64_t i = 0; i < std::min(count, most); ++i)
    out += Cat(i == 0 ? "" : " ", Shorten(ElementAt(tensor.dtype(), tensor.data(), i)));
  return count > most ? Cat(out, out.empty() ? "" : " ", "...") : out;
}

void AppendFilled(std::string& out, v1::DType dtype, uint64_t count, Fill fill, uint64_t seed,
                  double range) {
  out.reserve(out.size() + count * ElementBytes(dtype));
  if (fill == Fill::kZeros) {
    out.append(count * ElementBytes(dtype), '\0');
    return;
  }
  for (uint64_t i = 0; i < count; ++i) {
    double value = 1;
    if (fill == Fill::kRandom && IsFloat(dtype)) {
      value = range * (std::ldexp(static_cast<double>(Next(seed) >> 11), -52) - 1);
    } else if (fill == Fill::kRandom) {
      value = static_cast<double>(Next(seed) >> 63);
    }
    AppendNumber(out, dtype, value);
  }
}

uint64_t SeedOf(uint64_t seed, std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3;
  uint64_t state = hash ^ seed;
  return Next(state);
}

}  // namespace rlx::ctl
