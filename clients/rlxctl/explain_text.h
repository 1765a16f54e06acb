// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace rlx::ctl {

struct ExplainModel;

// The module as a tree of blocks: what fused where, what did not and what it would take. Neighbours
// that became the same are shown once; nodes that stay as they are are counted, unless `all`.
std::string ExplainText(const ExplainModel& model, bool all);

}  // namespace rlx::ctl
