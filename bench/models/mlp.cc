// SPDX-License-Identifier: Apache-2.0
#include "bench/models/parts.h"

namespace rlx::models {

Module Mlp(const std::vector<int64_t>& widths, const Extents& extents, FusionPolicy policy) {
  CHECK(widths.size() >= 2, "an mlp needs two widths");
  Net net("mlp", {.batch = extents.batch, .max_batch = extents.max_batch}, policy);
  Value x = net.Input("x", {extents.batch, widths[0]});
  for (size_t i = 1; i < widths.size(); ++i) {
    net.SetPrefix(Cat("layer.", i - 1, "."));
    const bool last = i + 1 == widths.size();
    x = net.Block(OpKind::kHirLinear,
                  {x, net.Param("w", {widths[i - 1], widths[i]}), net.Param("b", {widths[i]})},
                  {{"activation", std::string(last ? "none" : "gelu")}});
  }
  return net.Finish("y", x);
}

}  // namespace rlx::models
