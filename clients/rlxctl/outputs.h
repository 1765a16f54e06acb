// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rlx/v1/sessions.pb.h"
#include "runtime/base/json.h"
#include "runtime/base/status.h"

namespace rlx::ctl {

// One output of a run, and where it was written, if it was.
struct Output {
  const v1::NamedTensor* named;  // of the response
  std::string path;
};

// Checks the outputs and, unless `folder` is empty, writes each there as NAME.npy; the folder is
// made. Of a name only letters, digits, `.`, `-` and `_` stay, so that no name leads elsewhere.
// `response` must outlive what is returned.
absl::StatusOr<std::vector<Output>> WriteOutputs(const v1::RunResponse& response,
                                                 std::string_view folder);

std::string OutputsText(const std::vector<Output>& outputs, uint64_t values);

// Elements of an array that the caller has begun.
void WriteOutputValues(const std::vector<Output>& outputs, uint64_t values, JsonWriter& json);

}  // namespace rlx::ctl
