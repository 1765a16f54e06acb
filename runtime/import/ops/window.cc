// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/ops/window.h"

#include "runtime/import/ops/common.h"

namespace rlx::onnx {

absl::StatusOr<std::vector<int64_t>> PositiveList(const OpNode& n, std::string_view name,
                                                  size_t spatial) {
  std::vector<int64_t> list = n.IntList(name);
  if (list.empty()) list.assign(spatial, 1);
  if (list.size() != spatial)
    return InvalidArgument("attribute \"", name, "\" has ", list.size(), " entries for ", spatial,
                           " spatial axes");
  for (const int64_t entry : list)
    if (entry < 1 || entry > INT32_MAX)
      return InvalidArgument("attribute \"", name, "\" has ", entry);
  return list;
}

absl::StatusOr<Window> WindowOf(const OpNode& n, const std::vector<int64_t>& kernel) {
  const size_t spatial = kernel.size();
  if (n.rank(0) != static_cast<int>(spatial) + 2)
    return InvalidArgument("operand 0 has rank ", n.rank(0), " for ", spatial, " spatial axes");
  Window out;
  RLX_ASSIGN(out.strides, PositiveList(n, "strides", spatial));
  RLX_ASSIGN(out.dilations, PositiveList(n, "dilations", spatial));
  RLX_ASSIGN(const std::string mode,
             n.Choice("auto_pad", "NOTSET", {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"}));
  out.pads = mode == "NOTSET" ? n.IntList("pads") : std::vector<int64_t>{};
  if (out.pads.empty()) out.pads.assign(2 * spatial, 0);
  if (out.pads.size() != 2 * spatial)
    return InvalidArgument("attribute \"pads\" has ", out.pads.size(), " entries for ", spatial,
                           " spatial axes");
  for (const int64_t pad : out.pads)
    if (pad < 0 || pad > INT32_MAX) return InvalidArgument("attribute \"pads\" has ", pad);
  if (mode != "SAME_UPPER" && mode != "SAME_LOWER") return out;
  for (size_t i = 0; i < spatial; ++i) {
    const Dim& extent = n.shape(0)[i + 2];
    int64_t total = 0;
    if (extent.is_static()) {
      const int64_t steps = (extent.value() + out.strides[i] - 1) / out.strides[i];
      total =
          (steps - 1) * out.strides[i] + (kernel[i] - 1) * out.dilations[i] + 1 - extent.value();
    } else if (out.strides[i] == 1) {
      total = (kernel[i] - 1) * out.dilations[i];
    } else {
      return Unimplemented("auto_pad ", mode, " of extent ", extent, " with stride ",
                           out.strides[i]);
    }
    total = std::max<int64_t>(total, 0);
    const bool upper = mode == "SAME_UPPER";
    out.pads[i] = upper ? total / 2 : total - total / 2;
    out.pads[i + spatial] = total - out.pads[i];
  }
  return out;
}

}  // namespace rlx::onnx
