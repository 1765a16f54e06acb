// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

// A value with a letter for each axis. Axes of an ellipsis are digits, the last of them '0'.
struct Term {
  Value value;
  std::string axes;
};

bool Has(std::string_view axes, char axis) { return axes.find(axis) != std::string_view::npos; }

absl::StatusOr<std::string> AxesOf(std::string_view written, int rank) {
  const size_t dots = written.find("...");
  const auto letters =
      static_cast<int>(dots == std::string_view::npos ? written.size() : written.size() - 3);
  const int hidden = rank - letters;
  if (hidden < 0 || hidden > 9 || (dots == std::string_view::npos && hidden != 0))
    return InvalidArgument("\"", written, "\" does not fit an operand of rank ", rank);
  std::string axes;
  for (size_t i = 0; i < written.size();) {
    if (i == dots) {
      for (int k = hidden; k-- > 0;) axes.push_back(static_cast<char>('0' + k));
      i += 3;
      continue;
    }
    const char c = written[i++];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
      return InvalidArgument("the equation has '", c, "' where a letter is needed");
    axes.push_back(c);
  }
  return axes;
}

// One axis for two of the same letter: what is off the diagonal becomes 0, and is summed away.
Term Diagonal(GraphBuilder& b, Term term) {
  for (size_t i = 0; i < term.axes.size(); ++i) {
    for (size_t j = i + 1; j < term.axes.size();) {
      if (term.axes[i] != term.axes[j]) {
        ++j;
        continue;
      }
      const Shape shape = ShapeOf(b, term.value);
      const auto rank = static_cast<int>(shape.size());
      const Value on =
          b.Emit(OpKind::kEq, {Along(b, EmitIota(b, shape[i]), static_cast<int64_t>(i), rank),
                               Along(b, EmitIota(b, shape[j]), static_cast<int64_t>(j), rank)});
      const Value kept = b.Where(on, term.value, Like(b, term.value, 0));
      term.value = b.Reduce(OpKind::kReduceSum, kept, {static_cast<int64_t>(j)}, false);
      term.axes.erase(j, 1);
    }
  }
  return term;
}

// Sums the axes that nobody else needs.
Term Summed(GraphBuilder& b, Term term, std::string_view needed) {
  std::vector<int64_t> axes;
  std::string rest;
  for (size_t i = 0; i < term.axes.size(); ++i) {
    if (Has(needed, term.axes[i]))
      rest.push_back(term.axes[i]);
    else
      axes.push_back(static_cast<int64_t>(i));
  }
  if (axes.empty()) return term;
  return {b.Reduce(OpKind::kReduceSum, term.value, axes, false), rest};
}

// Extent 1 along an axis that the other has longer is no pairing but a broadcast.
Term WithoutOnes(GraphBuilder& b, Term term, const Term& other) {
  for (size_t i = 0; i < term.axes.size();) {
    const size_t j = other.axes.find(term.axes[i]);
    const Shape shape = ShapeOf(b, term.value);
    if (j == std::string::npos || shape[i] != Dim(1) || ShapeOf(b, other.value)[j] == Dim(1)) {
      ++i;
      continue;
    }
    Shape less = shape;
    less.erase(less.begin() + static_cast<std::ptrdiff_t>(i));
    term.value = b.Reshape(term.value, std::move(less));
    term.axes.erase(i, 1);
  }
  return term;
}

Term Contract(GraphBuilder& b, Term x, Term y, std::string_view needed) {
  x = WithoutOnes(b, std::move(x), y);
  y = WithoutOnes(b, std::move(y), x);
  std::vector<int64_t> x_sum, y_sum, x_batch, y_batch;
  std::string batch, x_free, y_free;
  for (size_t i = 0; i < x.axes.size(); ++i) {
    const size_t j = y.axes.find(x.axes[i]);
    if (j == std::string::npos) {
      x_free.push_back(x.axes[i]);
      continue;
    }
    const bool kept = Has(needed, x.axes[i]);
    (kept ? x_batch : x_sum).push_back(static_cast<int64_t>(i));
    (kept ? y_batch : y_sum).push_back(static_cast<int64_t>(j));
    if (kept) batch.push_back(x.axes[i]);
  }
  for (const char axis : y.axes)
    if (!Has(x.axes, axis)) y_free.push_back(axis);
  const Value out = b.Emit(OpKind::kDotGeneral, {x.value, y.value},
                           {{"lhs_contracting", x_sum},
                            {"rhs_contracting", y_sum},
                            {"lhs_batch", x_batch},
                            {"rhs_batch", y_batch}});
  return {out, batch + x_free + y_free};
}

// The axes of the result where the equation does not say: the letters that stand once, sorted,
// after an ellipsis.
std::string Implied(const std::vector<std::string>& terms) {
  std::string digits, once;
  std::map<char, int> count;
  for (const std::string& term : terms)
    for (const char c : term) ++count[c];
  for (const auto& [c, times] : count) {
    if (c >= '0' && c <= '9')
      digits.insert(digits.begin(), c);
    else if (times == 1)
      once.push_back(c);
  }
  return digits + once;
}

Results Einsum(OpNode& n) {
  GraphBuilder& b = n.b;
  std::string equation = n.Str("equation", "");
  std::erase(equation, ' ');
  const size_t arrow = equation.find("->");
  const std::string left = equation.substr(0, arrow);
  const std::vector<std::string_view> written = Split(left, ',');
  if (static_cast<int>(written.size()) != n.inputs())
    return InvalidArgument("the equation has ", written.size(), " terms for ", n.inputs(),
                           " operands");
  std::vector<std::string> axes;
  int most = 0;
  for (int i = 0; i < n.inputs(); ++i) {
    if (!n.Has(i)) return InvalidArgument("operand ", i, " is not given");
    RLX_ASSIGN(std::string own, AxesOf(written[static_cast<size_t>(i)], n.rank(i)));
    for (const char c : own)
      if (c >= '0' && c <= '9') most = std::max(most, c - '0' + 1);
    axes.push_back(std::move(own));
  }
  std::string out_axes = Implied(axes);
  if (arrow != std::string::npos) {
    const std::string_view right = std::string_view(equation).substr(arrow + 2);
    const bool dots = right.find("...") != std::string_view::npos;
    const int rank = static_cast<int>(right.size()) - (dots ? 3 - most : 0);
    RLX_ASSIGN(out_axes, AxesOf(right, rank));
  }
  Term done;
  for (int i = 0; i < n.inputs(); ++i) {
    Term term = Diagonal(b, {n.In(i), axes[static_cast<size_t>(i)]});
    std::string needed = out_axes;
    for (size_t k = static_cast<size_t>(i) + 1; k < axes.size(); ++k) needed += axes[k];
    term = Summed(b, std::move(term), needed + done.axes);
    done = i == 0 ? term : Contract(b, std::move(done), std::move(term), needed);
    done = Summed(b, std::move(done), needed);
    RLX_TRY(b.status());
  }
  std::vector<int64_t> perm;
  for (const char c : out_axes) {
    const size_t at = done.axes.find(c);
    if (at == std::string::npos || std::count(out_axes.begin(), out_axes.end(), c) != 1)
      return InvalidArgument("the result's axis '", c, "' is not one of the operands'");
    perm.push_back(static_cast<int64_t>(at));
  }
  if (std::is_sorted(perm.begin(), perm.end())) return One(done.value);
  return One(b.Transpose(done.value, std::move(perm)));
}

constexpr OpRow kRows[] = {
    {kOnnx, "Einsum", 12, INT32_MAX, 1, -1, "equation", Einsum},
};

}  // namespace

std::span<const OpRow> EinsumOps() { return kRows; }

}  // namespace rlx::onnx
