// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rlx_op_table.h"

namespace rlx {

// Every op of HIR and MIR: kAbs, kAdd … as the rows in runtime/ir/ops name them (the build collects
// them, see cmake/rlx_op_table.cmake). What an op *is* stands in its row (op_info.h); nothing
// outside the rows and the back ends' claims switches on this enum. The numbers are internal: wire
// and text use names.
enum class OpKind : uint16_t {
#define RLX_KIND(name) k##name,
  RLX_OP_KINDS(RLX_KIND)
#undef RLX_KIND
};

#define RLX_ONE(name) +1
inline constexpr int kOpKindCount = RLX_OP_KINDS(RLX_ONE);
#undef RLX_ONE

}  // namespace rlx
