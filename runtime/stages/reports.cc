// SPDX-License-Identifier: Apache-2.0
#include "runtime/stages/reports.h"
#include "runtime/lower/lower.h"

#include <algorithm>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "runtime/device/backend.h"
#include "runtime/ir/all_nodes.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"

namespace rlx::stages {
namespace {

// Calls visit(graph, id, sources) for each node but leaves, and for those in bodies of control flow
// with the sources of the node that holds them.
template <class Visit>
void VisitRun(const Graph& graph, const Visit& visit,
              const std::vector<SourceRef>* sources = nullptr) {
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    if (IsLeaf(node.op)) continue;
    const std::vector<SourceRef>& own = sources == nullptr ? node.sources : *sources;
    visit(graph, id, own);
    if (Info(node.op).op_class != OpClass::kControlFlow) continue;
    for (const auto& body : node.subgraphs) VisitRun(*body, visit, &own);
  }
}

std::map<std::string, int64_t> ClaimCounts(const Graph& graph) {
  std::map<std::string, int64_t> counts;
  VisitRun(graph, [&](const Graph& in, NodeId id, const auto&) {
    ++counts[std::string(Info(in.node(id).op).claim)];
  });
  return counts;
}

std::string_view PolicyName(DispatchPolicy policy) {
  switch (policy) {
    case DispatchPolicy::kForceCommon:
      return "force_common";
    case DispatchPolicy::kForceNative:
      return "force_native";
    case DispatchPolicy::kPreferNative:
      break;
  }
  return "prefer_native";
}

// Whether the target runs a node as it stands, and how, or why not.
device::Claim ClaimFor(const Graph& graph, NodeId id, const ResolvedOptions& options,
                       const device::Backend* backend, const device::Target& target) {
  const std::string claim(Info(graph.node(id).op).claim);
  if (!options.claims.empty() && options.claims.count(claim) == 0) {
    return {false, Cat("the target does not claim ", claim)};
  }
  if (backend == nullptr || !passes::IsStatic(graph, graph.node(id))) return {true, ""};
  return backend->Claims(graph, id, target);
}

// What the nodes of a rewritten kind became: kinds that there are more of now, made of nodes with
// the same sources.
std::string BecameWhat(const Graph& before, const Graph& after, const std::string& claim) {
  std::set<SourceRef> sources;
  VisitRun(before, [&](const Graph& graph, NodeId id, const std::vector<SourceRef>& own) {
    if (Info(graph.node(id).op).claim == claim) sources.insert(own.begin(), own.end());
  });
  const std::map<std::string, int64_t> was = ClaimCounts(before), is = ClaimCounts(after);
  const auto grew = [&](const std::string& kind) {
    const auto then = was.find(kind), now = is.find(kind);
    return now != is.end() && (then == was.end() || then->second < now->second);
  };
  std::set<std::string> kinds;
  VisitRun(after, [&](const Graph& graph, NodeId id, const std::vector<SourceRef>& own) {
    const bool made = std::ranges::any_of(
        own, [&](const SourceRef& source) { return sources.count(source) > 0; });
    const std::string_view kind = Info(graph.node(id).op).claim;
    if (made && grew(std::string(kind))) kinds.emplace(kind);
  });
  return kinds.empty() ? "computed at compile time" : Cat("rewritten to ", Join(kinds, ", "));
}

}  // namespace

void StampSources(Graph& graph) {
  for (NodeId id = 0; id < graph.size(); ++id) {
    Node& node = graph.node(id);
    if (node.sources.empty()) node.sources = {{SourceRef::Kind::kMir, id, node.name}};
  }
  const std::vector<PlacedNode> all = AllNodes(graph);
  if (all.size() == static_cast<size_t>(graph.size())) return;
  std::vector<std::string> places;
  for (size_t number = 0; number < all.size(); ++number) {
    const std::string& name = all[number].node().name;
    places.push_back(Cat(PlaceOf(all, static_cast<int64_t>(number)),
                         name.empty() ? "" : Cat(" \"", name, "\"")));
  }
  SetBodySources(graph, [&](int64_t number, const Node& node) -> std::vector<SourceRef> {
    if (!node.sources.empty()) return node.sources;
    return {{SourceRef::Kind::kMir, number, places[static_cast<size_t>(number)]}};
  });
}

std::map<std::string, int64_t> OpCounts(const Graph& graph) {
  std::map<std::string, int64_t> counts;
  for (const PlacedNode& at : AllNodes(graph)) ++counts[std::string(Name(at.node().op))];
  return counts;
}

void CountOps(const Graph& before, const Graph& after, bool verbose, FusionReport& report) {
  report.nodes_before = CountAllNodes(before);
  report.nodes_after = CountAllNodes(after);
  report.ops_before = OpCounts(before);
  report.ops_after = OpCounts(after);
  if (verbose) return;
  std::erase_if(report.remarks, OnlyForVerbose);
}

DispatchReport ReportDispatch(const Graph& before, const Graph& after,
                              const ResolvedOptions& options, const device::Backend* backend,
                              const device::Target& target) {
  using Path = DispatchReport::Path;
  DispatchReport report;
  report.backend = backend != nullptr ? backend->name() : "";
  report.policy = PolicyName(options.dispatch);
  report.claims = static_cast<int64_t>(options.claims.size());
  std::map<std::string, DispatchReport::Kind> kinds;
  for (const auto& [claim, nodes] : ClaimCounts(after))
    kinds[claim] = {claim, nodes, Path::kNative, ""};
  VisitRun(after, [&](const Graph& graph, NodeId id, const auto&) {
    const OpInfo& op = Info(graph.node(id).op);
    const device::Claim claim = ClaimFor(graph, id, options, backend, target);
    DispatchReport::Kind& kind = kinds[std::string(op.claim)];
    if (!claim.native) {
      kind.path = Path::kUnsupported;
      report.unsupported.push_back({passes::Label(graph, id), std::string(op.claim), claim.how});
    }
    if (kind.how.empty()) kind.how = claim.how;
  });
  for (const auto& [claim, nodes] : ClaimCounts(before)) {
    if (kinds.count(claim) > 0) continue;
    const Path path = options.common_kinds.count(claim) > 0 ? Path::kCommonIr : Path::kRewritten;
    kinds[claim] = {claim, nodes, path, BecameWhat(before, after, claim)};
  }
  for (auto& [claim, kind] : kinds) report.kinds.push_back(std::move(kind));
  report.compile_ready = report.unsupported.empty();
  return report;
}

std::string Illegal(const DispatchReport& report) {
  struct Offender {
    int64_t nodes = 0;
    const DispatchReport::Unsupported* first = nullptr;
  };
  std::map<std::string, Offender> kinds;
  for (const DispatchReport::Unsupported& node : report.unsupported) {
    Offender& kind = kinds[node.claim];
    if (kind.nodes++ == 0) kind.first = &node;
  }
  const std::string who = report.backend.empty() ? "the target" : Cat("back end ", report.backend);
  return Cat(who, " cannot run ", kinds.size(), kinds.size() == 1 ? " kind: " : " kinds: ",
             Join(kinds, ", ", [](std::string& out, const auto& entry) {
               const auto& [claim, kind] = entry;
               out +=
                   Cat(claim, " ×", kind.nodes, " (", kind.first->node, ": ", kind.first->why, ")");
             }));
}

passes::PassContext ContextFor(const ResolvedOptions& options, const device::Backend* backend,
                               const device::Target& target, std::vector<Remark>& remarks) {
  passes::PassContext context;
  context.target = options.fusion_target;
  context.limits = options.limits;
  context.claims = options.claims;
  context.common = options.common_kinds;
  context.native = options.force_native_kinds;
  context.policy = options.policy;
  context.dce = options.dce;
  context.constant_folding = options.constant_folding;
  context.unfuse_regions = options.unfuse_elementwise_regions;
  context.keep_unclaimed = options.dispatch == DispatchPolicy::kForceNative;
  context.remarks = &remarks;
  if (backend != nullptr) {
    context.runs = [backend, &target](const Graph& graph, NodeId id) {
      return backend->Claims(graph, id, target).native;
    };
  }
  return context;
}

std::string WhyNoProgram(const CompileResult& result, const device::Backend* backend) {
  if (backend == nullptr) {
    return Cat("this build has no back end for ", DisplayName(result.device));
  }
  if (!result.lir.plan.dynamic_symbols.empty()) {
    return Cat("symbols are unbound: ", Join(result.lir.plan.dynamic_symbols, ", "));
  }
  return result.dispatch.compile_ready ? std::string() : Illegal(result.dispatch);
}

absl::Status GenerateCode(CompileResult& result, const device::Backend* backend,
                          const device::Target& target, const CancelToken& cancel) {
  result.program = nullptr;
  result.why_no_program = WhyNoProgram(result, backend);
  if (!result.why_no_program.empty()) return absl::OkStatus();
  RLX_ASSIGN(lower::ProgramDraft draft, lower::DraftProgram(result.lir, *backend, target, cancel));
  const double start = MonotonicSeconds();
  RLX_ASSIGN(result.program, lower::CompileDraft(std::move(draft), *backend, target, cancel));
  result.phase_seconds["kernels"] = MonotonicSeconds() - start;
  return absl::OkStatus();
}

}  // namespace rlx::stages
