// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/cuda_backend.h"
#include "rlx_build_id.h"
#include "runtime/device/registry.h"

// Apart from the back end, so that a program which links several has no two of them.
extern "C" {
extern const rlx::device::PluginEntry rlxd_backend_entry;
const rlx::device::PluginEntry rlxd_backend_entry = {
    RLX_BUILD_ID, []() -> rlx::device::Backend* { return rlx::cuda::MakeCudaBackend().release(); }};
}
