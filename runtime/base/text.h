// SPDX-License-Identifier: Apache-2.0
// Building and taking apart text: `Cat("k differs (", a, " vs ", b, ")")`.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace rlx {

namespace text_internal {

void AppendSigned(std::string& out, int64_t value);
void AppendUnsigned(std::string& out, uint64_t value);
void AppendFloat(std::string& out, float value);
void AppendDouble(std::string& out, double value);

template <class T>
concept CharRange = requires(const T& t) {
  { t.data() } -> std::convertible_to<const char*>;
  { t.size() } -> std::convertible_to<std::size_t>;
};

template <class T>
concept HasToString = requires(const T& t) {
  { t.ToString() } -> std::convertible_to<std::string_view>;
};

}  // namespace text_internal

// Appends one part. Text as it is, `char` as a character, bool as true/false, other integers in
// decimal, floating point in the shortest form that reads back equal; a type of ours by its free
// function `void AppendTo(std::string&, const T&)`, found by its namespace, or else its ToString().
template <class T>
void AppendPart(std::string& out, const T& part) {
  using namespace text_internal;
  if constexpr (std::is_same_v<T, bool>) {
    out.append(part ? "true" : "false");
  } else if constexpr (std::is_same_v<T, char>) {
    out.push_back(part);
  } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    AppendSigned(out, part);
  } else if constexpr (std::is_integral_v<T>) {
    AppendUnsigned(out, part);
  } else if constexpr (std::is_same_v<T, float>) {
    AppendFloat(out, part);
  } else if constexpr (std::is_floating_point_v<T>) {
    AppendDouble(out, static_cast<double>(part));
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    out.append(std::string_view(part));
  } else if constexpr (requires { AppendTo(out, part); }) {
    AppendTo(out, part);
  } else if constexpr (CharRange<T>) {  // absl::string_view, which is not std::string_view here
    out.append(part.data(), part.size());
  } else {
    static_assert(HasToString<T>, "give the type a free function AppendTo(std::string&, const T&)");
    out.append(part.ToString());
  }
}

template <class... Parts>
std::string Cat(const Parts&... parts) {
  std::string out;
  (AppendPart(out, parts), ...);
  return out;
}

// The elements of a range, each as AppendPart writes it, with `separator` between.
template <class Range>
std::string Join(const Range& range, std::string_view separator) {
  std::string out;
  bool first = true;
  for (const auto& element : range) {
    if (!first) out.append(separator);
    first = false;
    AppendPart(out, element);
  }
  return out;
}

// As above, with `format(std::string& out, element)` writing each element.
template <class Range, class Format>
std::string Join(const Range& range, std::string_view separator, Format&& format) {
  std::string out;
  bool first = true;
  for (const auto& element : range) {
    if (!first) out.append(separator);
    first = false;
    format(out, element);
  }
  return out;
}

// Pieces between separators, empty ones included; the views point into `text`. "" has one empty
// piece.
std::vector<std::string_view> Split(std::string_view text, char separator);

// Without leading and trailing ASCII white space.
std::string_view Trim(std::string_view text);

// The whole of `text` as a decimal integer; nothing on any other character or on overflow.
std::optional<int64_t> ParseInt(std::string_view text);

}  // namespace rlx
