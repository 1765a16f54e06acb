// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rlx {

// Element types. The order is the wire's and the artifact's: append only.
enum class DType : uint8_t {
  kBool,  // one byte, 0 or 1
  kU8,
  kI8,
  kI16,
  kBF16,
  kF16,
  kU32,
  kI32,
  kI64,
  kF32,
  kF64,
  kC64,      // interleaved f32 real, imaginary
  kFp8E4M3,  // float8.h
  kFp8E5M2,
};
inline constexpr int kDTypeCount = 14;

struct DTypeInfo {
  std::string_view name;  // as printed and parsed: "bool", "u8", … "f32", "fp8e4m3"
  int bytes;
  bool is_float;    // fp8e4m3 … f64
  bool is_integer;  // u8 … i64; bool is neither
  bool is_signed;   // i8, i16, i32, i64
};

const DTypeInfo& Info(DType dtype);
inline std::string_view Name(DType dtype) { return Info(dtype).name; }
inline int ByteWidth(DType dtype) { return Info(dtype).bytes; }
inline bool IsFloat(DType dtype) { return Info(dtype).is_float; }
// A float of fewer bits than f32: arithmetic on it is done in f32, and its result rounded.
inline bool IsNarrowFloat(DType dtype) { return IsFloat(dtype) && ByteWidth(dtype) < 4; }
inline bool IsInteger(DType dtype) { return Info(dtype).is_integer; }
// Bool or an integer: evaluated exactly.
inline bool IsExact(DType dtype) { return dtype == DType::kBool || IsInteger(dtype); }

std::optional<DType> ParseDType(std::string_view name);
void AppendTo(std::string& out, DType dtype);

}  // namespace rlx
