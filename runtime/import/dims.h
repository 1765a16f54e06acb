// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "runtime/ir/builder.h"

namespace rlx::onnx {

// The content of a small integer or bool tensor, as far as shapes alone decide it: what chains like
// Shape → Gather → Concat → Reshape compute. Each element is an expression over symbols.
struct DimTensor {
  DType dtype = DType::kI64;
  int rank = 1;  // 0 or 1
  std::vector<Dim> elements;

  int64_t size() const { return static_cast<int64_t>(elements.size()); }
  // Every element a constant.
  bool is_static() const;
  HostTensor ToHost() const;  // requires is_static()
};
constexpr int64_t kMaxDims = 1024;  // elements

// Of a tensor of integers or bools, rank at most 1, not large.
std::optional<DimTensor> DimsOf(const HostTensor& tensor);

// Whether a comparison with a constant is decided by the range of an extent: negative, zero or
// positive difference; none when sizes decide it.
std::optional<int> CompareDims(const Dim& a, const Dim& b, const SymbolTable& symbols);

// The value at run time, as a scalar of `dtype`.
Value EmitDim(GraphBuilder& b, const Dim& dim, DType dtype);
Value EmitDims(GraphBuilder& b, const DimTensor& dims);
// 0, 1, 2 … below `count`.
Value EmitIota(GraphBuilder& b, const Dim& count, DType dtype = DType::kI64);

}  // namespace rlx::onnx
