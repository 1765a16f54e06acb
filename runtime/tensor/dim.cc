// SPDX-License-Identifier: Apache-2.0
#include "runtime/tensor/dim.h"

#include <algorithm>
#include <numeric>

#include "runtime/base/checked.h"

namespace rlx {
namespace {

using Terms = std::vector<DimTerm>;
using Atoms = std::vector<DimAtom>;

int Compare(const Dim& a, const Dim& b);

int Sign(auto order) { return order < 0 ? -1 : order > 0 ? 1 : 0; }

int Compare(const DimAtom& a, const DimAtom& b) {
  if (a.kind != b.kind) return a.kind < b.kind ? -1 : 1;
  if (a.kind == DimAtom::Kind::kSymbol) return Sign(a.symbol.compare(b.symbol));
  if (int order = Compare(a.a, b.a)) return order;
  return Compare(a.b, b.b);
}

// Graded lexicographic order, the greatest monomial first: a monomial order, which polynomial
// division needs.
int Compare(const Atoms& a, const Atoms& b) {
  if (a.size() != b.size()) return a.size() > b.size() ? -1 : 1;
  for (size_t i = 0; i < a.size(); ++i)
    if (int order = Compare(a[i], b[i])) return order;
  return 0;
}

int Compare(const Dim& a, const Dim& b) {
  if (a.is_static() != b.is_static()) return a.is_static() ? -1 : 1;
  if (a.is_static()) return Sign(a.value() <=> b.value());
  const Terms &x = a.expr()->terms, &y = b.expr()->terms;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    if (int order = Compare(x[i].atoms, y[i].atoms)) return order;
    if (x[i].coefficient != y[i].coefficient) return x[i].coefficient < y[i].coefficient ? -1 : 1;
  }
  return Sign(x.size() <=> y.size());
}

bool AtomLess(const DimAtom& a, const DimAtom& b) { return Compare(a, b) < 0; }
bool TermLess(const DimTerm& a, const DimTerm& b) { return Compare(a.atoms, b.atoms) < 0; }

Terms TermsOf(const Dim& dim) {
  if (!dim.is_static()) return dim.expr()->terms;
  if (dim.value() == 0) return {};
  return {{dim.value(), {}}};
}

int SizeOf(const Dim& dim) { return dim.is_static() ? 0 : dim.expr()->size; }

int SizeOf(const Terms& terms) {
  int size = 0;
  for (const DimTerm& term : terms) {
    ++size;
    for (const DimAtom& atom : term.atoms) size += 1 + SizeOf(atom.a) + SizeOf(atom.b);
    if (size > Dim::kMaxSize) break;
  }
  return size;
}

Dim OfAtom(DimAtom atom) { return DimExpr::Sum({{1, {std::move(atom)}}}); }

int64_t FloorDivInt(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

std::optional<DimTerm> Product(const DimTerm& a, const DimTerm& b) {
  const auto coefficient = CheckedMul(a.coefficient, b.coefficient);
  if (!coefficient) return std::nullopt;
  DimTerm product{*coefficient, {}};
  std::merge(a.atoms.begin(), a.atoms.end(), b.atoms.begin(), b.atoms.end(),
             std::back_inserter(product.atoms), AtomLess);
  return product;
}

// a / b when that is a monomial with an integer coefficient.
std::optional<DimTerm> Quotient(const DimTerm& a, const DimTerm& b) {
  if (a.coefficient % b.coefficient != 0) return std::nullopt;
  if (!std::includes(a.atoms.begin(), a.atoms.end(), b.atoms.begin(), b.atoms.end(), AtomLess))
    return std::nullopt;
  DimTerm quotient{a.coefficient / b.coefficient, {}};
  std::set_difference(a.atoms.begin(), a.atoms.end(), b.atoms.begin(), b.atoms.end(),
                      std::back_inserter(quotient.atoms), AtomLess);
  return quotient;
}

// Divides every term by the greatest monomial that divides all terms of both.
void CancelCommonFactor(Dim& a, Dim& b) {
  Terms x = TermsOf(a), y = TermsOf(b);
  DimTerm factor{0, x.front().atoms};
  for (const Terms* terms : {&x, &y}) {
    for (const DimTerm& term : *terms) {
      factor.coefficient = std::gcd(factor.coefficient, term.coefficient);
      Atoms common;
      std::set_intersection(factor.atoms.begin(), factor.atoms.end(), term.atoms.begin(),
                            term.atoms.end(), std::back_inserter(common), AtomLess);
      factor.atoms = std::move(common);
    }
  }
  for (Terms* terms : {&x, &y})
    for (DimTerm& term : *terms) term = *Quotient(term, factor);
  a = DimExpr::Sum(std::move(x));
  b = DimExpr::Sum(std::move(y));
}

// floor((b·q + r) / b) = q + floor(r / b): takes q out of `a` by polynomial division.
Dim FloorDivByPolynomial(const Dim& a, const Dim& b) {
  const DimTerm& lead = b.expr()->terms.front();
  Dim quotient = 0, rest = 0, left = a;
  // Every step lowers the leading monomial of `left`; the bound guards against long chains only.
  for (int steps = 0; left != Dim(0) && steps < Dim::kMaxSize; ++steps) {
    if (left.is_overflow()) return left;
    const DimTerm head = TermsOf(left).front();
    const Dim part = DimExpr::Sum({head});
    if (const auto fraction = Quotient(head, lead)) {
      const Dim q = DimExpr::Sum({*fraction});
      quotient = quotient + q;
      left = left - q * b;
    } else {
      rest = rest + part;
      left = left - part;
    }
  }
  rest = rest + left;
  if (rest == Dim(0)) return quotient;
  if (rest.is_overflow() || quotient.is_overflow()) return Dim::Overflow();
  Dim divisor = b;
  CancelCommonFactor(rest, divisor);
  if (divisor.is_static()) return quotient + FloorDiv(rest, divisor);
  return quotient + OfAtom({DimAtom::Kind::kFloorDiv, {}, rest, divisor});
}

// floor(a / b) for a constant b > 1: multiples of b leave, the rest has coefficients in [0, b).
Dim FloorDivByConstant(const Dim& a, int64_t b) {
  Terms out, rest;
  for (const DimTerm& term : TermsOf(a)) {
    const int64_t q = FloorDivInt(term.coefficient, b);
    const int64_t remainder = term.coefficient % b;
    if (q != 0) out.push_back({q, term.atoms});
    if (remainder != 0) rest.push_back({remainder < 0 ? remainder + b : remainder, term.atoms});
  }
  Dim whole = DimExpr::Sum(std::move(out));
  if (rest.empty() || rest.front().atoms.empty()) return whole;  // 0 ≤ constant < b
  int64_t g = b;
  for (const DimTerm& term : rest)
    if (!term.atoms.empty()) g = std::gcd(g, term.coefficient);
  for (DimTerm& term : rest) term.coefficient /= g;  // exact but for the constant, which floors
  b /= g;
  std::erase_if(rest, [](const DimTerm& term) { return term.coefficient == 0; });
  if (b == 1) return whole + DimExpr::Sum(std::move(rest));
  const DimTerm& first = rest.front();
  if (rest.size() == 1 && first.coefficient == 1 && first.atoms.size() == 1 &&
      first.atoms[0].kind == DimAtom::Kind::kFloorDiv && first.atoms[0].b.is_static()) {
    return whole + FloorDiv(first.atoms[0].a, first.atoms[0].b * Dim(b));
  }
  return whole + OfAtom({DimAtom::Kind::kFloorDiv, {}, DimExpr::Sum(std::move(rest)), b});
}

Dim MinMax(DimAtom::Kind kind, const Dim& a, const Dim& b) {
  if (a.is_overflow() || b.is_overflow()) return Dim::Overflow();
  const Dim difference = a - b;
  if (difference.is_overflow()) return difference;
  if (difference.is_static()) {
    return (difference.value() < 0) == (kind == DimAtom::Kind::kMin) ? a : b;
  }
  const bool swap = Compare(b, a) < 0;
  return OfAtom({kind, {}, swap ? b : a, swap ? a : b});
}

Dim BindAtom(const DimAtom& atom, const DimBinding& binding) {
  switch (atom.kind) {
    case DimAtom::Kind::kSymbol: {
      const auto found = binding.find(atom.symbol);
      return found == binding.end() ? OfAtom(atom) : Dim(found->second);
    }
    case DimAtom::Kind::kFloorDiv:
      return FloorDiv(atom.a.Bind(binding), atom.b.Bind(binding));
    case DimAtom::Kind::kMin:
      return Min(atom.a.Bind(binding), atom.b.Bind(binding));
    case DimAtom::Kind::kMax:
      return Max(atom.a.Bind(binding), atom.b.Bind(binding));
  }
  return Dim::Overflow();
}

}  // namespace

Dim::Dim(std::shared_ptr<const DimExpr> expr) : expr_(std::move(expr)) {}

Dim Dim::Symbol(std::string_view name) {
  return OfAtom({DimAtom::Kind::kSymbol, std::string(name), {}, {}});
}

Dim Dim::Overflow() { return Dim(kOverflow); }

Dim DimExpr::Sum(std::vector<DimTerm> terms) {
  std::sort(terms.begin(), terms.end(), TermLess);
  Terms sum;
  for (DimTerm& term : terms) {
    if (sum.empty() || Compare(sum.back().atoms, term.atoms) != 0) {
      if (!sum.empty() && sum.back().coefficient == 0) sum.pop_back();
      sum.push_back(std::move(term));
      continue;
    }
    const auto total = CheckedAdd(sum.back().coefficient, term.coefficient);
    if (!total) return Dim::Overflow();
    sum.back().coefficient = *total;
  }
  if (!sum.empty() && sum.back().coefficient == 0) sum.pop_back();
  if (sum.empty()) return 0;
  for (const DimTerm& term : sum)
    if (term.coefficient == INT64_MIN) return Dim::Overflow();
  if (sum.front().atoms.empty()) return sum.front().coefficient;
  const int size = SizeOf(sum);
  if (size > Dim::kMaxSize) return Dim::Overflow();
  return Dim(std::make_shared<const DimExpr>(DimExpr{std::move(sum), size}));
}

std::optional<std::string_view> Dim::symbol() const {
  if (is_static() || expr_->terms.size() != 1) return std::nullopt;
  const DimTerm& term = expr_->terms.front();
  if (term.coefficient != 1 || term.atoms.size() != 1) return std::nullopt;
  if (term.atoms.front().kind != DimAtom::Kind::kSymbol) return std::nullopt;
  return term.atoms.front().symbol;
}

Dim operator+(const Dim& a, const Dim& b) {
  if (a.is_overflow() || b.is_overflow()) return Dim::Overflow();
  if (a.is_static() && b.is_static()) {
    const auto sum = CheckedAdd(a.value(), b.value());
    return sum ? Dim(*sum) : Dim::Overflow();
  }
  Terms terms = TermsOf(a);
  for (DimTerm& term : TermsOf(b)) terms.push_back(std::move(term));
  return DimExpr::Sum(std::move(terms));
}

Dim operator-(const Dim& a, const Dim& b) { return a + Dim(-1) * b; }

Dim operator*(const Dim& a, const Dim& b) {
  if (a.is_overflow() || b.is_overflow()) return Dim::Overflow();
  if (a.is_static() && b.is_static()) {
    const auto product = CheckedMul(a.value(), b.value());
    return product ? Dim(*product) : Dim::Overflow();
  }
  Terms terms;
  const Terms left = TermsOf(a), right = TermsOf(b);
  for (const DimTerm& x : left) {
    for (const DimTerm& y : right) {
      auto product = Product(x, y);
      if (!product) return Dim::Overflow();
      terms.push_back(*std::move(product));
    }
  }
  return DimExpr::Sum(std::move(terms));
}

Dim FloorDiv(const Dim& a, const Dim& b) {
  if (a.is_overflow() || b.is_overflow() || b == Dim(0)) return Dim::Overflow();
  if (!b.is_static()) return FloorDivByPolynomial(a, b);
  if (b.value() < 0) return FloorDiv(Dim(-1) * a, Dim(-1) * b);
  if (b.value() == 1) return a;
  if (a.is_static()) return FloorDivInt(a.value(), b.value());
  return FloorDivByConstant(a, b.value());
}

Dim Min(const Dim& a, const Dim& b) { return MinMax(DimAtom::Kind::kMin, a, b); }
Dim Max(const Dim& a, const Dim& b) { return MinMax(DimAtom::Kind::kMax, a, b); }

bool operator==(const Dim& a, const Dim& b) {
  if (a.is_static() != b.is_static()) return false;
  if (a.is_static()) return a.value_ == b.value_;
  return a.expr_ == b.expr_ || a.expr_->terms == b.expr_->terms;
}

Dim Dim::Bind(const DimBinding& binding) const {
  if (is_static()) return *this;
  Dim sum = 0;
  for (const DimTerm& term : expr_->terms) {
    Dim product = term.coefficient;
    for (const DimAtom& atom : term.atoms) product = product * BindAtom(atom, binding);
    sum = sum + product;
  }
  return sum;
}

void Dim::CollectSymbols(std::vector<std::string>& out) const {
  if (is_static()) return;
  for (const DimTerm& term : expr_->terms) {
    for (const DimAtom& atom : term.atoms) {
      atom.a.CollectSymbols(out);
      atom.b.CollectSymbols(out);
      if (atom.kind != DimAtom::Kind::kSymbol) continue;
      const auto at = std::lower_bound(out.begin(), out.end(), atom.symbol);
      if (at == out.end() || *at != atom.symbol) out.insert(at, atom.symbol);
    }
  }
}

}  // namespace rlx
