// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/kernel/kernel.h"

namespace rlx::kernel {

// How operand types and the result's type hang together.
enum class Form : uint8_t {
  kSpecial,  // has a rule of its own in the verifier
  kSame,     // all operands have the result's type, which is in `types`
  kCompare,  // both operands have one type in `types`, the result is bool
  kId,       // no operand, the result's type is in `types`
};

// The facts about an op: one row each, in the order of the enum.
struct OpInfo {
  Op op;
  std::string_view name;  // as printed and parsed
  int operands;
  Form form;
  TypeSet types;
  bool pure;  // the result depends on the operands alone: foldable, movable
};

const OpInfo& Info(Op op);
inline std::string_view Name(Op op) { return Info(op).name; }
const OpInfo* FindOp(std::string_view name);  // null: there is none

}  // namespace rlx::kernel
