// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/type.h"

namespace rlx::kernel {
namespace {

struct Row {
  std::string_view name;
  int bytes;
  Type wide;
};

using enum Type;
constexpr Row kRows[kTypeCount] = {
    {"void", 0, kVoid},   {"bool", 1, kBool},   {"i8", 1, kI32},  {"u8", 1, kI32},
    {"i16", 2, kI32},     {"i32", 4, kI32},     {"u32", 4, kU32}, {"i64", 8, kI64},
    {"fp8e4m3", 1, kF32}, {"fp8e5m2", 1, kF32}, {"f16", 2, kF32}, {"bf16", 2, kF32},
    {"f32", 4, kF32},     {"f64", 8, kF64},
};

const Row& RowOf(Type t) { return kRows[static_cast<int>(t)]; }

}  // namespace

std::string_view Name(Type t) { return RowOf(t).name; }
int ByteWidth(Type t) { return RowOf(t).bytes; }
Type WideOf(Type t) { return RowOf(t).wide; }

std::optional<Type> ParseType(std::string_view name) {
  for (int i = 0; i < kTypeCount; ++i) {
    if (kRows[i].name == name) return static_cast<Type>(i);
  }
  return std::nullopt;
}

std::optional<Type> FromDType(DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return kBool;
    case DType::kU8:
      return kU8;
    case DType::kI8:
      return kI8;
    case DType::kI16:
      return kI16;
    case DType::kBF16:
      return kBF16;
    case DType::kF16:
      return kF16;
    case DType::kU32:
      return kU32;
    case DType::kI32:
      return kI32;
    case DType::kI64:
      return kI64;
    case DType::kF32:
      return kF32;
    case DType::kF64:
      return kF64;
    case DType::kFp8E4M3:
      return kFp8E4M3;
    case DType::kFp8E5M2:
      return kFp8E5M2;
    case DType::kC64:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace rlx::kernel
