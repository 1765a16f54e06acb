// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/text_scanner.h"

#include <algorithm>

#include "runtime/base/hex.h"
#include "runtime/base/status.h"

namespace rlx {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsWordChar(char c) { return IsDigit(c) || IsLetter(c) || c == '.'; }
bool IsHexDigit(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f'); }
bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

absl::Status TextScanner::Error(std::string_view what) const {
  const std::string_view before = text_.substr(0, at_);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return InvalidArgument("line ", line, ", column ", at_ - line_start + 1, ": ", what);
}

void TextScanner::SkipSpace() {
  while (at_ < text_.size()) {
    if (IsSpace(text_[at_])) {
      ++at_;
    } else if (text_.substr(at_, 2) == "//") {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else {
      return;
    }
  }
}

std::string_view TextScanner::Run(bool (*belongs)(char)) {
  const size_t begin = at_;
  while (at_ < text_.size() && belongs(text_[at_])) ++at_;
  return text_.substr(begin, at_ - begin);
}

bool TextScanner::AtEnd() {
  SkipSpace();
  return at_ == text_.size();
}

bool TextScanner::Peek(char c) { return !AtEnd() && text_[at_] == c; }

bool TextScanner::Eat(char c) {
  if (!Peek(c)) return false;
  ++at_;
  return true;
}

bool TextScanner::EatWord(std::string_view word) {
  SkipSpace();
  if (text_.substr(at_, word.size()) != word) return false;
  const size_t end = at_ + word.size();
  if (end < text_.size() && IsWordChar(text_[end])) return false;
  at_ = end;
  return true;
}

absl::Status TextScanner::Expect(std::string_view punctuation) {
  SkipSpace();
  if (text_.substr(at_, punctuation.size()) != punctuation)
    return Error(Cat("expected ", punctuation));
  at_ += punctuation.size();
  return absl::OkStatus();
}

absl::StatusOr<std::string_view> TextScanner::Word() {
  SkipSpace();
  if (at_ == text_.size() || !IsLetter(text_[at_])) return Error("expected a word");
  return Run(IsWordChar);
}

absl::StatusOr<std::string> TextScanner::Quoted() {
  RLX_TRY(Expect("\""));
  std::string out;
  while (at_ < text_.size() && text_[at_] != '"') {
    if (text_[at_] != '\\') {
      out += text_[at_++];
      continue;
    }
    ++at_;
    uint8_t byte = 0;
    if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\\')) {
      out += text_[at_++];
    } else if (at_ + 3 <= text_.size() && text_[at_] == 'x' &&
               HexDecode(text_.substr(at_ + 1, 2), std::span(&byte, 1))) {
      out += static_cast<char>(byte);
      at_ += 3;
    } else {
      return Error("unknown escape");
    }
  }
  if (at_ == text_.size()) return Error("the quotation does not end");
  ++at_;
  return out;
}

absl::StatusOr<std::string_view> TextScanner::Number() {
  SkipSpace();
  const size_t begin = at_;
  if (at_ < text_.size() && text_[at_] == '-') ++at_;
  if (text_.substr(at_, 3) == "inf" || text_.substr(at_, 3) == "nan") {
    at_ += 3;
  } else {
    const std::string_view digits = Run([](char c) { return IsDigit(c) || c == '.'; });
    if (digits.empty()) return Error("expected a number");
    if (at_ < text_.size() && text_[at_] == 'e') {
      ++at_;
      if (at_ < text_.size() && (text_[at_] == '-' || text_[at_] == '+')) ++at_;
      if (Run(IsDigit).empty()) return Error("expected an exponent");
    }
  }
  return text_.substr(begin, at_ - begin);
}

absl::StatusOr<int64_t> TextScanner::Int() {
  RLX_ASSIGN(const std::string_view digits, Number());
  const auto value = ParseInt(digits);
  if (!value) return Error("expected an integer");
  return *value;
}

absl::StatusOr<std::string_view> TextScanner::HexDigits() {
  RLX_TRY(Expect("0x"));
  return Run(IsHexDigit);
}

absl::StatusOr<Dim> TextScanner::DimUntil(std::string_view ends) {
  SkipSpace();
  const size_t begin = at_;
  int depth = 0;
  for (; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (depth == 0 && (ends.find(c) != std::string_view::npos || c == '\n' || c == '/')) break;
    if (c == '(') ++depth;
    if (c == ')') --depth;
  }
  const auto dim = ParseDim(Trim(text_.substr(begin, at_ - begin)));
  if (!dim) {
    at_ = begin;
    return Error("expected an extent");
  }
  return *dim;
}

absl::StatusOr<Shape> TextScanner::Dims() {
  RLX_TRY(Expect("["));
  Shape shape;
  if (Eat(']')) return shape;
  do {
    RLX_ASSIGN(Dim dim, DimUntil(",]"));
    shape.push_back(std::move(dim));
  } while (Eat(','));
  RLX_TRY(Expect("]"));
  return shape;
}

absl::StatusOr<TensorType> TextScanner::Type() {
  RLX_ASSIGN(const std::string_view word, Word());
  const auto dtype = ParseDType(word);
  if (!dtype) {
    at_ -= word.size();
    return Error(Cat("unknown dtype ", word));
  }
  RLX_ASSIGN(Shape shape, Dims());
  return TensorType{*dtype, std::move(shape)};
}

}  // namespace rlx
