// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include "runtime/tensor/float8.h"
#include "runtime/tensor/host_tensor.h"

namespace rlx::cpu {

// One element of a buffer of any dtype, for what is not worth a kernel a type: scales, indices, the
// rare float width. C64 counts as two elements.

template <class T>
T LoadAs(const void* buffer, int64_t i) {
  T value;
  std::memcpy(&value, static_cast<const char*>(buffer) + i * static_cast<int64_t>(sizeof(T)),
              sizeof(T));
  return value;
}

inline int64_t LoadInt(const void* buffer, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::kI64:
      return LoadAs<int64_t>(buffer, i);
    case DType::kI32:
      return LoadAs<int32_t>(buffer, i);
    case DType::kU32:
      return LoadAs<uint32_t>(buffer, i);
    case DType::kI16:
      return LoadAs<int16_t>(buffer, i);
    case DType::kI8:
      return LoadAs<int8_t>(buffer, i);
    default:  // u8, bool
      return LoadAs<uint8_t>(buffer, i);
  }
}

inline double LoadNumber(const void* buffer, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::kF64:
      return LoadAs<double>(buffer, i);
    case DType::kF32:
    case DType::kC64:
      return LoadAs<float>(buffer, i);
    case DType::kF16:
      return F16ToF32(LoadAs<uint16_t>(buffer, i));
    case DType::kBF16:
      return BF16ToF32(LoadAs<uint16_t>(buffer, i));
    case DType::kFp8E4M3:
      return Fp8E4M3ToF32(LoadAs<uint8_t>(buffer, i));
    case DType::kFp8E5M2:
      return Fp8E5M2ToF32(LoadAs<uint8_t>(buffer, i));
    default:
      return static_cast<double>(LoadInt(buffer, dtype, i));
  }
}

template <class T>
void StoreAs(void* buffer, int64_t i, T value) {
  std::memcpy(static_cast<char*>(buffer) + i * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

// `dtype` is a float or C64; rounds to nearest even.
inline void StoreFloat(void* buffer, DType dtype, int64_t i, double value) {
  switch (dtype) {
    case DType::kF64:
      return StoreAs(buffer, i, value);
    case DType::kF16:
      return StoreAs(buffer, i, F32ToF16(static_cast<float>(RoundTo(DType::kF16, value))));
    case DType::kBF16:
      return StoreAs(buffer, i, F32ToBF16(static_cast<float>(RoundTo(DType::kBF16, value))));
    case DType::kFp8E4M3:
      return StoreAs(buffer, i, ToFp8E4M3(value));
    case DType::kFp8E5M2:
      return StoreAs(buffer, i, ToFp8E5M2(value));
    default:
      return StoreAs(buffer, i, static_cast<float>(value));
  }
}

}  // namespace rlx::cpu
