// SPDX-License-Identifier: Apache-2.0
// Writing JSON (RFC 8259): log lines, `--json` output. There is no parser here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace rlx {

// Appends `text` as a quoted JSON string: control characters escaped, what is not UTF-8 replaced by
// U+FFFD. Past `max_bytes` of input it is cut, between characters, and "..." added.
void AppendJsonString(std::string& out, std::string_view text, size_t max_bytes = SIZE_MAX);

// Writes one value, compactly, in the order of the calls; commas and colons come by themselves.
//
//   JsonWriter json;
//   json.BeginObject().Field("name",
//   "q").Key("dims").BeginArray().Value(1).Value(64).EndArray().EndObject(); json.text()  //
//   {"name":"q","dims":[1,64]}
//
// Calls that do not make a value (a key in an array, a missing End) are a caller's bug and not
// checked.
class JsonWriter {
 public:
  JsonWriter& BeginObject() { return Open('{'); }
  JsonWriter& EndObject() { return Close('}'); }
  JsonWriter& BeginArray() { return Open('['); }
  JsonWriter& EndArray() { return Close(']'); }
  JsonWriter& Key(std::string_view key);
  JsonWriter& Null();

  // Numbers, bools and text. A number JSON has no form for (infinity, NaN) becomes null.
  template <class T>
  JsonWriter& Value(const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      return Raw(value ? "true" : "false");
    } else if constexpr (std::is_floating_point_v<T>) {
      return Number(static_cast<double>(value));
    } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
      return Integer(static_cast<int64_t>(value));
    } else if constexpr (std::is_integral_v<T>) {
      return Unsigned(static_cast<uint64_t>(value));
    } else {
      return String(std::string_view(value));
    }
  }

  template <class T>
  JsonWriter& Field(std::string_view key, const T& value) {
    return Key(key).Value(value);
  }

  JsonWriter& String(std::string_view text, size_t max_bytes = SIZE_MAX);

  const std::string& text() const { return out_; }

 private:
  JsonWriter& Open(char bracket);
  JsonWriter& Close(char bracket);
  JsonWriter& Raw(std::string_view text);
  JsonWriter& Integer(int64_t value);
  JsonWriter& Unsigned(uint64_t value);
  JsonWriter& Number(double value);
  void Separate();

  std::string out_;
  bool comma_ = false;  // the next value or key follows a sibling
};

}  // namespace rlx
