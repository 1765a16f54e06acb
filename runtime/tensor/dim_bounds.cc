// SPDX-License-Identifier: Apache-2.0
// Interval arithmetic over the symbols' ranges. Ends saturate at ±INT64_MAX, which then reads "no
// bound".
#include <algorithm>

#include "runtime/tensor/dim.h"

namespace rlx {
namespace {

struct Interval {
  int64_t low, high;
};
constexpr Interval kEverything = {-INT64_MAX, INT64_MAX};

int64_t Saturate(__int128 value) {
  return static_cast<int64_t>(std::clamp<__int128>(value, -INT64_MAX, INT64_MAX));
}

Interval Add(Interval a, Interval b) {
  return {Saturate(__int128{a.low} + b.low), Saturate(__int128{a.high} + b.high)};
}

Interval Corners(Interval a, Interval b, int64_t (*op)(int64_t, int64_t)) {
  const int64_t ends[] = {op(a.low, b.low), op(a.low, b.high), op(a.high, b.low),
                          op(a.high, b.high)};
  return {*std::min_element(ends, ends + 4), *std::max_element(ends, ends + 4)};
}

int64_t Times(int64_t a, int64_t b) { return Saturate(__int128{a} * b); }

int64_t Floor(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

Interval BoundsOf(const Dim& dim, const SymbolTable& symbols);

Interval BoundsOf(const DimAtom& atom, const SymbolTable& symbols) {
  if (atom.kind == DimAtom::Kind::kSymbol) {
    const auto found = symbols.find(atom.symbol);
    const SymbolRange range = found == symbols.end() ? SymbolRange{} : found->second;
    return {range.min, range.max};
  }
  const Interval a = BoundsOf(atom.a, symbols), b = BoundsOf(atom.b, symbols);
  if (atom.kind == DimAtom::Kind::kMin) return {std::min(a.low, b.low), std::min(a.high, b.high)};
  if (atom.kind == DimAtom::Kind::kMax) return {std::max(a.low, b.low), std::max(a.high, b.high)};
  if (b.low <= 0 && b.high >= 0) return kEverything;
  return Corners(a, b, Floor);
}

Interval BoundsOf(const Dim& dim, const SymbolTable& symbols) {
  if (dim.is_overflow()) return kEverything;
  if (dim.is_static()) return {dim.value(), dim.value()};
  Interval sum = {0, 0};
  for (const DimTerm& term : dim.expr()->terms) {
    Interval product = {term.coefficient, term.coefficient};
    for (const DimAtom& atom : term.atoms)
      product = Corners(product, BoundsOf(atom, symbols), Times);
    sum = Add(sum, product);
  }
  return sum;
}

}  // namespace

int64_t Dim::UpperBound(const SymbolTable& symbols) const { return BoundsOf(*this, symbols).high; }
int64_t Dim::LowerBound(const SymbolTable& symbols) const { return BoundsOf(*this, symbols).low; }

}  // namespace rlx
