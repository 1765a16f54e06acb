// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/base/cancel.h"
#include "runtime/kernel/kernel.h"

namespace rlx::cuda {

struct Nvrtc;

// Whether NVRTC knows an architecture ("sm_90").
bool CompilesFor(const Nvrtc& nvrtc, std::string_view arch);

// Kernels as machine code for one architecture ("sm_90"), by NVRTC: an object.h. Needs no GPU; the
// same kernels and architecture give the same bytes. Internal, with NVRTC's words, when it does not
// take the text. Cancelled and DeadlineExceeded within about 100 ms.
absl::StatusOr<std::string> CompileToCubin(const Nvrtc& nvrtc,
                                           std::span<const kernel::Kernel> kernels,
                                           std::string_view arch, const CancelToken& cancel);

}  // namespace rlx::cuda
