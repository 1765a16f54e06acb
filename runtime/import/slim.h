// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace rlx::onnx {

// A serialized ModelProto without the payloads of its tensors (raw_data, float_data, double_data),
// each of which is replaced by its place in `model`: TensorProto.payload_offset and payload_length.
// So weights are never copied, however large the file. The fields above 60000 that do this are
// dropped where a model brings them itself.
// InvalidArgument, with the place, for bytes that are no protobuf message, and for nesting deeper
// than 100 messages.
absl::StatusOr<std::string> Slim(std::string_view model);

}  // namespace rlx::onnx
