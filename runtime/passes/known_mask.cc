// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/known_mask.h"

#include <algorithm>

namespace rlx::passes {
namespace {

// The matrices of the last two axes, for each whether all its elements are as `fits` has them by
// (query, key, element).
template <class T, class Fits>
bool EachFits(const std::vector<T>& elements, int64_t queries, int64_t keys, const Fits& fits) {
  for (size_t at = 0; at < elements.size(); ++at) {
    const auto place = static_cast<int64_t>(at);
    if (!fits(place / keys % queries, place % keys, elements[at])) return false;
  }
  return true;
}

}  // namespace

bool CountsInEachRow(const HostTensor& choice, bool drops) {
  if (choice.dims().empty()) return false;
  const std::vector<int64_t> values = choice.ToInts();
  const std::ptrdiff_t row = choice.dims().back();
  for (auto begin = values.begin(); begin != values.end(); begin += row) {
    const auto counts = [&](int64_t v) { return (v != 0) != drops; };
    if (std::none_of(begin, begin + row, counts)) return false;
  }
  return true;
}

bool IsCausal(const HostTensor& mask, bool drops) {
  const std::vector<int64_t>& dims = mask.dims();
  if (dims.size() < 2) return false;
  const int64_t queries = dims[dims.size() - 2], keys = dims.back();
  if (queries < 2 || keys < queries) return false;
  const auto sees = [&](int64_t query, int64_t key) { return key <= query + keys - queries; };
  if (IsFloat(mask.dtype())) {
    return EachFits(mask.ToDoubles(), queries, keys, [&](int64_t query, int64_t key, double v) {
      return sees(query, key) ? v == 0 : v <= kFarBelow;
    });
  }
  return EachFits(mask.ToInts(), queries, keys, [&](int64_t query, int64_t key, int64_t v) {
    return ((v != 0) != drops) == sees(query, key);
  });
}

}  // namespace rlx::passes
