// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/attr.h"

namespace rlx {

std::string_view Name(AttrType type) {
  constexpr std::string_view kNames[] = {"int",    "float", "bool",  "string", "ints",
                                         "floats", "dtype", "shape", "tensor"};
  static_assert(std::size(kNames) == std::variant_size_v<AttrValue>);
  return kNames[static_cast<int>(type)];
}

}  // namespace rlx
