// SPDX-License-Identifier: Apache-2.0
#include "runtime/tensor/dtype.h"

namespace rlx {
namespace {

constexpr DTypeInfo kInfos[kDTypeCount] = {
    {.name = "bool", .bytes = 1, .is_float = false, .is_integer = false, .is_signed = false},
    {.name = "u8", .bytes = 1, .is_float = false, .is_integer = true, .is_signed = false},
    {.name = "i8", .bytes = 1, .is_float = false, .is_integer = true, .is_signed = true},
    {.name = "i16", .bytes = 2, .is_float = false, .is_integer = true, .is_signed = true},
    {.name = "bf16", .bytes = 2, .is_float = true, .is_integer = false, .is_signed = false},
    {.name = "f16", .bytes = 2, .is_float = true, .is_integer = false, .is_signed = false},
    {.name = "u32", .bytes = 4, .is_float = false, .is_integer = true, .is_signed = false},
    {.name = "i32", .bytes = 4, .is_float = false, .is_integer = true, .is_signed = true},
    {.name = "i64", .bytes = 8, .is_float = false, .is_integer = true, .is_signed = true},
    {.name = "f32", .bytes = 4, .is_float = true, .is_integer = false, .is_signed = false},
    {.name = "f64", .bytes = 8, .is_float = true, .is_integer = false, .is_signed = false},
    {.name = "c64", .bytes = 8, .is_float = false, .is_integer = false, .is_signed = false},
    {.name = "fp8e4m3", .bytes = 1, .is_float = true, .is_integer = false, .is_signed = false},
    {.name = "fp8e5m2", .bytes = 1, .is_float = true, .is_integer = false, .is_signed = false},
};

}  // namespace

const DTypeInfo& Info(DType dtype) { return kInfos[static_cast<int>(dtype)]; }

std::optional<DType> ParseDType(std::string_view name) {
  for (int i = 0; i < kDTypeCount; ++i)
    if (kInfos[i].name == name) return static_cast<DType>(i);
  return std::nullopt;
}

void AppendTo(std::string& out, DType dtype) { out += Name(dtype); }

}  // namespace rlx
