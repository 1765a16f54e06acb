// SPDX-License-Identifier: Apache-2.0
#include "tests/support/gpu_kernels.h"

#include "runtime/base/check.h"
#include "runtime/base/text.h"
#include "runtime/kernel/builder.h"
#include "runtime/kernel/op.h"
#include "tests/support/standard_kernels.h"

namespace rlx::kernel::test {
namespace {

Kernel Done(Builder&& b) {
  absl::StatusOr<Kernel> kernel = std::move(b).Finish();
  CHECK(kernel.ok(), kernel.status().message());
  return *std::move(kernel);
}

// x of `from` -> out of `to`, element by element.
Kernel Cast(Type from, Type to) {
  Builder b(Cat("cast_", Name(from), "_", Name(to)), 32);
  const Value x = b.Input(from), out = b.Output(to), at = b.GlobalId(Type::kI64);
  b.StoreCast(out, at, b.Load(x, at));
  return Done(std::move(b));
}

Kernel Select(Type t) {
  Builder b(Cat("select_", Name(t)), 32);
  const Value out = b.Output(t), in = b.Input(t), at = b.GlobalId(Type::kI64);
  const Value low = b.Lt(b.LocalId(Type::kI32), b.I32(7));
  b.Store(out, at, b.Select(low, b.Load(in, at), b.Int(t, 1)));
  return Done(std::move(b));
}

Kernel Bitcast(Type from, Type to) {
  Builder b(Cat("bits_", Name(from), "_", Name(to)), 32);
  const Value x = b.Input(from), out = b.Output(to), at = b.GlobalId(Type::kI64);
  b.Store(out, at, b.Bitcast(to, b.Load(x, at)));
  return Done(std::move(b));
}

// An op of the forms that take values of one type; reductions and shuffles too.
Kernel Apply(const OpInfo& info, Type t) {
  Builder b(Cat(info.name, "_", Name(t)), 32);
  const Value x = b.Input(t), at = b.GlobalId(Type::kI64);
  const bool compares = info.form == Form::kCompare;
  const Value out = b.Output(compares ? Type::kBool : t);
  Inst inst{.op = info.op, .type = compares ? Type::kBool : t, .a = b.Load(x, at)};
  if (info.operands > 1) inst.b = b.Load(x, b.I64(1));
  if (info.operands > 2) inst.c = b.Load(x, b.I64(2));
  if (info.op == Op::kShuffleXor) inst.imm = 4;
  b.Store(out, at, b.Emit(inst));
  return Done(std::move(b));
}

}  // namespace

std::vector<Kernel> GpuKernels() {
  std::vector<Kernel> all = {AddKernel(256, 1000),
                             BiasTanhKernel(256, 4, 384),
                             GeluKernel(256, 4096),
                             SoftmaxKernel(64, 128),
                             LayerNormKernel(256, 768, 1e-5F),
                             ReduceMiddleKernel(256, 4, 12, 64),
                             TransposeKernel(256, 48, 80),
                             GatherKernel(256, 100, 64),
                             ArgMaxKernel(32, 50),
                             ReverseKernel(64),
                             CastKernel(256, Type::kF16, Type::kI8, 100)};
  all.push_back(Cast(Type::kF64, Type::kBF16));
  all.push_back(Cast(Type::kF32, Type::kFp8E4M3));
  return all;
}

std::vector<Kernel> EveryOp() {
  std::vector<Kernel> all;
  std::vector<Type> types;
  for (int t = 1; t < kTypeCount; ++t) types.push_back(static_cast<Type>(t));
  for (Type from : types) {
    all.push_back(Select(from));
    for (Type to : types) {
      all.push_back(Cast(from, to));
      const bool bools = from == Type::kBool || to == Type::kBool;
      if (!bools && ByteWidth(from) == ByteWidth(to)) all.push_back(Bitcast(from, to));
    }
  }
  for (int o = 0; o < kOpCount; ++o) {
    const OpInfo& info = Info(static_cast<Op>(o));
    if (info.form != Form::kSame && info.form != Form::kCompare) continue;
    for (Type t : types) {
      if (Has(info.types, t)) all.push_back(Apply(info, t));
    }
  }
  return all;
}

}  // namespace rlx::kernel::test
