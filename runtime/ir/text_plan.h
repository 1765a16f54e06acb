// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/ir/lir.h"
#include "runtime/ir/text_scanner.h"

namespace rlx {

// The plan's part of the text form (text.h), indented by `indent` steps of two spaces.
void PrintPlan(const BufferPlan& plan, int indent, std::string& out);

// What stands after `plan`, for a graph whose nodes and outputs are known. Every value named is
// there; the rest is for lower::VerifyPlan.
absl::StatusOr<BufferPlan> ScanPlan(const Graph& graph, TextScanner& scan);

// `%7` or `%7.1`.
absl::StatusOr<Value> ScanValue(TextScanner& scan);

}  // namespace rlx
