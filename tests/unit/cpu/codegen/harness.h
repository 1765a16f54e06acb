// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "backends/cpu/codegen/codegen.h"
#include "runtime/kernel/scalar.h"

// Runs a kernel by the interpreter and compiled, on the same buffers, and compares what they leave
// behind.
namespace rlx::cpu::test {

using Elements = std::vector<kernel::Bits>;  // of one buffer

// A launch: one vector of elements per buffer parameter.
struct Launch {
  kernel::Kernel kernel;
  std::vector<Elements> buffers;
  std::vector<int64_t> scalars = {};
  int64_t groups = 1;
};

// Values from low to high, spread over the buffer in a fixed irregular order.
Elements Spread(kernel::Type t, int64_t count, double low, double high);
Elements Filled(kernel::Type t, int64_t count, double value);

// How far floats may be apart: |a - b| <= absolute + relative * |b|; NaN equals NaN, integers must
// be equal.
struct Tolerance {
  double absolute = 0, relative = 0;
};

// Every profile this machine can run, "host" among them.
std::vector<CpuTarget> Targets();

// The buffers after the launch by compiled code. They lie against unmapped pages, so that access
// past their end (or, in a second run, before their start) is fatal; groups run in two parts.
std::vector<Elements> RunCompiled(const Launch& launch, const CpuTarget& target);

// Expects every target to agree with the interpreter.
void ExpectAgrees(const Launch& launch, Tolerance tolerance = {});

}  // namespace rlx::cpu::test
