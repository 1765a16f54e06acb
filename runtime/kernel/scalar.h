// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "runtime/kernel/op.h"

// One lane's values: what an operation means on scalars. The interpreter and the builder's constant
// folding share it.
namespace rlx::kernel {

// A value of any type as Inst::imm holds it: integers extended to 64 bits by their sign (u8, u32:
// by zeros), bool 0 or 1, floats their bit pattern in the low bits, zeros above.
using Bits = int64_t;

// Rounded to `t`, once, as kCast from f64 or i64 does (i64 to a narrow float: by way of f32).
Bits EncodeFloat(Type t, double value);
Bits EncodeInt(Type t, int64_t value);
double ToDouble(Type t, Bits bits);  // any type

// Memory <-> value.
Bits LoadScalar(Type t, const void* at);
void StoreScalar(Type t, Bits bits, void* at);

// The result of a pure op (other than kConst) with result type `type` on operands of type `from`
// (kSelect: the type of b and c). f32 results are those of double arithmetic rounded once, so that
// this is the ideal which walkers approach.
Bits Evaluate(Op op, Type type, Type from, const std::array<Bits, 3>& operands);

// Whether signed `op` on a and b overflows `type`; false for ops that cannot.
bool Overflows(Op op, Type type, Bits a, Bits b);

}  // namespace rlx::kernel
