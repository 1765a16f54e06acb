// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rlx/v1/module.pb.h"
#include "runtime/base/status.h"

namespace rlx::ctl {

// A module from a file, or from stdin for "-": a serialized GraphModule, the IR as text
// (runtime/ir/text.h, what `lower` prints and a repository's module.txt holds), or a GraphModule in
// protobuf's text format. ".pb" is the first and ".rlx" the second; with any other name text that
// begins with a stage (hir, mir, lir) is the second, and what is not the first either (".pbtxt" and
// ".txtpb" never are) is taken for the third. InvalidArgument, with line and column where there are
// any, when it is none of them.
absl::StatusOr<v1::GraphModule> ReadModule(std::string_view path);
absl::StatusOr<v1::GraphModule> ParseModule(std::string_view bytes, std::string_view path);

// Writes it as text when the name ends so, else serialized.
absl::Status WriteModule(const v1::GraphModule& module, std::string_view path);

// A file that a person names: links are followed, unlike in runtime/base/file.h. The bytes are
// mapped.
absl::StatusOr<std::string> RealPath(std::string_view path);

}  // namespace rlx::ctl
