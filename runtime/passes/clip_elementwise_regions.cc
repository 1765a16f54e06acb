// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/passes.h"
#include "runtime/passes/regions.h"

// Regions with more steps or inputs than the target allows => their bodies. Regions that this
// compiler marks keep within the limits; those that arrive with a module need not.
namespace rlx::passes {

absl::Status ClipElementwiseRegions(Graph& graph, PassContext& context) {
  const FusionLimits limits = context.limits;
  return InlineRegions(
      graph, context,
      [&](const Node& region) {
        return RegionSteps(region) > int64_t{limits.max_elementwise_steps} ||
               static_cast<int64_t>(region.operands.size()) >
                   int64_t{limits.max_elementwise_inputs};
      },
      "exceeds the target's limits");
}

extern const Pass kClipElementwiseRegionsPass = {
    .name = "clip_elementwise_regions",
    .run = ClipElementwiseRegions,
    .needs = {OpKind::kElementwiseRegion},
    .after = "mark_elementwise_regions",
    .why = "Regions that arrive with a module may exceed the target's limits",
};

}  // namespace rlx::passes
