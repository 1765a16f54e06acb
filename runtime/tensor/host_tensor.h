// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/shared_bytes.h"
#include "runtime/tensor/shape.h"

namespace rlx {

// A tensor in host memory: dtype, static extents, row-major little-endian bytes. Immutable, shared.
class HostTensor {
 public:
  HostTensor() = default;
  // Fails unless `bytes` has exactly the size that dtype and dims need (product checked).
  static absl::StatusOr<HostTensor> Create(DType dtype, std::vector<int64_t> dims,
                                           SharedBytes bytes);
  // From values, converted to dtype with round-to-nearest-even, and saturation for integers and
  // 8-bit floats. The caller gives as many values as `dims` has elements (C64: twice as many).
  static HostTensor FromDoubles(DType dtype, std::vector<int64_t> dims,
                                const std::vector<double>& values);
  static HostTensor FromInts(DType dtype, std::vector<int64_t> dims,
                             const std::vector<int64_t>& values);

  DType dtype() const { return dtype_; }
  const std::vector<int64_t>& dims() const { return dims_; }
  int64_t size() const;  // elements
  const SharedBytes& bytes() const { return bytes_; }
  TensorType type() const;

  // Elements as doubles (C64: interleaved pairs), or exact integers for Bool and integer types.
  std::vector<double> ToDoubles() const;
  std::vector<int64_t> ToInts() const;

  friend bool operator==(const HostTensor&, const HostTensor&) = default;

 private:
  DType dtype_ = DType::kF32;
  std::vector<int64_t> dims_;
  SharedBytes bytes_;
};

// Storage conversions of the 16-bit formats (round to nearest even; IEEE 754 half and bfloat16).
uint16_t F32ToF16(float value);
float F16ToF32(uint16_t bits);
uint16_t F32ToBF16(float value);
float BF16ToF32(uint16_t bits);
// `value` rounded once, to nearest even, to what `dtype` can hold (identity for f64 and in-range
// integers).
double RoundTo(DType dtype, double value);
// Bool and integer types. Saturating: towards zero, NaN is 0 (a cast). Wrapping: modulo 2^bits
// (integer arithmetic).
int64_t SaturateToInt(DType dtype, double value);
int64_t WrapToInt(DType dtype, int64_t value);

}  // namespace rlx
