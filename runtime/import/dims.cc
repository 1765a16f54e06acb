// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/dims.h"

#include <algorithm>

#include "runtime/base/status.h"

namespace rlx::onnx {
namespace {

Value Atom(GraphBuilder& b, const DimAtom& atom, DType dtype) {
  using Kind = DimAtom::Kind;
  if (atom.kind == Kind::kSymbol) {
    // There is no op for it: an extent is the sum of as many ones.
    const Value ones = b.Expand(b.Scalar(dtype, 1), {Dim::Symbol(atom.symbol)});
    return b.Reduce(OpKind::kReduceSum, ones, {0}, false);
  }
  const Value left = EmitDim(b, atom.a, dtype), right = EmitDim(b, atom.b, dtype);
  // Extents are positive, so that truncation is the floor.
  const OpKind op = atom.kind == Kind::kFloorDiv ? OpKind::kDiv
                    : atom.kind == Kind::kMin    ? OpKind::kMin
                                                 : OpKind::kMax;
  return b.Emit(op, {left, right});
}

}  // namespace

bool DimTensor::is_static() const {
  return std::all_of(elements.begin(), elements.end(), [](const Dim& d) { return d.is_static(); });
}

HostTensor DimTensor::ToHost() const {
  std::vector<int64_t> values;
  for (const Dim& dim : elements) values.push_back(dim.value());
  return HostTensor::FromInts(dtype, rank == 0 ? std::vector<int64_t>{} : std::vector{size()},
                              values);
}

std::optional<DimTensor> DimsOf(const HostTensor& tensor) {
  if (!IsExact(tensor.dtype()) || tensor.dims().size() > 1 || tensor.size() > kMaxDims) return {};
  const std::vector<int64_t> values = tensor.ToInts();
  return DimTensor{tensor.dtype(), static_cast<int>(tensor.dims().size()),
                   std::vector<Dim>(values.begin(), values.end())};
}

std::optional<int> CompareDims(const Dim& a, const Dim& b, const SymbolTable& symbols) {
  const Dim difference = a - b;
  if (difference.is_overflow()) return {};
  const int64_t low = difference.LowerBound(symbols), high = difference.UpperBound(symbols);
  if (low > 0) return 1;
  if (high < 0) return -1;
  if (low == 0 && high == 0) return 0;
  return {};
}

Value EmitDim(GraphBuilder& b, const Dim& dim, DType dtype) {
  if (dim.is_static()) return b.Constant(HostTensor::FromInts(dtype, {}, {dim.value()}));
  Value sum;
  for (const DimTerm& term : dim.expr()->terms) {
    Value product;
    for (const DimAtom& atom : term.atoms) {
      const Value factor = Atom(b, atom, dtype);
      product = product.valid() ? b.Mul(product, factor) : factor;
    }
    const Value coefficient = EmitDim(b, Dim(term.coefficient), dtype);
    if (!product.valid())
      product = coefficient;
    else if (term.coefficient != 1)
      product = b.Mul(product, coefficient);
    sum = sum.valid() ? b.Add(sum, product) : product;
  }
  return sum;
}

Value EmitDims(GraphBuilder& b, const DimTensor& dims) {
  if (dims.is_static()) return b.Constant(dims.ToHost());
  if (dims.rank == 0) return EmitDim(b, dims.elements[0], dims.dtype);
  std::vector<Value> parts;
  for (const Dim& dim : dims.elements) parts.push_back(b.Reshape(EmitDim(b, dim, dims.dtype), {1}));
  return parts.size() == 1 ? parts[0] : b.Concat(std::move(parts), 0);
}

Value EmitIota(GraphBuilder& b, const Dim& count, DType dtype) {
  if (count.is_static() && count.value() < 1) {
    b.Fail(Unimplemented("a tensor without elements is counted"));
    return {};
  }
  if (count.is_static() && count.value() <= kMaxDims * 64) {
    std::vector<int64_t> values(static_cast<size_t>(count.value()));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int64_t>(i);
    return b.Constant(HostTensor::FromInts(dtype, {count.value()}, values));
  }
  return b.Emit(OpKind::kCumsum, {b.Expand(b.Scalar(dtype, 1), {count})},
                {{"axis", int64_t{0}}, {"exclusive", true}});
}

}  // namespace rlx::onnx
