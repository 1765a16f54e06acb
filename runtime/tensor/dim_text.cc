// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/text.h"
#include "runtime/tensor/dim.h"

namespace rlx {
namespace {

void AppendAtom(std::string& out, const DimAtom& atom) {
  if (atom.kind == DimAtom::Kind::kSymbol) {
    out += atom.symbol;
    return;
  }
  out += atom.kind == DimAtom::Kind::kFloorDiv ? "floordiv("
         : atom.kind == DimAtom::Kind::kMin    ? "min("
                                               : "max(";
  AppendTo(out, atom.a);
  out += ", ";
  AppendTo(out, atom.b);
  out += ')';
}

// `2 * seq`, `-seq`, `7`; without the sign when `bare`, for after ` - `.
void AppendTerm(std::string& out, const DimTerm& term, bool bare) {
  const bool negative = term.coefficient < 0;
  if (negative && !bare) out += '-';
  // No coefficient is INT64_MIN, which is the overflow mark.
  const int64_t size = negative ? -term.coefficient : term.coefficient;
  std::string_view separator;
  if (size != 1 || term.atoms.empty()) {
    AppendPart(out, size);
    separator = " * ";
  }
  for (const DimAtom& atom : term.atoms) {
    out += separator;
    AppendAtom(out, atom);
    separator = " * ";
  }
}

// expr   = term {("+" | "-") term}
// term   = factor {"*" factor}
// factor = "-" factor | number | symbol | "(" expr ")" | function "(" expr "," expr ")"
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::optional<Dim> Parse() {
    auto dim = Sum();
    SkipSpace();
    if (!dim || dim->is_overflow() || at_ != text_.size()) return std::nullopt;
    return dim;
  }

 private:
  static constexpr int kMaxDepth = 64;
  using Function = Dim (*)(const Dim&, const Dim&);

  void SkipSpace() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }

  bool Eat(char c) {
    SkipSpace();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::string_view Word(bool (*belongs)(char)) {
    const size_t begin = at_;
    while (at_ < text_.size() && belongs(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  static bool IsDigit(char c) { return c >= '0' && c <= '9'; }
  static bool IsNameChar(char c) {
    return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.';
  }

  std::optional<Dim> Sum() {
    auto sum = Product();
    while (sum) {
      const bool plus = Eat('+');
      if (!plus && !Eat('-')) break;
      const auto next = Product();
      if (!next) return std::nullopt;
      sum = plus ? *sum + *next : *sum - *next;
    }
    return sum;
  }

  std::optional<Dim> Product() {
    auto product = Factor();
    while (product && Eat('*')) {
      const auto next = Factor();
      if (!next) return std::nullopt;
      product = *product * *next;
    }
    return product;
  }

  std::optional<Dim> Factor() {
    if (depth_ == kMaxDepth) return std::nullopt;
    ++depth_;
    auto factor = FactorInside();
    --depth_;
    return factor;
  }

  std::optional<Dim> FactorInside() {
    if (Eat('-')) {
      const auto factor = Factor();
      return factor ? std::optional(Dim(-1) * *factor) : std::nullopt;
    }
    if (Eat('(')) {
      auto sum = Sum();
      return Eat(')') ? sum : std::nullopt;
    }
    if (at_ == text_.size()) return std::nullopt;
    if (IsDigit(text_[at_])) {
      const auto number = ParseInt(Word(IsDigit));
      return number ? std::optional(Dim(*number)) : std::nullopt;
    }
    const std::string_view name = Word(IsNameChar);
    if (name.empty()) return std::nullopt;
    if (at_ == text_.size() || text_[at_] != '(') return Dim::Symbol(name);
    return Call(name);
  }

  std::optional<Dim> Call(std::string_view name) {
    Function function = nullptr;
    if (name == "floordiv") function = [](const Dim& a, const Dim& b) { return FloorDiv(a, b); };
    if (name == "min") function = [](const Dim& a, const Dim& b) { return Min(a, b); };
    if (name == "max") function = [](const Dim& a, const Dim& b) { return Max(a, b); };
    if (function == nullptr || !Eat('(')) return std::nullopt;
    const auto a = Sum();
    if (!a || !Eat(',')) return std::nullopt;
    const auto b = Sum();
    if (!b || !Eat(')')) return std::nullopt;
    return function(*a, *b);
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

void AppendTo(std::string& out, const Dim& dim) {
  if (dim.is_overflow()) {
    out += "<overflow>";
    return;
  }
  if (dim.is_static()) {
    AppendPart(out, dim.value());
    return;
  }
  const std::vector<DimTerm>& terms = dim.expr()->terms;
  const bool single = terms.size() == 1 && terms[0].coefficient == 1 && terms[0].atoms.size() == 1;
  if (!single) out += '(';
  for (size_t i = 0; i < terms.size(); ++i) {
    if (i > 0) out += terms[i].coefficient < 0 ? " - " : " + ";
    AppendTerm(out, terms[i], /*bare=*/i > 0);
  }
  if (!single) out += ')';
}

std::string Dim::ToString() const { return Cat(*this); }

std::optional<Dim> ParseDim(std::string_view text) { return Parser(text).Parse(); }

}  // namespace rlx
