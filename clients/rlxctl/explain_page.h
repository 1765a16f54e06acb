// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "rlx/v1/compiler.pb.h"

namespace rlx::ctl {

struct ExplainModel;

// One self-contained HTML page: blocks, misses, arena, kernels, passes. `sources` may be empty;
// then kernels are shown as the answer has them.
std::string ExplainPage(const ExplainModel& model, const v1::ExportSourceResponse& sources);

// What the page is made of besides the data.
extern const std::string_view kPageStyle, kPageBody, kPageScript;

}  // namespace rlx::ctl
