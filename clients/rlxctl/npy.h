// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rlx/v1/types.pb.h"
#include "runtime/base/status.h"

namespace rlx::ctl {

// NumPy's .npy format, versions 1 to 3 (numpy.lib.format): one array, its dtype and shape in a
// header that is a Python dict. Bfloat16, which NumPy does not have, is `|V2`, as ml_dtypes writes
// it. InvalidArgument for a file that is damaged, and for what rlxd has no type for: big-endian,
// structured, empty.
absl::StatusOr<v1::Tensor> ParseNpy(std::string_view bytes);

// What stands in such a file before the tensor's data, which follows as it is.
std::string NpyHeader(const v1::Tensor& tensor);

}  // namespace rlx::ctl
