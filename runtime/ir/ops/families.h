// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "rlx_op_table.h"
#include "runtime/ir/op_info.h"

namespace rlx {

// One list of rows per file of this folder, `std::span<const OpInfo> LeafOps() { … }`, found by the
// build; op_table.cc puts the rows in OpKind order and checks that every kind has exactly one.
#define RLX_FAMILY(name) std::span<const OpInfo> name();
RLX_OP_FAMILIES(RLX_FAMILY)
#undef RLX_FAMILY

}  // namespace rlx
