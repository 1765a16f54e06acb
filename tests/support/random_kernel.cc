// SPDX-License-Identifier: Apache-2.0
#include "tests/support/random_kernel.h"

#include <random>

#include "runtime/base/check.h"
#include "runtime/kernel/builder.h"

namespace rlx::kernel::test {
namespace {

using enum Type;

constexpr Type kPlanes[] = {kF32, kI32, kI64, kBool};  // of inputs, and of outputs
constexpr int kPlaneCount = 4;

class Generator {
 public:
  Generator(uint64_t seed, int local) : random_(seed), b_("random", local) {}

  Kernel Run() {
    for (Type t : kPlanes) inputs_.push_back(b_.Input(t));
    for (Type t : kPlanes) outputs_.push_back(b_.Output(t));
    scalar_ = b_.Scalar(kI64);
    Seed();
    Statements(3, /*uniform=*/true);
    for (int plane = 0; plane < kPlaneCount; ++plane) {
      b_.Store(outputs_[static_cast<size_t>(plane)], b_.GlobalId(kI64), Pick(kPlanes[plane]));
    }
    absl::StatusOr<Kernel> kernel = std::move(b_).Finish();
    CHECK(kernel.ok(), kernel.status().message());
    return *std::move(kernel);
  }

 private:
  int Below(int n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }
  bool Chance(int percent) { return Below(100) < percent; }

  std::vector<Value>& Pool(Type t) { return pool_[static_cast<size_t>(t)]; }
  Value Pick(Type t) {
    return Pool(t)[static_cast<size_t>(Below(static_cast<int>(Pool(t).size())))];
  }
  void Keep(Value v) { Pool(b_.TypeOf(v)).push_back(v); }

  void Seed() {
    for (Type t : {kI32, kI64}) {
      indices_[t == kI64].push_back(b_.GlobalId(t));
      indices_[t == kI64].push_back(b_.LocalId(t));
      indices_[t == kI64].push_back(b_.GroupId(t));
    }
    for (int plane = 0; plane < kPlaneCount; ++plane) {
      Keep(b_.Load(inputs_[static_cast<size_t>(plane)], b_.GlobalId(kI64)));
    }
    for (Type t : {kI32, kI64, kU32, kF32, kF64}) Keep(b_.Int(t, Below(7)));
    Keep(b_.Float(kF64, 0.75));
    Keep(scalar_);
    for (Type t : {kF32, kI32, kBool}) cells_.push_back(b_.Cell(Pick(t)));
  }

  // What a bracket defines is forgotten at its end.
  template <class Body>
  void Scoped(Body&& body) {
    const auto pool = pool_;
    const auto indices = indices_;
    body();
    pool_ = pool;
    indices_ = indices;
  }

  void Statements(int depth, bool uniform) {
    const int count = 3 + Below(6);
    for (int i = 0; i < count; ++i) Statement(depth, uniform);
  }

  void Statement(int depth, bool uniform) {
    switch (Below(12)) {
      case 0:
        if (depth > 0) {
          Scoped([&] {
            b_.For(b_.I32(Below(4)), [&](Value i) {
              indices_[0].push_back(i);
              Statements(depth - 1, uniform);
            });
          });
        }
        return;
      case 1:
      case 2:
        if (depth > 0) {
          const Value condition = Condition();
          Scoped([&] { b_.If(condition, [&] { Statements(depth - 1, false); }); });
        }
        return;
      case 3: {
        const Value cell = cells_[static_cast<size_t>(Below(static_cast<int>(cells_.size())))];
        if (Chance(50)) return b_.Set(cell, Pick(b_.TypeOf(cell)));
        return Keep(b_.Get(cell));
      }
      case 4:
        return Keep(b_.Load(inputs_[static_cast<size_t>(Below(kPlaneCount))], Place()));
      case 5: {
        const int plane = Below(kPlaneCount);
        return b_.Store(outputs_[static_cast<size_t>(plane)], b_.GlobalId(Chance(50) ? kI32 : kI64),
                        Pick(kPlanes[plane]));
      }
      case 6:
        return Index();
      case 7:
        if (uniform && Chance(60)) return Meet();
        return Logic();
      default:
        return Arithmetic();
    }
  }

  // A comparison of progressions, with bounds and with each other, or of data.
  Value Condition() {
    if (Chance(40)) return Pick(kBool);
    const bool wide = Chance(50);
    const Value a = PickIndex(wide);
    const Value b = Chance(60) ? b_.Int(wide ? kI64 : kI32, Below(140)) : PickIndex(wide);
    const Op ops[] = {Op::kLt, Op::kLe, Op::kEq, Op::kNe};
    const Op op = ops[Below(4)];
    const Value compared = Chance(50) ? b_.Compare(op, a, b) : b_.Compare(op, b, a);
    return Chance(25) ? b_.And(compared, Pick(kBool)) : compared;
  }

  Value PickIndex(bool wide) {
    auto& pool = indices_[wide];
    return pool[static_cast<size_t>(Below(static_cast<int>(pool.size())))];
  }

  // Index arithmetic stays small, so that it cannot overflow.
  void Index() {
    const bool wide = Chance(50);
    const Type t = wide ? kI64 : kI32;
    const Value a = PickIndex(wide);
    const int constants[] = {1, 2, 3, 4, 5, 8, 16, 32, 64};
    const Value c = b_.Int(t, constants[Below(9)]);
    Value out;
    switch (Below(7)) {
      case 0:
        out = b_.Add(a, PickIndex(wide));
        break;
      case 1:
        out = b_.Sub(a, Chance(50) ? PickIndex(wide) : c);
        break;
      case 2:
        out = b_.Rem(b_.Mul(a, c), b_.Int(t, 1 << 20));
        break;
      case 3:
        out = b_.Div(a, c);
        break;
      case 4:
        out = b_.Rem(a, c);
        break;
      case 5:
        out = b_.Select(Pick(kBool), a, PickIndex(wide));
        break;
      default: {
        const Value other = b_.Cast(wide ? kI32 : kI64, a);
        indices_[!wide].push_back(other);
        Keep(other);
        return;
      }
    }
    indices_[wide].push_back(out);
    Keep(out);
  }

  // Anything, brought into the buffers.
  Value Place() {
    const bool wide = Chance(50);
    const Type t = wide ? kI64 : kI32;
    const Value i = Chance(70) ? PickIndex(wide) : Pick(t);
    return b_.Min(b_.Max(i, b_.Int(t, 0)), b_.Int(t, kRandomElements - 1));
  }

  // Reductions, and an exchange through shared memory.
  void Meet() {
    if (Chance(60)) {
      const Op ops[] = {Op::kReduceAdd, Op::kReduceMul, Op::kReduceMax, Op::kReduceMin};
      const Type types[] = {kF32, kI32, kI64, kU32, kF64};
      return Keep(b_.Reduce(ops[Below(4)], Pick(types[Below(5)])));
    }
    if (!memory_.valid()) return;
    b_.Barrier();
    b_.Store(memory_, b_.LocalId(kI32), Pick(kF32));
    b_.Barrier();
    const Value turned = b_.Add(b_.LocalId(kI32), b_.I32(Below(b_.local())));
    Keep(b_.Load(memory_, b_.Rem(turned, b_.I32(b_.local()))));
  }

  void Logic() {
    const Op ops[] = {Op::kAnd, Op::kOr, Op::kXor};
    const Type types[] = {kBool, kI32, kI64, kU32};
    const Type t = types[Below(4)];
    if (Chance(20)) return Keep(b_.Not(Pick(t)));
    Keep(b_.Binary(ops[Below(3)], Pick(t), Pick(t)));
  }

  void Arithmetic() {
    const Type types[] = {kF32, kI32, kI64, kU32, kF64};
    const Type t = types[Below(5)];
    const bool is_float = Has(kFloats, t);
    switch (Below(6)) {
      case 0:
        return Keep(b_.Cast(types[Below(5)], Pick(Chance(20) ? kBool : t)));
      case 1:
        return Keep(b_.Select(Pick(kBool), Pick(t), Pick(t)));
      case 2: {
        const Op ops[] = {Op::kEq, Op::kNe, Op::kLt, Op::kLe};
        return Keep(b_.Compare(ops[Below(4)], Pick(t), Pick(t)));
      }
      case 3: {
        const Op floats[] = {Op::kNeg, Op::kAbs, Op::kSqrt, Op::kFloor, Op::kCeil, Op::kRound};
        return Keep(b_.Unary(floats[Below(is_float ? 6 : 2)], Wild(t)));
      }
      default: {
        const Op ops[] = {Op::kAdd, Op::kSub, Op::kMul, Op::kDiv, Op::kMin,
                          Op::kMax, Op::kRem, Op::kShl, Op::kShr};
        return Keep(b_.Binary(ops[Below(is_float ? 6 : 9)], Wild(t), Pick(t)));
      }
    }
  }

  // Data, whose arithmetic wraps: index arithmetic must not overflow, so a loaded value is mixed
  // in.
  Value Wild(Type t) {
    if (t == kI32 || t == kI64) {
      const Value data = b_.Load(inputs_[t == kI32 ? 1 : 2], b_.GlobalId(kI64));
      return b_.Binary(Op::kXor, Pick(t), data);
    }
    return Pick(t);
  }

 public:
  void WithSharedMemory() { memory_ = b_.Shared(kF32, b_.local()); }

 private:
  std::mt19937_64 random_;
  Builder b_;
  std::vector<Value> inputs_, outputs_, cells_;
  Value scalar_, memory_;
  std::array<std::vector<Value>, kTypeCount> pool_;
  std::array<std::vector<Value>, 2> indices_;  // i32, i64
};

}  // namespace

Kernel RandomKernel(uint64_t seed, int local) {
  Generator generator(seed, local);
  if (seed % 2 == 0) generator.WithSharedMemory();
  return generator.Run();
}

}  // namespace rlx::kernel::test
