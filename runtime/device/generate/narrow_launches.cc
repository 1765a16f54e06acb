// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/generate/narrow_launches.h"

#include "runtime/base/check.h"
#include "runtime/kernel/legalize/legalize.h"

namespace rlx::device {

void NarrowLaunches::Launch(const kernel::Kernel& kernel, std::vector<int32_t> buffers,
                            std::vector<int64_t> scalars, int64_t groups, std::string label) {
  if (!kernel.source.empty()) {
    to_.Launch(kernel, std::move(buffers), std::move(scalars), groups, std::move(label));
    return;
  }
  const auto narrow = kernel::NarrowIndices(kernel, groups, scalars);
  CHECK(narrow.ok(), "narrow_indices: ", narrow.status().message());
  to_.Launch(*narrow, std::move(buffers), std::move(scalars), groups, std::move(label));
}

}  // namespace rlx::device
