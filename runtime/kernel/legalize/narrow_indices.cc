// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <vector>

#include "runtime/base/checked.h"
#include "runtime/kernel/builder.h"
#include "runtime/kernel/legalize/legalize.h"
#include "runtime/kernel/uniform.h"

namespace rlx::kernel {
namespace {

// The least and the greatest that a value can be.
struct Range {
  int64_t low = 0, high = 0;
};
using Known = std::optional<Range>;

constexpr int64_t kLeast = std::numeric_limits<int32_t>::min();
constexpr int64_t kMost = std::numeric_limits<int32_t>::max();

// Of `f` on the corners, for what is monotonic in each operand.
template <class F>
Known Corners(const Range& a, const Range& b, F&& f) {
  Range out{std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()};
  for (int64_t x : {a.low, a.high}) {
    for (int64_t y : {b.low, b.high}) {
      const std::optional<int64_t> value = f(x, y);
      if (!value) return std::nullopt;
      out = {std::min(out.low, *value), std::max(out.high, *value)};
    }
  }
  return out;
}

Known Combine(Op op, const Range& a, const Range& b) {
  switch (op) {
    case Op::kAdd:
      return Corners(a, b, CheckedAdd<int64_t>);
    case Op::kSub:
      return Corners(a, b, CheckedSub<int64_t>);
    case Op::kMul:
      return Corners(a, b, CheckedMul<int64_t>);
    case Op::kMin:
      return Range{std::min(a.low, b.low), std::min(a.high, b.high)};
    case Op::kMax:
      return Range{std::max(a.low, b.low), std::max(a.high, b.high)};
    case Op::kDiv:
      if (b.low < 1) return std::nullopt;
      return Corners(a, b, [](int64_t x, int64_t y) { return std::optional(x / y); });
    case Op::kRem:
      if (b.low < 1) return std::nullopt;
      return Range{a.low >= 0 ? 0 : 1 - b.high, std::max<int64_t>(0, std::min(a.high, b.high - 1))};
    default:
      return std::nullopt;
  }
}

class Ranges {
 public:
  Ranges(const Kernel& kernel, int64_t groups, std::span<const int64_t> scalars)
      : kernel_(kernel), groups_(groups), scalars_(scalars), known_(kernel.body.size()) {
    for (size_t at = 0; at < kernel.body.size(); ++at) known_[at] = Of(kernel.body[at]);
  }

  // Whether the value, and every one that it is made of, lies in 32 bits.
  std::vector<bool> Narrow() const {
    const std::vector<bool> index = FindIndices(kernel_);
    std::vector<bool> narrow(kernel_.body.size());
    for (size_t at = 0; at < kernel_.body.size(); ++at) {
      const Inst& inst = kernel_.body[at];
      const bool constant = inst.op == Op::kConst && inst.type == Type::kI64;
      if (!known_[at] || known_[at]->low < kLeast || known_[at]->high > kMost) continue;
      if (inst.op == Op::kScalar || inst.type != Type::kI64 || (!index[at] && !constant)) continue;
      const auto fits = [&](Value v) {
        return !v.valid() || kernel_[v].type == Type::kI32 || narrow[static_cast<size_t>(v.id)];
      };
      narrow[at] = fits(inst.a) && fits(inst.b);
    }
    return narrow;
  }

 private:
  Known Of(const Inst& inst) const {
    if (!Has(kIndices, inst.type)) return std::nullopt;
    const auto operand = [&](Value v) {
      return v.valid() ? known_[static_cast<size_t>(v.id)] : Known();
    };
    const Known a = operand(inst.a), b = operand(inst.b);
    switch (inst.op) {
      case Op::kConst:
        return Range{inst.imm, inst.imm};
      case Op::kGroupId:
        return Range{0, std::max<int64_t>(0, groups_ - 1)};
      case Op::kLocalId:
        return Range{0, kernel_.local - 1};
      case Op::kScalar:
        return Range{scalars_[static_cast<size_t>(inst.imm)],
                     scalars_[static_cast<size_t>(inst.imm)]};
      case Op::kLoop:
        return a ? Known(Range{0, std::max<int64_t>(0, a->high - 1)}) : Known();
      case Op::kCast:
        return a;
      default:
        return a && b ? Combine(inst.op, *a, *b) : Known();
    }
  }

  const Kernel& kernel_;
  int64_t groups_;
  std::span<const int64_t> scalars_;
  std::vector<Known> known_;
};

class Narrowing {
 public:
  Narrowing(const Kernel& kernel, std::vector<bool> narrow)
      : kernel_(kernel), narrow_(std::move(narrow)), b_(kernel), copy_(kernel.body.size()) {}

  absl::StatusOr<Kernel> Run() && {
    for (size_t at = 0; at < kernel_.body.size(); ++at) copy_[at] = Step(at);
    return std::move(b_).Finish();
  }

 private:
  bool IsNarrow(Value v) const {
    return v.valid() && (narrow_[static_cast<size_t>(v.id)] || kernel_[v].type == Type::kI32);
  }
  // As it stands in the copy, and as those see it who want it as it was.
  Value As(Value v) const { return v.valid() ? copy_[static_cast<size_t>(v.id)] : v; }
  Value Wide(Value v) { return v.valid() ? b_.Cast(kernel_[v].type, As(v)) : v; }

  Value Step(size_t at) {
    Inst inst = kernel_.body[at];
    if (narrow_[at]) {
      if (inst.op == Op::kConst) return b_.I32(static_cast<int32_t>(inst.imm));
      if (inst.op == Op::kCast) return b_.Cast(Type::kI32, As(inst.a));
      inst.type = Type::kI32;
      inst.a = As(inst.a);
      inst.b = As(inst.b);
      return b_.Emit(inst);
    }
    const bool pointer = inst.op == Op::kLoad || inst.op == Op::kStore;
    const bool compares = inst.op >= Op::kEq && inst.op <= Op::kLe;
    if (compares && IsNarrow(inst.a) && IsNarrow(inst.b)) {
      return b_.Compare(inst.op, As(inst.a), As(inst.b));
    }
    // A cell stands for itself; its type is that of what is kept in it.
    const bool through = pointer || inst.op == Op::kGet || inst.op == Op::kSet;
    inst.a = through ? As(inst.a) : Wide(inst.a);
    inst.b = pointer ? As(inst.b) : Wide(inst.b);
    inst.c = Wide(inst.c);
    return b_.Emit(inst);
  }

  const Kernel& kernel_;
  const std::vector<bool> narrow_;
  Builder b_;
  std::vector<Value> copy_;
};

}  // namespace

absl::StatusOr<Kernel> NarrowIndices(const Kernel& kernel, int64_t groups,
                                     std::span<const int64_t> scalars) {
  return Narrowing(kernel, Ranges(kernel, groups, scalars).Narrow()).Run();
}

}  // namespace rlx::kernel
