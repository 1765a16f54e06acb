// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "runtime/kernel/type.h"

// Kernel IR: one kernel as a flat list of instructions.
//
//   * A value is the index of the instruction that defines it.
//   * Control flow is bracketed (loop .. end, if .. end): no blocks, no phis. What a loop carries,
//   or an
//     `if` decides, lives in a register cell (cell, get, set). A value defined inside a bracket is
//     not visible after its end.
//   * A launch runs `groups` workgroups of `local` lanes each; the lanes of one group run in
//   lockstep as
//     far as anyone can tell from barriers. A flat group id is all there is: kernels decompose it.
//   * Every walker (interpreter, CPU, GPU renderers) goes over the list once, front to back; what a
//     target cannot say is removed by a legalize pass first.
//
// Printed, the sum of two vectors of %3 elements, eight lanes a group:
//
//   kernel add local 8
//   buffers f32, f32, f32 mut
//   scalars i64
//   %0 = buffer f32 0
//   %1 = buffer f32 1
//   %2 = buffer f32 2
//   %3 = scalar i64 0
//   %4 = group_id i64
//   %5 = const i64 8
//   %6 = mul i64 %4 %5
//   %7 = local_id i64
//   %8 = add i64 %6 %7
//   %9 = lt bool %8 %3
//   if %9
//     %11 = load f32 %0 %8
//     %12 = load f32 %1 %8
//     %13 = add f32 %11 %12
//     store %2 %8 %13
//   end
namespace rlx::kernel {

// What an op means exactly is the interpreter's business (interpret.h); types stand in its row
// (op.h).
enum class Op : uint8_t {
  // Parameters and declarations: outside all brackets, except kConst, kCell and the ids.
  kBuffer,  // imm: slot in Kernel::buffers          -> pointer to elements of `type`
  kScalar,  // imm: slot in Kernel::scalars          -> value, the same in every lane
  kShared,  // imm: element count                    -> pointer to memory of the group, undefined at
            // first
  kConst,   // imm: the value's bits                 -> value
  kGroupId,  //                                       -> i32 or i64, 0 .. groups - 1
  kLocalId,  //                                       -> i32 or i64, 0 .. local - 1
  kCell,     // a: initial value                      -> cell
  // Brackets.
  kLoop,  // a: trip count, the same in every lane (none when <= 0)  -> i32 or i64, 0 .. a - 1
  kIf,    // a: bool, may differ between lanes
  kEnd,   // closes the innermost bracket
  // Memory.
  kLoad,   // a: pointer, b: index in elements (i32 or i64)
  kStore,  // a: pointer, b: index, c: value. Lanes that meet on an element must agree on the value
  kGet,    // a: cell
  kSet,    // a: cell, b: value
  kBarrier,  // orders the group's accesses to its shared memory. Uniform control flow only
  // Over all lanes of the group; every lane gets the result. Uniform control flow only. The order
  // is a
  // tree of halves: lane i with lane i + local/2, and so on.
  kReduceAdd,
  kReduceMul,
  kReduceMax,
  kReduceMin,
  // imm: mask, 1, 2, 4 .. 16, below `local`: a's value in lane (own id xor mask). Uniform control
  // flow only. What a subgroup of 32 lanes can do without memory.
  kShuffleXor,
  // Arithmetic. Signed integers made of ids, loop counters, constants and scalars alone ("index
  // arithmetic") must not overflow; all other integer arithmetic wraps.
  kAdd,
  kSub,
  kMul,
  kDiv,  // integers: towards zero; x / 0 = 0, so that no data can trap
  kRem,  // integers alone: the sign of a; x rem 0 = 0
  kMin,  // NaN if either is NaN; which zero of two is not said
  kMax,
  kNeg,
  kAbs,
  kFma,  // a * b + c with one rounding or two, whichever the target does faster
  // Bits (bool: logic). Shift amounts are taken modulo the width; kShr copies the sign of signed
  // types.
  kAnd,
  kOr,
  kXor,
  kNot,
  kShl,
  kShr,
  // Comparison -> bool. Unordered: only kNe holds.
  kEq,
  kNe,
  kLt,
  kLe,
  kSelect,  // a ? b : c
  // To `type`. Float to integer truncates, saturates and takes NaN to 0; integers wrap; anything to
  // bool
  // is != 0; f16 and bf16 convert by way of f32, rounding to nearest even.
  kCast,
  kBitcast,  // to a type of the same width
  // Mathematics, f32 and f64.
  kSqrt,
  kRsqrt,
  kExp,
  kExp2,
  kLog,
  kSin,
  kCos,
  kTan,
  kAtan,
  kTanh,
  kErf,
  kPow,
  kFloor,
  kCeil,
  kRound,  // half to even
};
inline constexpr int kOpCount = static_cast<int>(Op::kRound) + 1;

// Index of the defining instruction. The default is "none".
struct Value {
  int32_t id = -1;
  bool valid() const { return id >= 0; }
  bool operator==(const Value&) const = default;
};

struct Inst {
  Op op = Op::kEnd;
  Type type =
      Type::kVoid;  // of the result; of the elements for kBuffer and kShared; of a cell's value
  Value a = {}, b = {}, c = {};
  int64_t imm = 0;
  bool operator==(const Inst&) const = default;
};

// Two buffers of a launch may be the same memory only when the kernel, at each element, has read
// all it will before it writes.
struct BufferParam {
  Type type = Type::kVoid;
  bool writable = false;
  bool operator==(const BufferParam&) const = default;
};

struct Kernel {
  std::string name;  // [A-Za-z_][A-Za-z0-9_]*
  int local = 1;     // lanes of a group: a power of two, at most kMaxLocal
  std::vector<BufferParam> buffers;
  std::vector<Type>
      scalars;  // i64, f32 or f64; each takes one int64_t of the launch (f32: its low half)
  std::vector<Inst> body;
  // Not empty: the kernel as text in the language of the back end that made it, in place of a body,
  // for what instructions do not say. $k stands for the name. No one else can read it.
  std::string source = {};
  bool operator==(const Kernel&) const = default;

  const Inst& operator[](Value v) const { return body[static_cast<size_t>(v.id)]; }
};
inline constexpr int kMaxLocal = 1024;
// Lanes that kShuffleXor reaches: 32 neighbours from a multiple of 32 on.
inline constexpr int kSubgroup = 32;

}  // namespace rlx::kernel
