// SPDX-License-Identifier: Apache-2.0
#include "tests/support/padding.h"

#include <limits>

namespace rlx::test {
namespace {

// Calls fn(place in the small tensor, place in the large one) for all places of the small one.
template <class Fn>
void ForEachPlace(const std::vector<int64_t>& small, const std::vector<int64_t>& large, Fn fn) {
  const std::vector<int64_t> strides = RowMajorStrides(large);
  int64_t count = 1;
  for (int64_t dim : small) count *= dim;
  for (int64_t k = 0; k < count; ++k) {
    int64_t rest = k, at = 0;
    for (size_t d = small.size(); d-- > 0; rest /= small[d]) at += rest % small[d] * strides[d];
    fn(k, at);
  }
}

}  // namespace

HostTensor PadWithGarbage(const HostTensor& tensor, const std::vector<int64_t>& dims) {
  int64_t count = 1;
  for (int64_t dim : dims) count *= dim;
  if (IsExact(tensor.dtype())) {
    const std::vector<int64_t> values = tensor.ToInts();
    std::vector<int64_t> padded(count, tensor.dtype() == DType::kBool ? 1 : 77);
    ForEachPlace(tensor.dims(), dims, [&](int64_t from, int64_t to) { padded[to] = values[from]; });
    return HostTensor::FromInts(tensor.dtype(), dims, padded);
  }
  const std::vector<double> values = tensor.ToDoubles();
  std::vector<double> padded(count, std::numeric_limits<double>::quiet_NaN());
  ForEachPlace(tensor.dims(), dims, [&](int64_t from, int64_t to) { padded[to] = values[from]; });
  return HostTensor::FromDoubles(tensor.dtype(), dims, padded);
}

EvalTensor FirstPlaces(const EvalTensor& tensor, const std::vector<int64_t>& dims) {
  EvalTensor first = EvalTensor::Zeros(tensor.dtype, dims);
  ForEachPlace(dims, tensor.dims, [&](int64_t to, int64_t from) {
    if (IsExact(tensor.dtype)) first.i[to] = tensor.i[from];
    if (!IsExact(tensor.dtype)) first.f[to] = tensor.f[from];
  });
  return first;
}

TensorMap PaddedInputs(const passes::PaddedGraph& padded, const TensorMap& inputs,
                       const DimBinding& sizes) {
  TensorMap out;
  for (const Node& node : padded.graph.nodes()) {
    if (const auto found = inputs.find(node.name); found != inputs.end()) {
      out[node.name] = PadWithGarbage(found->second, node.results[0].StaticDims());
    }
  }
  std::vector<int64_t> extents;
  for (const Dim& dim : padded.extents.dims) extents.push_back(dim.Bind(sizes).value());
  const auto count = static_cast<int64_t>(extents.size());
  out[padded.extents.name] = HostTensor::FromInts(DType::kI64, {count}, extents);
  return out;
}

}  // namespace rlx::test
