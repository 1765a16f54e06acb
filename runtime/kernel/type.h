// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "runtime/tensor/dtype.h"

namespace rlx::kernel {

// Scalar types of the kernel IR. Every type can be loaded, stored, selected, kept in a cell and
// cast. Arithmetic is done in the wide types i32, u32, i64, f32 and f64 alone (bool: logic): narrow
// ones are cast after the load and before the store, so a renderer needs no 8- or 16-bit
// arithmetic.
enum class Type : uint8_t {
  kVoid,  // of an instruction without a result
  kBool,  // one byte in memory, 0 or 1
  kI8,
  kU8,
  kI16,
  kI32,
  kU32,
  kI64,
  kFp8E4M3,
  kFp8E5M2,
  kF16,
  kBF16,
  kF32,
  kF64,
};
inline constexpr int kTypeCount = 14;

// A set of types, one bit each.
using TypeSet = uint16_t;
constexpr TypeSet Bit(Type t) { return static_cast<TypeSet>(1u << static_cast<int>(t)); }
constexpr bool Has(TypeSet set, Type t) { return (set & Bit(t)) != 0; }

inline constexpr TypeSet kFloats = Bit(Type::kF32) | Bit(Type::kF64);
inline constexpr TypeSet kIndices = Bit(Type::kI32) | Bit(Type::kI64);
inline constexpr TypeSet kIntegers = kIndices | Bit(Type::kU32);
inline constexpr TypeSet kNumbers = kFloats | kIntegers;
inline constexpr TypeSet kBits = kIntegers | Bit(Type::kBool);
inline constexpr TypeSet kFp8 = Bit(Type::kFp8E4M3) | Bit(Type::kFp8E5M2);
inline constexpr TypeSet kNarrowFloats = kFp8 | Bit(Type::kF16) | Bit(Type::kBF16);
inline constexpr TypeSet kNarrow =
    Bit(Type::kI8) | Bit(Type::kU8) | Bit(Type::kI16) | kNarrowFloats;
inline constexpr TypeSet kAnyType = kNumbers | kNarrow | Bit(Type::kBool);

std::string_view Name(Type t);
std::optional<Type> ParseType(std::string_view name);
int ByteWidth(Type t);  // in memory; 0 for void

// The type in which a value of type `t` is computed: narrow floats -> f32; i8, u8, i16 -> i32.
Type WideOf(Type t);

// C64 has no counterpart: kernels see it as pairs of f32.
std::optional<Type> FromDType(DType dtype);

}  // namespace rlx::kernel
