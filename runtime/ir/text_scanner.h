// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "runtime/tensor/shape.h"

namespace rlx {

// The words of the text form, one by one, past white space and `//` comments. Errors say line and
// column.
class TextScanner {
 public:
  explicit TextScanner(std::string_view text) : text_(text) {}

  bool AtEnd();
  bool Peek(char c);
  bool Eat(char c);
  bool EatWord(std::string_view word);  // the whole word
  absl::Status Expect(std::string_view punctuation);

  absl::StatusOr<std::string_view> Word();    // letters, digits, `_`, `.`; not a digit first
  absl::StatusOr<std::string> Quoted();       // "…" with \" \\ \xNN
  absl::StatusOr<std::string_view> Number();  // as printed: 7, -1.5e-05, -inf, nan
  absl::StatusOr<int64_t> Int();
  absl::StatusOr<std::string_view> HexDigits();
  absl::StatusOr<Dim> DimUntil(std::string_view ends);  // an expression, up to one of `ends`
  absl::StatusOr<Shape> Dims();                         // `[4,seq]`
  absl::StatusOr<TensorType> Type();                    // `f32[4,seq]`

  absl::Status Error(std::string_view what) const;

 private:
  void SkipSpace();
  std::string_view Run(bool (*belongs)(char));

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace rlx
