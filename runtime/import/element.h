// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "runtime/tensor/dtype.h"

namespace rlx::onnx {

// ONNX's element types, by its own numbers.
enum class Element : int32_t {
  kUndefined = 0,
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kUint16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kDouble = 11,
  kUint32 = 12,
  kUint64 = 13,
  kComplex64 = 14,
  kBfloat16 = 16,
  kFloat8E4M3FN = 17,
  kFloat8E4M3FNUZ = 18,
  kFloat8E5M2 = 19,
  kFloat8E5M2FNUZ = 20,
  kUint4 = 21,
  kInt4 = 22,
  kFloat4E2M1 = 23,
  kFloat8E8M0 = 24,
  kUint2 = 25,
  kInt2 = 26,
};

// How rlxd holds one. Most are a dtype of its own. Some only travel: integers without a dtype as a
// wider one that has all their values, 8-bit and 4-bit floats as their bits in u8.
struct ElementInfo {
  Element element = Element::kUndefined;
  std::string_view name;  // as ONNX writes it: "FLOAT16"
  DType dtype = DType::kF32;
  int bits = 0;          // of one element in a model's bytes
  bool carried = false;  // travels as `dtype` without being it
};

// Null for strings, complex128 and numbers that ONNX has not given out.
const ElementInfo* Find(Element element);
inline const ElementInfo* Find(int32_t element) { return Find(static_cast<Element>(element)); }
// The name, or the number of what has none.
std::string_view Name(Element element);
// Of a dtype that is one of ONNX's.
Element ElementOf(DType dtype);

}  // namespace rlx::onnx
