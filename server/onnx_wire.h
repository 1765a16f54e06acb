// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rlx/v1/compiler.pb.h"
#include "runtime/engine/compile.h"

namespace rlx::server {

// A blob of the caller's, by what a request says of it: `what` names the field.
using BlobReader =
    std::function<absl::StatusOr<SharedBytes>(const v1::BlobRef&, std::string_view what)>;

// Imports an ONNX model from blobs: fills `out`'s module and weights, which are slices of the
// blobs.
absl::Status ReadOnnx(const v1::OnnxModel& model, const BlobReader& blobs, const Limits& limits,
                      engine::CompileSpec& out);

void WeightToWire(const engine::WeightSource& weight, v1::WeightBinding& out);

}  // namespace rlx::server
