// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/element.h"

namespace rlx::onnx {
namespace {

constexpr ElementInfo kElements[] = {
    {Element::kFloat, "FLOAT", DType::kF32, 32},
    {Element::kUint8, "UINT8", DType::kU8, 8},
    {Element::kInt8, "INT8", DType::kI8, 8},
    {Element::kUint16, "UINT16", DType::kI32, 16, true},
    {Element::kInt16, "INT16", DType::kI16, 16},
    {Element::kInt32, "INT32", DType::kI32, 32},
    {Element::kInt64, "INT64", DType::kI64, 64},
    {Element::kBool, "BOOL", DType::kBool, 8},
    {Element::kFloat16, "FLOAT16", DType::kF16, 16},
    {Element::kDouble, "DOUBLE", DType::kF64, 64},
    {Element::kUint32, "UINT32", DType::kU32, 32},
    {Element::kUint64, "UINT64", DType::kI64, 64, true},
    {Element::kComplex64, "COMPLEX64", DType::kC64, 64},
    {Element::kBfloat16, "BFLOAT16", DType::kBF16, 16},
    {Element::kFloat8E4M3FN, "FLOAT8E4M3FN", DType::kU8, 8, true},
    {Element::kFloat8E4M3FNUZ, "FLOAT8E4M3FNUZ", DType::kU8, 8, true},
    {Element::kFloat8E5M2, "FLOAT8E5M2", DType::kU8, 8, true},
    {Element::kFloat8E5M2FNUZ, "FLOAT8E5M2FNUZ", DType::kU8, 8, true},
    {Element::kUint4, "UINT4", DType::kU8, 4, true},
    {Element::kInt4, "INT4", DType::kI8, 4, true},
    {Element::kFloat4E2M1, "FLOAT4E2M1", DType::kU8, 4, true},
    {Element::kFloat8E8M0, "FLOAT8E8M0", DType::kU8, 8, true},
    {Element::kUint2, "UINT2", DType::kU8, 2, true},
    {Element::kInt2, "INT2", DType::kI8, 2, true},
};

}  // namespace

const ElementInfo* Find(Element element) {
  for (const ElementInfo& info : kElements)
    if (info.element == element) return &info;
  return nullptr;
}

std::string_view Name(Element element) {
  const ElementInfo* info = Find(element);
  if (info != nullptr) return info->name;
  return element == Element::kString ? "STRING" : "an unknown element type";
}

Element ElementOf(DType dtype) {
  for (const ElementInfo& info : kElements)
    if (info.dtype == dtype && !info.carried) return info.element;
  return Element::kUndefined;
}

}  // namespace rlx::onnx
