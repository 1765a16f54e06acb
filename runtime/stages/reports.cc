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

// Calls visit(graph, id) for each node but leaves, also for those in bodies of control flow.
template <class Visit>
void VisitRun(const Graph& graph, const Visit& visit) {
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    if (IsLeaf(node.op)) continue;
    visit(graph, id);
    if (Info(node.op).op_class != OpClass::kControlFlow) continue;
    for (const auto& body : node.subgraphs) VisitRun(*body, visit);
  }
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

// What was put in the places of a kind's nodes, by claim.
std::map<std::string, std::set<std::string>> ByClaim(const passes::Replacements& became) {
  std::map<std::string, std::set<std::string>> out;
  for (const auto& [op, others] : became) {
    for (OpKind other : others) {
      if (Info(op).claim != Info(other).claim) {
        out[std::string(Info(op).claim)].emplace(Info(other).claim);
      }
    }
  }
  return out;
}

// Constants count only where nothing else was needed.
std::string RewrittenTo(std::set<std::string> kinds) {
  const bool folded = kinds.erase(std::string(Info(OpKind::kConstant).claim)) > 0;
  if (!kinds.empty()) return Cat("rewritten to ", Join(kinds, ", "));
  return folded ? "computed at compile time" : "dropped: not needed, or an equal node does it";
}

// How the nodes of one kind run, each way once.
class Ways {
 public:
  void Add(const std::string& how) {
    if (!how.empty() && std::ranges::find(ways_, how) == ways_.end()) ways_.push_back(how);
  }
  std::string Text() const {
    constexpr size_t kShown = 4;
    const std::vector shown(ways_.begin(), ways_.begin() + std::min(ways_.size(), kShown));
    return Cat(Join(shown, "; "), ways_.size() > kShown ? "; ..." : "");
  }

 private:
  std::vector<std::string> ways_;
};

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

std::map<std::string, int64_t> ClaimCounts(const Graph& graph) {
  std::map<std::string, int64_t> counts;
  VisitRun(graph,
           [&](const Graph& in, NodeId id) { ++counts[std::string(Info(in.node(id).op).claim)]; });
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

DispatchReport ReportDispatch(const std::map<std::string, int64_t>& before, const Graph& after,
                              const passes::Replacements& became, const ResolvedOptions& options,
                              const device::Backend* backend, const device::Target& target) {
  using Path = DispatchReport::Path;
  DispatchReport report;
  report.backend = backend != nullptr ? backend->name() : "";
  report.policy = PolicyName(options.dispatch);
  report.claims = static_cast<int64_t>(options.claims.size());
  std::map<std::string, DispatchReport::Kind> kinds;
  for (const auto& [claim, nodes] : before) {
    const Path path = options.common_kinds.count(claim) > 0 ? Path::kCommonIr : Path::kRewritten;
    kinds[claim] = {claim, nodes, 0, path, ""};
  }
  std::map<std::string, Ways> ways;
  VisitRun(after, [&](const Graph& graph, NodeId id) {
    const std::string name(Info(graph.node(id).op).claim);
    const device::Claim claim = ClaimFor(graph, id, options, backend, target);
    DispatchReport::Kind& kind = kinds.try_emplace(name, DispatchReport::Kind{name}).first->second;
    if (kind.nodes_after++ == 0) kind.path = Path::kNative;
    if (!claim.native) {
      kind.path = Path::kUnsupported;
      report.unsupported.push_back({passes::Label(graph, id), name, claim.how});
    }
    ways[name].Add(claim.how);
  });
  const auto others = ByClaim(became);
  for (auto& [claim, kind] : kinds) {
    const auto it = others.find(claim);
    kind.how = ways[claim].Text();
    if (kind.nodes_after == 0) {
      kind.how = RewrittenTo(it == others.end() ? std::set<std::string>() : it->second);
    } else if (it != others.end()) {
      kind.how += Cat(kind.how.empty() ? "" : "; ", "others ", RewrittenTo(it->second));
    }
    report.kinds.push_back(std::move(kind));
  }
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
  if (!result.dispatch.compile_ready) return Illegal(result.dispatch);  // no sizes would help
  if (result.lir.plan.dynamic_symbols.empty()) return "";
  return Cat("symbols are unbound: ", Join(result.lir.plan.dynamic_symbols, ", "));
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
