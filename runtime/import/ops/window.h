// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/import/node.h"

// Windows that slide over the axes after batch and channels.
namespace rlx::onnx {

struct Window {
  std::vector<int64_t> strides;  // one per spatial axis
  std::vector<int64_t> pads;     // begins, then ends
  std::vector<int64_t> dilations;
};

// A list of ints that are at least 1, one per spatial axis; ones when absent.
absl::StatusOr<std::vector<int64_t>> PositiveList(const OpNode& n, std::string_view name,
                                                  size_t spatial);

// From the attributes strides, dilations, pads and auto_pad, for operand 0 and such a kernel.
absl::StatusOr<Window> WindowOf(const OpNode& n, const std::vector<int64_t>& kernel);

}  // namespace rlx::onnx
