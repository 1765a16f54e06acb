// SPDX-License-Identifier: Apache-2.0
#include "runtime/wire/tensor.h"

#include "runtime/base/checked.h"
#include "runtime/base/status.h"
#include "runtime/wire/enums.h"

namespace rlx::wire {
namespace {

constexpr int kMaxDimTerms = 64;

absl::StatusOr<Dim> SymbolFromWire(const std::string& name, SymbolTable& symbols) {
  if (symbols.find(name) == symbols.end()) {
    const bool known = name == kBatch || name == kSeq || name == kRows || name == kPastSeq;
    if (!known) return InvalidArgument("symbol \"", name, "\" is not declared");
    symbols.emplace(name, SymbolRange{});
  }
  return Dim::Symbol(name);
}

absl::StatusOr<Dim> Apply(v1::DimExpr::Op op, const Dim& below, const Dim& top) {
  switch (op) {
    case v1::DimExpr::OP_ADD:
      return below + top;
    case v1::DimExpr::OP_MUL:
      return below * top;
    case v1::DimExpr::OP_FLOOR_DIV:
      if (top.is_static() && top.value() < 1) {
        return InvalidArgument("dim expression divides by ", top, ", which is below 1");
      }
      return FloorDiv(below, top);
    case v1::DimExpr::OP_MIN:
      return Min(below, top);
    case v1::DimExpr::OP_MAX:
      return Max(below, top);
    default:
      return InvalidArgument("dim expression has unknown operation ", static_cast<int>(op));
  }
}

absl::StatusOr<Dim> ExprFromWire(const v1::DimExpr& expr, SymbolTable& symbols) {
  if (expr.terms_size() > kMaxDimTerms) {
    return InvalidArgument("dim expression has ", expr.terms_size(), " terms, more than ",
                           kMaxDimTerms);
  }
  std::vector<Dim> stack;
  for (const v1::DimExpr::Term& term : expr.terms()) {
    switch (term.kind_case()) {
      case v1::DimExpr::Term::kConstant:
        stack.emplace_back(term.constant());
        break;
      case v1::DimExpr::Term::kSymbol: {
        RLX_ASSIGN(Dim symbol, SymbolFromWire(term.symbol(), symbols));
        stack.push_back(std::move(symbol));
        break;
      }
      case v1::DimExpr::Term::kOp: {
        if (stack.size() < 2) return InvalidArgument("dim expression lacks an operand");
        const Dim top = std::move(stack.back());
        stack.pop_back();
        RLX_ASSIGN(stack.back(), Apply(term.op(), stack.back(), top));
        break;
      }
      default:
        return InvalidArgument("dim expression has an empty term");
    }
  }
  if (stack.size() != 1) {
    return InvalidArgument("dim expression leaves ", stack.size(), " values instead of one");
  }
  return stack.front();
}

// Postfix, term by term: each term is coefficient × atoms, then added to what stands before it.
void AppendExpr(const Dim& dim, v1::DimExpr& out);

void AppendOp(v1::DimExpr::Op op, v1::DimExpr& out) { out.add_terms()->set_op(op); }

void AppendAtom(const DimAtom& atom, v1::DimExpr& out) {
  if (atom.kind == DimAtom::Kind::kSymbol) {
    out.add_terms()->set_symbol(atom.symbol);
    return;
  }
  AppendExpr(atom.a, out);
  AppendExpr(atom.b, out);
  AppendOp(atom.kind == DimAtom::Kind::kFloorDiv ? v1::DimExpr::OP_FLOOR_DIV
           : atom.kind == DimAtom::Kind::kMin    ? v1::DimExpr::OP_MIN
                                                 : v1::DimExpr::OP_MAX,
           out);
}

void AppendExpr(const Dim& dim, v1::DimExpr& out) {
  if (dim.is_static()) {
    out.add_terms()->set_constant(dim.value());
    return;
  }
  bool first_term = true;
  for (const DimTerm& term : dim.expr()->terms) {
    bool first_factor = term.atoms.empty() || term.coefficient != 1;
    if (first_factor) out.add_terms()->set_constant(term.coefficient);
    for (const DimAtom& atom : term.atoms) {
      AppendAtom(atom, out);
      if (first_factor) AppendOp(v1::DimExpr::OP_MUL, out);
      first_factor = true;
    }
    if (!first_term) AppendOp(v1::DimExpr::OP_ADD, out);
    first_term = false;
  }
}

struct Checked {
  DType dtype;
  std::vector<int64_t> dims;
};

absl::StatusOr<Checked> CheckHeader(const v1::Tensor& tensor) {
  const auto dtype = FromWire(tensor.dtype());
  if (!dtype) return InvalidArgument("unknown dtype ", static_cast<int>(tensor.dtype()));
  Checked checked{*dtype, {tensor.shape().begin(), tensor.shape().end()}};
  std::optional<int64_t> bytes = ByteWidth(*dtype);
  for (int64_t dim : checked.dims) {
    if (dim < 1) return InvalidArgument("extent ", dim, " is below 1");
    if (bytes) bytes = CheckedMul(*bytes, dim);
  }
  if (!bytes) return InvalidArgument("the product of the extents overflows");
  if (*bytes != static_cast<int64_t>(tensor.data().size())) {
    return InvalidArgument("data has ", tensor.data().size(), " bytes, its type needs ", *bytes);
  }
  if (*dtype == DType::kBool) {
    for (char byte : tensor.data()) {
      if ((byte & ~1) != 0) return InvalidArgument("a bool byte is neither 0 nor 1");
    }
  }
  return checked;
}

}  // namespace

absl::StatusOr<Dim> DimFromWire(const v1::Dim& dim, SymbolTable& symbols, bool allow_rest) {
  switch (dim.kind_case()) {
    case v1::Dim::kValue:
      if (dim.value() < 1 && !(allow_rest && dim.value() == -1)) {
        return InvalidArgument("extent ", dim.value(), " is below 1");
      }
      return Dim(dim.value());
    case v1::Dim::kSymbol:
      return SymbolFromWire(dim.symbol(), symbols);
    case v1::Dim::kExpr:
      return ExprFromWire(dim.expr(), symbols);
    default:
      return InvalidArgument("a dim is empty");
  }
}

absl::StatusOr<TensorType> TypeFromWire(const v1::TensorType& type, SymbolTable& symbols) {
  const auto dtype = FromWire(type.dtype());
  if (!dtype) return InvalidArgument("unknown dtype ", static_cast<int>(type.dtype()));
  TensorType out{*dtype, {}};
  for (const v1::Dim& dim : type.dims()) {
    RLX_ASSIGN(Dim extent, DimFromWire(dim, symbols));
    out.shape.push_back(std::move(extent));
  }
  return out;
}

absl::Status CheckTensor(const v1::Tensor& tensor) { return CheckHeader(tensor).status(); }

absl::StatusOr<HostTensor> TensorFromWire(const v1::Tensor& tensor) {
  RLX_ASSIGN(Checked header, CheckHeader(tensor));
  return HostTensor::Create(header.dtype, std::move(header.dims), SharedBytes(tensor.data()));
}

void DimToWire(const Dim& dim, v1::Dim& out) {
  if (dim.is_static()) {
    out.set_value(dim.value());
  } else if (const auto symbol = dim.symbol()) {
    out.set_symbol(std::string(*symbol));
  } else {
    AppendExpr(dim, *out.mutable_expr());
  }
}

void TypeToWire(const TensorType& type, v1::TensorType& out) {
  out.set_dtype(ToWire(type.dtype));
  for (const Dim& dim : type.shape) DimToWire(dim, *out.add_dims());
}

void TensorToWire(const HostTensor& tensor, v1::Tensor& out) {
  out.set_dtype(ToWire(tensor.dtype()));
  for (int64_t dim : tensor.dims()) out.add_shape(dim);
  out.set_data(tensor.bytes().data(), tensor.bytes().size());
}

}  // namespace rlx::wire
