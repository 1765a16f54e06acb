// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "rlx/v1/compiler.pb.h"
#include "runtime/base/status.h"

namespace rlx::ctl {

struct Context;

// Whether a module's file is an ONNX model, by its name.
inline bool IsOnnx(std::string_view path) { return path.ends_with(".onnx"); }

// The files that the tensors of a serialized ModelProto name as the place of their data.
// InvalidArgument when the bytes are no such message.
absl::StatusOr<std::set<std::string>> ExternalLocations(std::string_view model);

// The real path of a file that a model in `folder` (a real path) names. PermissionDenied when that
// leaves the folder, by name or by link.
absl::StatusOr<std::string> BesideModel(std::string_view folder, std::string_view location);

// Makes the server have the model and the files beside it that it needs.
absl::StatusOr<v1::OnnxModel> UploadOnnx(std::string_view path, Context& context);

}  // namespace rlx::ctl
