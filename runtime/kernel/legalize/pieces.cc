// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/legalize/pieces.h"

namespace rlx::kernel {

Value Horner(Builder& b, Value x, std::span<const double> c) {
  const Type t = b.TypeOf(x);
  Value sum = b.Float(t, c.back());
  for (size_t i = c.size() - 1; i-- > 0;) sum = b.Fma(sum, x, b.Float(t, c[i]));
  return sum;
}

Value WithSignOf(Builder& b, Value magnitude, Value sign) {
  const Type t = b.TypeOf(sign);
  const Type bits = t == Type::kF64 ? Type::kI64 : Type::kI32;
  const Value top = b.Int(bits, t == Type::kF64 ? INT64_MIN : int64_t{INT32_MIN});
  const Value sign_bit = b.And(b.Bitcast(bits, sign), top);
  return b.Bitcast(t, b.Or(b.Bitcast(bits, magnitude), sign_bit));
}

}  // namespace rlx::kernel
