// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/statusor.h>

#include <array>
#include <span>
#include <string>

#include "runtime/kernel/legalize/legalize.h"
#include "runtime/kernel/op.h"

// Kernels as source text of a GPU's language. One walker goes over the list; what a language says
// differently stands in its Dialect, a table of spellings.
namespace rlx::kernel {

// How a language writes an instruction. Of an op's rows the first that fits is used.
//
//   $a $b $c   operands        $t   the result's type      $u   the unsigned type of its width
//   $n         the immediate   $f   "f" for f32, else ""   $m   the group's lanes as bits of a mask
struct Spelling {
  Op op;
  TypeSet types;            // of the result; of the operands where the op compares
  std::string_view text;    // an expression, or a statement where the op has no result
  TypeSet from = kAnyType;  // of operand a
  // For index arithmetic alone, which does not overflow; divisors are positive constants there.
  bool index = false;
};

struct TypeSpelling {
  std::string_view value;   // in registers
  std::string_view memory;  // in buffers
  std::string_view wrap;    // the unsigned type in which it wraps; empty: does not compute
};

struct Dialect {
  std::string_view name;     // "cuda"
  std::string_view prelude;  // before the first kernel
  // $k the kernel's name, $n its lanes, $p its parameters; $t the type, $k the name of a parameter.
  std::string_view head, input, output, scalar, separator;
  std::string_view shared;                  // $t, $k, $n elements
  std::string_view load, load_bool, store;  // $a memory, $b index, $c value
  std::array<TypeSpelling, kTypeCount> types;
  std::span<const Spelling> ops;
  // What is taken from a kernel first, and what the table therefore need not say.
  std::span<absl::StatusOr<Kernel> (*const)(const Kernel&)> legalize;
  std::span<const Property> needs;
};

const Dialect& CudaDialect();

// The prelude and the kernels, in their order, under their names; a source as it stands. kInternal
// for a kernel that does not verify or for which the dialect has no words.
absl::StatusOr<std::string> Render(std::span<const Kernel> kernels, const Dialect& dialect);

}  // namespace rlx::kernel
