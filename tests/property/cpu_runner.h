// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "backends/cpu/cpu_backend.h"
#include "tests/support/run_on_backend.h"

namespace rlx::test {

// The CPU back end on two threads, made when it is first asked for.
inline const BackendRunner& CpuRunner() {
  static const auto backend = cpu::MakeCpuBackend();
  static const auto runner = BackendRunner::Create(*backend, 2);
  return *runner;
}

}  // namespace rlx::test
