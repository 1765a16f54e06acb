// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/text.h"

namespace rlx {
namespace {

// 32 characters hold every int64, uint64 and shortest double ("-2.2250738585072014e-308" is 24).
template <class T>
void AppendChars(std::string& out, T value) {
  char buffer[32];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof(buffer), value);
  out.append(buffer, end);
}

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

namespace text_internal {

void AppendSigned(std::string& out, int64_t value) { AppendChars(out, value); }
void AppendUnsigned(std::string& out, uint64_t value) { AppendChars(out, value); }
void AppendFloat(std::string& out, float value) { AppendChars(out, value); }
void AppendDouble(std::string& out, double value) { AppendChars(out, value); }

}  // namespace text_internal

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  for (;;) {
    size_t at = text.find(separator);
    pieces.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return pieces;
    text.remove_prefix(at + 1);
  }
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<int64_t> ParseInt(std::string_view text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return value;
}

}  // namespace rlx
