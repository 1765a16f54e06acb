// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "runtime/kernel/kernel.h"

// Kernels of the shapes that lowering makes, with static extents: what the interpreter, the code
// generators and their benches are tried on. Buffers stand in the order of the parameters named in
// each comment.
namespace rlx::kernel::test {

// x, y -> out: x + y; ceil(elements / local) groups.
Kernel AddKernel(int local, int64_t elements);
// x, bias -> out: tanh(x + bias[column]) * 2; rows of `columns`, one group per `local` elements.
Kernel BiasTanhKernel(int local, int64_t rows, int64_t columns);
// x -> out: 0.5 x (1 + erf(x / sqrt 2)); ceil(elements / local) groups.
Kernel GeluKernel(int local, int64_t elements);
// x -> out, row by row; a group per row.
Kernel SoftmaxKernel(int local, int64_t columns);
// x, residual, gamma, beta -> out, sum: sum = x + residual, out its layer norm; a group per row.
Kernel LayerNormKernel(int local, int64_t columns, float epsilon);
// x[outer][n][inner] -> out[outer][inner]: the sum over the middle; a group per `local` outputs.
Kernel ReduceMiddleKernel(int local, int64_t outer, int64_t n, int64_t inner);
// x[rows][columns] -> out[columns][rows]; a group per `local` outputs.
Kernel TransposeKernel(int local, int64_t rows, int64_t columns);
// table[entries][columns], index (i64) -> out[i][columns], the index clamped into the table; a
// group per row.
Kernel GatherKernel(int local, int64_t entries, int64_t columns);
// x -> out (i64): the column of the largest element, the first of several; a group per row.
Kernel ArgMaxKernel(int local, int64_t columns);
// x of `from` -> out of `to`; ceil(elements / local) groups.
Kernel CastKernel(int local, Type from, Type to, int64_t elements);
// x[local] -> out[local], back to front by way of shared memory; any number of groups.
Kernel ReverseKernel(int local);
// x -> out: one op of one or two operands (two: x and y -> out) on f32 or f64.
Kernel MathKernel(int local, Op op, Type t, int64_t elements);

}  // namespace rlx::kernel::test
