// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/lir.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace rlx {

const Assignment& BufferPlan::of(Value v) const {
  const auto it = std::lower_bound(assignments.begin(), assignments.end(), v,
                                   [](const Assignment& a, Value b) { return a.value < b; });
  CHECK(it != assignments.end() && it->value == v, "value ", v.node, ".", v.result,
        " has no assignment");
  return *it;
}

}  // namespace rlx
