// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "runtime/base/status.h"

namespace rlx {

// One tensor of a safetensors file, as the file's header describes it.
struct SafeTensor {
  std::string dtype;           // "F32", "BF16" …
  std::vector<int64_t> shape;  // extents >= 0
  uint64_t offset = 0;         // bytes from the file's start
  uint64_t length = 0;         // bytes; lies in the file
};

// rlx's name ("f32", "fp8e4m3") for the element type that such files call `dtype`. Files name more
// types than rlx has: the caller looks the answer up.
std::string DTypeNameFromSafetensors(std::string_view dtype);

// What a safetensors file holds, by name: eight bytes with the length of a JSON header, the header
// {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}, the data. The contents
// are untrusted: InvalidArgument, naming the tensor, for a file that is damaged. Whether a tensor's
// bytes suit its type and shape is for the caller to check, who knows the types.
absl::StatusOr<std::map<std::string, SafeTensor, std::less<>>> ParseSafetensors(
    std::string_view bytes);

}  // namespace rlx
