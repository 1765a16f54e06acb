// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "server/models/readers.h"

namespace rlx::server {

// A version that is an ONNX model. Initializers stay where they are: slices of the model's file, or
// of the files beside it that it names, each a blob. NotFound names a file that is not beside it.
absl::StatusOr<ReadModel> ReadOnnxModel(const ReadContext& context);

}  // namespace rlx::server
