// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "runtime/kernel/builder.h"

// What the expansions are made of.
namespace rlx::kernel {

// c[0] + x (c[1] + x (c[2] + ..)), in x's type.
Value Horner(Builder& b, Value x, std::span<const double> c);

// |magnitude| with the sign of `sign`; f32 and f64. `magnitude` must not be negative.
Value WithSignOf(Builder& b, Value magnitude, Value sign);

// One f32 function each; `inst`-free, so that they compose.
Value Exp32(Builder& b, Value x);
Value Exp2For32(Builder& b, Value x);
Value Tanh32(Builder& b, Value x);
Value Erf32(Builder& b, Value x);
Value Log32(Builder& b, Value x);
Value Trigonometric32(Builder& b, Op op, Value x);  // kSin, kCos, kTan
Value Atan32(Builder& b, Value x);
Value Pow32(Builder& b, Value x, Value y);

}  // namespace rlx::kernel
