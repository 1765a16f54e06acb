// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/engine/runnable.h"

namespace rlx::engine {

// One run, at `sizes`, of a module that was specialised up to a capacity: inputs go into the first
// places of padded buffers, and the first places of padded outputs to the caller. `general` is the
// plan of the symbolic module, whose inputs and outputs the caller speaks of; `inputs` are in its
// order and have their sizes checked. Buffers are the context's and stay with it: a warm run
// allocates no tensor. `stage` as Runnable::Run's.
absl::StatusOr<RunTiming> RunPadded(Loader::Runnable& variant, const BufferPlan& general,
                                    const DimBinding& sizes,
                                    std::span<const std::span<const uint8_t>> inputs,
                                    const std::vector<size_t>& wanted, OutputMemory memory,
                                    const CancelToken& cancel, std::vector<TracedStep>* trace,
                                    RunStage& stage);

}  // namespace rlx::engine
