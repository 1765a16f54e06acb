// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "rlx/v1/types.pb.h"
#include "runtime/base/status.h"

namespace rlx::ctl {

// One tensor of a file.
struct TensorSlice {
  v1::DType dtype = v1::DTYPE_UNSPECIFIED;
  std::vector<int64_t> shape;
  uint64_t offset = 0;  // bytes from the file's start
  uint64_t length = 0;  // bytes: what dtype and shape need
};

// What a safetensors file (runtime/base/safetensors.h) holds, by name. Every slice lies in the file
// and has the bytes that its type and shape need. InvalidArgument, naming the tensor, for a file
// that is damaged and for element types that rlxd does not have.
absl::StatusOr<std::map<std::string, TensorSlice, std::less<>>> ParseSafetensors(
    std::string_view bytes);

}  // namespace rlx::ctl
