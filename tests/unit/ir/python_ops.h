// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

namespace rlx {

// clients/python/src/rlxd/_ops.py: a typed method for every row of the op table whose operands and
// attributes say all there is to say (no nested graphs), except those in `written`, which people
// write.
std::string PythonOps(const std::set<std::string>& written);

// The methods that a Python source defines: `    def NAME(`.
std::set<std::string> MethodsOf(const std::string& source);

// What the Python builders call an op: "if" is a keyword there, and a block that wraps an op has
// that op's name for its last part.
std::string PythonName(std::string_view op);

}  // namespace rlx
