// SPDX-License-Identifier: Apache-2.0
#include "runtime/tensor/dim_system.h"

#include <algorithm>
#include <initializer_list>
#include <numeric>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

namespace rlx {
namespace {

constexpr int kMostRounds = 16;  // of narrowing; x < y, y < x would go on for the length of a range
constexpr int64_t kNone = INT64_MAX;  // ±: no bound, as in Dim::UpperBound

// Work is counted in parts of dims (Dim::kMaxSize) put together with parts of others, each some
// tens of nanoseconds: who asks has no deadline. Without any left, nothing more is refused.
constexpr int64_t kMostWork = 2'000'000;
constexpr int64_t kMostWorkToName = 10'000'000;  // for all that ConflictIn tries
class Budget {
 public:
  explicit Budget(int64_t work) : left_(work) {}
  bool Take(int64_t work) {
    left_ -= work;
    return left_ > 0;
  }

 private:
  int64_t left_;
};

int64_t Saturate(__int128 value) {
  return static_cast<int64_t>(std::clamp<__int128>(value, -kNone, kNone));
}

int64_t SizeOf(const Dim& dim) { return dim.is_static() ? 1 : dim.expr()->size; }

// low ≤ dim ≤ high
struct Within {
  Dim dim;
  int64_t low = 0, high = 0;
  bool equation() const { return low == 0 && high == 0; }
};

// An arm of a maximum or minimum that is the dim whole; null for anything else.
const DimAtom* OnlyAtom(const Dim& dim, DimAtom::Kind kind) {
  if (dim.is_static() || dim.expr()->terms.size() != 1) return nullptr;
  const DimTerm& term = dim.expr()->terms.front();
  if (term.coefficient != 1 || term.atoms.size() != 1) return nullptr;
  return term.atoms.front().kind == kind ? &term.atoms.front() : nullptr;
}

// max(a, b) = b is a ≤ b, and min(a, b) = b is b ≤ a; all else is a - b = 0.
Within Normal(const DimConstraint& constraint) {
  for (const auto& [whole, side] :
       {std::pair(constraint.a, constraint.b), std::pair(constraint.b, constraint.a)}) {
    for (const DimAtom::Kind kind : {DimAtom::Kind::kMax, DimAtom::Kind::kMin}) {
      const DimAtom* atom = OnlyAtom(whole, kind);
      if (atom == nullptr || (atom->a != side && atom->b != side)) continue;
      const Dim other = atom->a == side ? atom->b : atom->a;
      return {kind == DimAtom::Kind::kMax ? side - other : other - side, 0, kNone};
    }
  }
  return {constraint.a - constraint.b, 0, 0};
}

// --- Solving

Dim Substitute(const Dim& dim, std::string_view symbol, const Dim& value);

Dim Substitute(const DimAtom& atom, std::string_view symbol, const Dim& value) {
  if (atom.kind == DimAtom::Kind::kSymbol)
    return atom.symbol == symbol ? value : DimExpr::Sum({{1, {atom}}});
  const Dim a = Substitute(atom.a, symbol, value), b = Substitute(atom.b, symbol, value);
  if (atom.kind == DimAtom::Kind::kFloorDiv) return FloorDiv(a, b);
  return atom.kind == DimAtom::Kind::kMin ? Min(a, b) : Max(a, b);
}

bool Mentions(const Dim& dim, std::string_view symbol) {
  if (dim.is_static()) return false;
  const auto is_in = [&](const DimAtom& atom) {
    if (atom.kind == DimAtom::Kind::kSymbol) return atom.symbol == symbol;
    return Mentions(atom.a, symbol) || Mentions(atom.b, symbol);
  };
  return std::ranges::any_of(dim.expr()->terms, [&](const DimTerm& term) {
    return std::ranges::any_of(term.atoms, is_in);
  });
}

Dim Substitute(const Dim& dim, std::string_view symbol, const Dim& value) {
  if (!Mentions(dim, symbol)) return dim;
  Dim sum = 0;
  for (const DimTerm& term : dim.expr()->terms) {
    Dim product = term.coefficient;
    for (const DimAtom& atom : term.atoms) product = product * Substitute(atom, symbol, value);
    sum = sum + product;
    if (sum.is_overflow()) break;
  }
  return sum;
}

// 8·s - 8·t = 0 is s - t = 0. False when the constant is no such multiple.
bool DivideByCommonFactor(Dim& zero) {
  int64_t factor = 0, constant = 0;
  std::vector<DimTerm> terms = zero.expr()->terms;
  for (const DimTerm& term : terms) {
    if (term.atoms.empty()) constant = term.coefficient;
    if (!term.atoms.empty()) factor = std::gcd(factor, term.coefficient);
  }
  if (factor <= 1) return true;
  if (constant % factor != 0) return false;
  for (DimTerm& term : terms) term.coefficient /= factor;
  zero = DimExpr::Sum(std::move(terms));
  return true;
}

struct Solution {
  std::string symbol;
  Dim value;
};

// zero = ±symbol + rest, where the rest does not mention it.
std::optional<Solution> Solve(const Dim& zero) {
  for (const DimTerm& term : zero.expr()->terms) {
    if (term.atoms.size() != 1 || (term.coefficient != 1 && term.coefficient != -1)) continue;
    const DimAtom& atom = term.atoms.front();
    if (atom.kind != DimAtom::Kind::kSymbol) continue;
    const Dim rest = zero - DimExpr::Sum({term});
    if (!rest.is_overflow() && !Mentions(rest, atom.symbol))
      return Solution{atom.symbol, Dim(-term.coefficient) * rest};
  }
  return std::nullopt;
}

SymbolRange RangeOf(const SymbolTable& symbols, std::string_view name) {
  const auto found = symbols.find(name);
  return found == symbols.end() ? SymbolRange{} : found->second;
}

// Takes solved symbols out of the system; what they range over stays in it. False: no solution.
bool Eliminate(std::vector<Within>& system, const SymbolTable& symbols, Budget& budget) {
  for (size_t i = 0; i < system.size(); ++i) {
    if (!system[i].equation() || system[i].dim.is_overflow()) continue;
    if (system[i].dim.is_static()) continue;  // Narrow sees
    if (!DivideByCommonFactor(system[i].dim)) return false;
    const std::optional<Solution> solution = Solve(system[i].dim);
    if (!solution) continue;
    const SymbolRange range = RangeOf(symbols, solution->symbol);
    system[i] = {solution->value, range.min, range.max};
    for (Within& other : system) {
      if (!Mentions(other.dim, solution->symbol)) continue;
      if (!budget.Take(SizeOf(other.dim) * SizeOf(solution->value))) return true;
      other.dim = Substitute(other.dim, solution->symbol, solution->value);
    }
  }
  return true;
}

// --- Narrowing

// Ranges of the symbols that are left. Every step is an implication, so that an empty range is a
// proof.
class Ranges {
 public:
  Ranges(const SymbolTable& symbols, Budget& budget) : symbols_(symbols), budget_(budget) {}

  bool changed() const { return changed_; }
  void Begin() { changed_ = false; }

  // Takes from symbols what puts the dim outside; false when nothing is left.
  bool Narrow(const Dim& dim, int64_t low, int64_t high) {
    if (dim.is_overflow()) return true;
    if (dim.UpperBound(symbols_) < low || dim.LowerBound(symbols_) > high) return false;
    if (dim.is_static()) return true;
    for (const DimTerm& term : dim.expr()->terms) {
      if (term.atoms.size() != 1) continue;
      if (!budget_.Take(SizeOf(dim))) return true;
      const Dim rest = dim - DimExpr::Sum({term});
      if (rest.is_overflow()) continue;
      const int64_t least = low == -kNone ? low : Minus(low, rest.UpperBound(symbols_));
      const int64_t most = high == kNone ? high : Minus(high, rest.LowerBound(symbols_));
      if (!NarrowTerm(term.atoms.front(), term.coefficient, least, most)) return false;
    }
    return true;
  }

 private:
  static int64_t Minus(int64_t a, int64_t b) { return Saturate(__int128{a} - b); }

  // low ≤ coefficient · atom ≤ high
  bool NarrowTerm(const DimAtom& atom, int64_t coefficient, int64_t low, int64_t high) {
    if (coefficient < 0) {
      coefficient = -coefficient;
      std::tie(low, high) = std::pair(-high, -low);
    }
    const auto floor_of = [&](int64_t x) { return FloorDiv(x, coefficient).value(); };
    const int64_t least = low == -kNone ? low : -floor_of(-low);
    const int64_t most = high == kNone ? high : floor_of(high);
    return least <= most && NarrowAtom(atom, least, most);
  }

  bool NarrowAtom(const DimAtom& atom, int64_t low, int64_t high) {
    switch (atom.kind) {
      case DimAtom::Kind::kSymbol:
        return NarrowSymbol(atom.symbol, low, high);
      case DimAtom::Kind::kMax:
        return Narrow(atom.a, -kNone, high) && Narrow(atom.b, -kNone, high);
      case DimAtom::Kind::kMin:
        return Narrow(atom.a, low, kNone) && Narrow(atom.b, low, kNone);
      case DimAtom::Kind::kFloorDiv:
        break;
    }
    if (!atom.b.is_static() || atom.b.value() < 1) return true;
    const int64_t by = atom.b.value();
    return Narrow(atom.a, low == -kNone ? low : Saturate(__int128{low} * by),
                  high == kNone ? high : Saturate(__int128{high} * by + by - 1));
  }

  bool NarrowSymbol(const std::string& name, int64_t low, int64_t high) {
    SymbolRange range = RangeOf(symbols_, name);
    const SymbolRange before = range;
    range.min = std::max(range.min, low);
    range.max = std::min(range.max, high);
    if (range.min > range.max) return false;
    if (range == before) return true;
    changed_ = true;
    symbols_[name] = range;
    return true;
  }

  SymbolTable symbols_;
  Budget& budget_;
  bool changed_ = false;
};

// Whether it found that no sizes keep them.
bool Refutes(std::span<const DimConstraint> constraints, const SymbolTable& symbols,
             Budget& budget) {
  std::vector<Within> system;
  for (const DimConstraint& constraint : constraints) system.push_back(Normal(constraint));
  if (!Eliminate(system, symbols, budget)) return true;
  Ranges ranges(symbols, budget);
  for (int round = 0; round < kMostRounds; ++round) {
    ranges.Begin();
    for (const Within& within : system)
      if (!ranges.Narrow(within.dim, within.low, within.high)) return true;
    if (!ranges.changed()) break;
  }
  return false;
}

}  // namespace

bool MayHold(std::span<const DimConstraint> constraints, const SymbolTable& symbols) {
  Budget budget(kMostWork);
  return !Refutes(constraints, symbols, budget);
}

// The last constraint of the shortest prefix that fails is part of the conflict; with it in front,
// a shorter prefix fails, and so on until what was found fails alone.
std::vector<size_t> ConflictIn(std::span<const DimConstraint> constraints,
                               const SymbolTable& symbols) {
  std::vector<size_t> found;
  std::vector<DimConstraint> tried;
  Budget budget(kMostWorkToName);
  const auto fails = [&](size_t prefix) {
    tried.clear();
    for (size_t at : found) tried.push_back(constraints[at]);
    tried.insert(tried.end(), constraints.begin(),
                 constraints.begin() + static_cast<std::ptrdiff_t>(prefix));
    return Refutes(tried, symbols, budget);
  };
  size_t known = constraints.size();  // a prefix that fails
  while (!fails(0) && found.size() < constraints.size()) {
    size_t low = 0;
    while (low + 1 < known) {
      const size_t middle = low + (known - low) / 2;
      (fails(middle) ? known : low) = middle;
    }
    found.push_back(known - 1);
    --known;
    if (known == 0 || !fails(known)) break;
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace rlx
