// SPDX-License-Identifier: Apache-2.0
// Integer arithmetic that says when it overflows. Every size, offset or count that a client can
// influence goes through here. Both operands have one type: conversions are explicit, by
// CheckedCast.
#pragma once

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

namespace rlx {

template <std::integral T>
constexpr std::optional<T> CheckedAdd(T a, T b) {
  T result;
  if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
  return result;
}

template <std::integral T>
constexpr std::optional<T> CheckedSub(T a, T b) {
  T result;
  if (__builtin_sub_overflow(a, b, &result)) return std::nullopt;
  return result;
}

template <std::integral T>
constexpr std::optional<T> CheckedMul(T a, T b) {
  T result;
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}

// The product of a range of integers, 1 for none. Nothing when any partial product overflows, even
// where a later factor is 0: an element count is then suspect anyway.
template <class Range>
constexpr auto CheckedProduct(const Range& range) {
  using T = std::remove_cvref_t<decltype(*std::begin(range))>;
  std::optional<T> product = T{1};
  for (const T& factor : range) {
    product = CheckedMul(*product, factor);
    if (!product) break;
  }
  return product;
}

// The same number in another integer type, if it fits there.
template <std::integral To, std::integral From>
constexpr std::optional<To> CheckedCast(From value) {
  if (!std::in_range<To>(value)) return std::nullopt;
  return static_cast<To>(value);
}

// The least multiple of `alignment` (> 0) that is >= `value` (>= 0).
template <std::integral T>
constexpr std::optional<T> CheckedAlignUp(T value, T alignment) {
  T rest = value % alignment;
  if (rest == 0) return value;
  return CheckedAdd<T>(value, alignment - rest);
}

}  // namespace rlx
