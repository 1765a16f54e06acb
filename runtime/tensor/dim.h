// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rlx {

struct DimExpr;

// Sizes given to symbols, by name.
using DimBinding = std::map<std::string, int64_t, std::less<>>;

// What is known of a symbol before it is bound. `max` is the capacity that buffers are planned by.
struct SymbolRange {
  int64_t min = 1;
  int64_t max = int64_t{1} << 31;
  friend bool operator==(const SymbolRange&, const SymbolRange&) = default;
};
using SymbolTable = std::map<std::string, SymbolRange, std::less<>>;

// Symbols with a meaning that HIR blocks and clients share.
inline constexpr std::string_view kBatch = "batch";
inline constexpr std::string_view kSeq = "seq";
inline constexpr std::string_view kRows = "rows";  // batch × seq, flattened
inline constexpr std::string_view kPastSeq = "past_seq";

// One extent of a shape: a constant or an expression over symbols (constant, symbol, +, ×, floor
// division, min, max), kept in a canonical polynomial form so that equal expressions compare equal
// (`2*s + s == 3*s`, `(4*s) floordiv 2 == 2*s`). A value: cheap to copy, immutable, thread safe.
//
// Arithmetic that overflows int64, and an expression of more than kMaxSize parts, yield
// Dim::Overflow(), which absorbs everything and which every verifier refuses: no shape product ever
// wraps, and no chain of ops builds an expression that is slow or deep.
class Dim {
 public:
  static constexpr int kMaxSize = 64;  // terms and atoms, nested ones included

  constexpr Dim() = default;
  constexpr Dim(int64_t value) : value_(value) {}  // NOLINT: a size is a dim
  static Dim Symbol(std::string_view name);
  static Dim Overflow();

  bool is_static() const { return expr_ == nullptr; }
  bool is_overflow() const { return is_static() && value_ == kOverflow; }
  // Requires is_static().
  int64_t value() const { return value_; }
  // The symbol's name when this is a bare symbol.
  std::optional<std::string_view> symbol() const;
  // Null for constants.
  const DimExpr* expr() const { return expr_.get(); }

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  // Rounds towards minus infinity. By the constant zero: Overflow(). A symbolic divisor is taken to
  // be other than zero, as extents are.
  friend Dim FloorDiv(const Dim& a, const Dim& b);
  friend Dim Min(const Dim& a, const Dim& b);
  friend Dim Max(const Dim& a, const Dim& b);
  friend bool operator==(const Dim& a, const Dim& b);

  // Replaces the symbols that `binding` knows.
  Dim Bind(const DimBinding& binding) const;
  // Upper and lower bound from the symbols' ranges (unknown symbols: SymbolRange{}), saturating at
  // ±INT64_MAX. Sound, not tight: each occurrence of a symbol ranges on its own.
  int64_t UpperBound(const SymbolTable& symbols) const;
  int64_t LowerBound(const SymbolTable& symbols) const;
  void CollectSymbols(std::vector<std::string>& out) const;  // sorted, without repeats

  // `16`, `seq`, `(batch * seq)`, `(2 * seq + 1)`, `floordiv(seq, 2)`; ParseDim reads it back.
  std::string ToString() const;

 private:
  static constexpr int64_t kOverflow = INT64_MIN;
  friend struct DimExpr;
  explicit Dim(std::shared_ptr<const DimExpr> expr);

  int64_t value_ = 0;
  std::shared_ptr<const DimExpr> expr_;
};

Dim FloorDiv(const Dim& a, const Dim& b);
Dim Min(const Dim& a, const Dim& b);
Dim Max(const Dim& a, const Dim& b);

// An indivisible factor: a symbol, or an operation that does not distribute.
struct DimAtom {
  enum class Kind : uint8_t { kSymbol, kFloorDiv, kMin, kMax };
  Kind kind = Kind::kSymbol;
  std::string symbol;  // kSymbol
  Dim a, b;            // the others
  friend bool operator==(const DimAtom&, const DimAtom&) = default;
};

// A polynomial: Σ coefficient · Π atoms. Atoms are sorted; terms too, by falling degree, so that
// the constant term, which has no atoms, is last.
struct DimTerm {
  int64_t coefficient = 0;
  std::vector<DimAtom> atoms;
  friend bool operator==(const DimTerm&, const DimTerm&) = default;
};
struct DimExpr {
  std::vector<DimTerm> terms;  // never a constant alone: that is a static Dim
  int size = 0;                // against Dim::kMaxSize

  // The dim with the sum of `terms`, which come in any order and with repeats.
  static Dim Sum(std::vector<DimTerm> terms);

  friend bool operator==(const DimExpr&, const DimExpr&) = default;
};

// Reads what ToString prints. Null when `text` is not an expression.
std::optional<Dim> ParseDim(std::string_view text);
void AppendTo(std::string& out, const Dim& dim);

}  // namespace rlx
