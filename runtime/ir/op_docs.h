// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace rlx {

// docs/ops.md: every op of the table with its operands, attributes, claim and meaning.
std::string OpDocs();

}  // namespace rlx
