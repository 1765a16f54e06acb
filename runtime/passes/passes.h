// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "rlx_pass_list.h"

// Every pass stands in a file of its name: the pattern drawn, the function, and its row, which says
// when it runs and why there. The build collects them (cmake/rlx_pass_list.cmake) and declares the
// functions; docs/passes.md shows the list.
namespace rlx::passes {

// In the order of a pipeline, as the rows ask for it.
std::span<const Pass> AllPasses();

}  // namespace rlx::passes
