// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

namespace rlx::ctl {

// Runs the command that the arguments (without the program's name) ask for. Writes what it found to
// stdout, everything else to stderr, and returns the process's exit code (failure.h).
int Main(const std::vector<std::string_view>& args);

}  // namespace rlx::ctl
