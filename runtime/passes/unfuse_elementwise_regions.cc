// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/inline.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/regions.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

// elementwise_region => its body, for targets that run no regions and on request.
namespace rlx::passes {

int64_t RegionSteps(const Node& region) {
  return std::ranges::count_if(region.subgraphs.front()->nodes(),
                               [](const Node& node) { return !IsLeaf(node.op); });
}

absl::Status InlineRegions(Graph& graph, PassContext& context,
                           const std::function<bool(const Node&)>& wanted, std::string_view why) {
  Rewriter rewriter(graph, context);
  for (NodeId id = 0; id < rewriter.size(); ++id) {
    if (graph.node(id).op != OpKind::kElementwiseRegion || !wanted(graph.node(id))) continue;
    // Copies: the graph grows.
    const std::shared_ptr<const Graph> body = graph.node(id).subgraphs.front();
    const std::vector<Value> operands = graph.node(id).operands;
    Applied(context, kDecomposeRule, graph, {id}, Cat(Label(graph, id), " ", why));
    const std::vector<Value> values = Inline(rewriter.For({id}), *body, operands);
    for (size_t r = 0; r < values.size(); ++r) {
      rewriter.Replace({id, static_cast<int32_t>(r)}, values[r]);
    }
  }
  return rewriter.Finish();
}

absl::Status UnfuseElementwiseRegions(Graph& graph, PassContext& context) {
  return InlineRegions(
      graph, context, [](const Node&) { return true; }, "is unfused: regions are not wanted here");
}

extern const Pass kUnfuseElementwiseRegionsPass = {
    .name = "unfuse_elementwise_regions",
    .run = UnfuseElementwiseRegions,
    .needs = {OpKind::kElementwiseRegion},
    .after = "clip_elementwise_regions",
    .why_out =
        [](const PassContext& c) {
          const bool runs = !c.unfuse_regions && c.Accepts("ElementwiseRegion");
          return std::string_view(runs ? "the target runs regions" : "");
        },
    .why = "After regions were formed or arrived: where the target runs none, they go",
};

}  // namespace rlx::passes
