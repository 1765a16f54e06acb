// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/json.h"

#include <cmath>

#include "runtime/base/text.h"

namespace rlx {
namespace {

// Bytes of the UTF-8 character at the front of `text` (not empty), 0 when it is not one: overlong
// forms, surrogates and values past U+10FFFF are none (Unicode 15, table 3-7).
size_t Utf8Length(std::string_view text) {
  auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0u; };
  auto within = [&](size_t i, unsigned low, unsigned high) {
    return byte(i) >= low && byte(i) <= high;
  };
  auto tail = [&](size_t i) { return within(i, 0x80, 0xbf); };
  unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return tail(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    bool second = within(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf);
    return second && tail(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    bool second = within(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf);
    return second && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

void AppendAscii(std::string& out, char c) {
  static constexpr char kDigits[] = "0123456789abcdef";
  if (c == '"' || c == '\\') {
    out += {'\\', c};
  } else if (c == '\n') {
    out += "\\n";
  } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
    out += "\\u00";
    out += {kDigits[(c >> 4) & 15], kDigits[c & 15]};
  } else {
    out += c;
  }
}

}  // namespace

void AppendJsonString(std::string& out, std::string_view text, size_t max_bytes) {
  size_t left = max_bytes;
  out += '"';
  while (!text.empty()) {
    size_t length = Utf8Length(text);
    size_t used = length == 0 ? 1 : length;
    if (used > left) {
      out += "...";
      break;
    }
    if (length == 0) {
      out += "\xef\xbf\xbd";  // U+FFFD
    } else if (length == 1) {
      AppendAscii(out, text[0]);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(used);
    left -= used;
  }
  out += '"';
}

void JsonWriter::Separate() {
  if (comma_) out_ += ',';
  comma_ = true;
}

JsonWriter& JsonWriter::Open(char bracket) {
  Separate();
  out_ += bracket;
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::Close(char bracket) {
  out_ += bracket;
  comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::Key(std::string_view key) {
  Separate();
  AppendJsonString(out_, key);
  out_ += ':';
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::Raw(std::string_view text) {
  Separate();
  out_ += text;
  return *this;
}

JsonWriter& JsonWriter::Null() { return Raw("null"); }

JsonWriter& JsonWriter::String(std::string_view text, size_t max_bytes) {
  Separate();
  AppendJsonString(out_, text, max_bytes);
  return *this;
}

JsonWriter& JsonWriter::Integer(int64_t value) { return Raw(Cat(value)); }
JsonWriter& JsonWriter::Unsigned(uint64_t value) { return Raw(Cat(value)); }
JsonWriter& JsonWriter::Number(double value) {
  return std::isfinite(value) ? Raw(Cat(value)) : Null();
}

}  // namespace rlx
