// SPDX-License-Identifier: Apache-2.0
#include "runtime/stages/reports.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "runtime/device/backend.h"
#include "runtime/ir/all_nodes.h"
#include "runtime/ir/op_info.h"
#include "runtime/lower/lower.h"
#include "runtime/passes/analysis.h"
#include "runtime/stages/pipeline.h"

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

using OpTally = std::array<int64_t, kOpKindCount>;

// Tallies under the names of their ops, which several may share.
template <class NameOf>
std::map<std::string, int64_t> Named(const OpTally& tally, const NameOf& name_of) {
  std::map<std::string, int64_t> out;
  for (size_t op = 0; op < tally.size(); ++op) {
    if (tally[op] > 0) out[std::string(name_of(static_cast<OpKind>(op)))] += tally[op];
  }
  return out;
}

// Leaves and bodies of control flow too.
void Tally(const Graph& graph, OpTally& tally) {
  for (const Node& node : graph.nodes()) {
    ++tally[static_cast<size_t>(node.op)];
    if (Info(node.op).op_class != OpClass::kControlFlow) continue;
    for (const auto& body : node.subgraphs) Tally(*body, tally);
  }
}

void SetCounts(const OpTally& tally, int64_t& nodes, std::map<std::string, int64_t>& ops) {
  nodes = std::accumulate(tally.begin(), tally.end(), int64_t{0});
  ops = Named(tally, [](OpKind op) { return Name(op); });
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

// What was put in the places of a kind's nodes, by claim.
std::map<std::string, std::set<std::string>> ByClaim(const passes::Replacements& became) {
  std::map<std::string, std::set<std::string>> out;
  for (const auto& [op, others] : became) {
    for (OpKind other : others) {
      out[std::string(Info(op).claim)].emplace(Info(other).claim);
    }
  }
  // Others of its kind alone: the same work in fewer or other nodes.
  std::erase_if(out, [](const auto& row) {
    return row.second.size() == 1 && row.second.count(row.first) > 0;
  });
  return out;
}

// Constants count only where nothing else was needed.
std::string RewrittenTo(std::set<std::string> kinds) {
  const bool folded = kinds.erase(std::string(Info(OpKind::kConstant).claim)) > 0;
  if (!kinds.empty()) return Cat("rewritten to ", Join(kinds, ", "));
  return folded ? "computed at compile time" : "dropped: not needed, or an equal node does it";
}

// One kind as it is counted.
struct KindRow {
  using Path = DispatchReport::Path;
  DispatchReport::Kind kind;
  bool claimed = false;
  std::vector<std::string> ways;  // how its nodes run, each once

  void Add(const device::Claim& claim, Path path) {
    if (kind.nodes_after++ == 0 || kind.path < path) kind.path = path;
    if (claim.how.empty() || std::ranges::find(ways, claim.how) != ways.end()) return;
    ways.push_back(claim.how);
  }

  // `others`: what stands for those that are gone.
  void Describe(std::set<std::string> others) {
    constexpr size_t kShown = 4;
    const std::vector shown(ways.begin(), ways.begin() + std::min(ways.size(), kShown));
    kind.how = Cat(Join(shown, "; "), ways.size() > kShown ? "; ..." : "");
    if (kind.nodes_after == 0) {
      others.erase(kind.claim);
      kind.how = RewrittenTo(others);
    } else if (!others.empty()) {
      kind.how += Cat(kind.how.empty() ? "" : "; ", "others ", RewrittenTo(others));
    }
  }
};

// By claim; found by op without a search.
class KindRows {
 public:
  KindRows(const std::map<std::string, int64_t>& before, const ResolvedOptions& options)
      : claims_(options.claims) {
    using Path = DispatchReport::Path;
    for (const auto& [claim, nodes] : before) {
      const bool common = options.common_kinds.count(claim) > 0;
      rows_[claim].kind = {claim, nodes, 0, common ? Path::kCommonIr : Path::kRewritten, ""};
    }
  }

  KindRow& Of(OpKind op) {
    KindRow*& row = by_op_[static_cast<size_t>(op)];
    if (row == nullptr) {
      const std::string claim(Info(op).claim);
      row = &rows_[claim];
      row->kind.claim = claim;
      row->claimed = claims_.empty() || claims_.count(claim) > 0;
    }
    return *row;
  }

  std::vector<DispatchReport::Kind> Finish(std::map<std::string, std::set<std::string>> others) {
    std::vector<DispatchReport::Kind> out;
    for (auto& [claim, row] : rows_) {
      row.Describe(others[claim]);
      out.push_back(std::move(row.kind));
    }
    return out;
  }

 private:
  const std::set<std::string>& claims_;
  std::map<std::string, KindRow> rows_;
  std::array<KindRow*, kOpKindCount> by_op_{};
};

// What can be said of a node whose extents are not known: no back end is asked about those.
constexpr std::string_view kAskedLater = "claimed; the back end is asked when its sizes are known";

// How a node will run, as far as can be told.
struct Verdict {
  DispatchReport::Path path = DispatchReport::Path::kNative;
  device::Claim claim;
};

// A scan of which a target runs none is written out once its length is known.
bool IsWrittenOutLater(const Node& node, const ResolvedOptions& options) {
  if (node.op != OpKind::kScan || node.Dims("length")[0].is_static()) return false;
  return options.force_native_kinds.count(std::string(Info(node.op).claim)) == 0 &&
         options.disabled_passes.count("lower_control_flow") == 0;
}

bool IsLoop(const Node& node) { return node.op == OpKind::kWhile || node.op == OpKind::kScan; }
bool MustEnd(const Node& node) { return node.op == OpKind::kWhile && node.Bool("must_end"); }

// Why nothing stands for a kind that the target does not claim.
std::string Unclaimed(const Node& node, bool as_given) {
  std::string why = Cat("the target does not claim ", Info(node.op).claim);
  if (as_given) return why;
  if (MustEnd(node)) return why + ", and a loop that must_end is not written out";
  return IsLoop(node) ? why + ", and it is not written out: too long, or left to be native" : why;
}

// Whether some op of the kind is made of others.
bool HasCommonForm(std::string_view claim) {
  return std::ranges::any_of(AllOps(), [&](const OpInfo* op) {
    return op->claim == claim &&
           (op->decompose != nullptr || op->op_class == OpClass::kControlFlow);
  });
}

// Why a node stands as it is whose kind the request sends to the common form; empty for one that is
// itself as common as its kind gets.
std::string NotCommon(const Node& node, bool as_given) {
  if (as_given) return "no pass touches a module at stage lir";
  if (MustEnd(node)) return "a loop that must_end is not written out";
  if (IsLoop(node)) return "too long to be written out, or of unknown length";
  const OpInfo& info = Info(node.op);
  if (!HasCommonForm(info.claim)) return "the kind has no common form";
  return info.decompose != nullptr ? "it cannot be taken apart with these operands" : "";
}

// What the claims, and the back end where there is one, say of nodes.
class Judge {
 public:
  Judge(const ResolvedOptions& options, const device::Backend* backend,
        const device::Target& target, bool as_given)
      : options_(options), backend_(backend), target_(target), as_given_(as_given) {}

  Verdict Of(const Graph& graph, NodeId id, bool claimed) const {
    using Path = DispatchReport::Path;
    const Node& node = graph.node(id);
    if (!claimed && !as_given_ && IsWrittenOutLater(node, options_)) {
      return {Path::kRewritten, {true, "written out once its length is known"}};
    }
    if (!claimed) return {Path::kUnsupported, {false, Unclaimed(node, as_given_)}};
    Verdict verdict = OfClaimed(graph, id);
    if (verdict.claim.native && options_.common_kinds.count(std::string(Info(node.op).claim)) > 0) {
      const std::string why = NotCommon(node, as_given_);
      if (!why.empty()) verdict.claim.how += Cat(" (not in its common form, as asked: ", why, ")");
    }
    return verdict;
  }

 private:
  Verdict OfClaimed(const Graph& graph, NodeId id) const {
    using Path = DispatchReport::Path;
    if (backend_ == nullptr) return {Path::kNative, {true, ""}};
    if (!passes::IsStatic(graph, graph.node(id))) {
      return {Path::kNative, {true, std::string(kAskedLater)}};
    }
    device::Claim claim = backend_->Claims(graph, id, target_);
    return {claim.native ? Path::kNative : Path::kUnsupported, std::move(claim)};
  }

  const ResolvedOptions& options_;
  const device::Backend* const backend_;
  const device::Target& target_;
  const bool as_given_;
};

}  // namespace

void StampSources(Graph& graph) {
  bool bodies = false;
  for (NodeId id = 0; id < graph.size(); ++id) {
    Node& node = graph.node(id);
    if (node.sources.empty()) node.sources.push_back({SourceRef::Kind::kMir, id, node.name});
    bodies |= Info(node.op).op_class == OpClass::kControlFlow;
  }
  if (!bodies) return;
  const std::vector<PlacedNode> all = AllNodes(graph);
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

std::map<std::string, int64_t> CountBefore(const Graph& graph, FusionReport& report) {
  OpTally tally{};
  Tally(graph, tally);
  SetCounts(tally, report.nodes_before, report.ops_before);
  for (size_t op = 0; op < tally.size(); ++op)
    if (IsLeaf(static_cast<OpKind>(op))) tally[op] = 0;
  return Named(tally, [](OpKind op) { return Info(op).claim; });
}

void CountAfter(const Graph& graph, FusionReport& report) {
  OpTally tally{};
  Tally(graph, tally);
  SetCounts(tally, report.nodes_after, report.ops_after);
}

void DropIdleMisses(FusionReport& report) { std::erase_if(report.remarks, OnlyForVerbose); }

DispatchReport ReportDispatch(const std::map<std::string, int64_t>& before, const Graph& after,
                              const passes::Replacements& became, const ResolvedOptions& options,
                              const device::Backend* backend, const device::Target& target,
                              bool as_given) {
  const Judge judge(options, backend, target, as_given);
  DispatchReport report;
  report.backend = backend != nullptr ? backend->name() : "";
  report.policy = PolicyName(options.dispatch);
  report.claims = static_cast<int64_t>(options.claims.size());
  KindRows rows(before, options);
  VisitRun(after, [&](const Graph& graph, NodeId id) {
    const Node& node = graph.node(id);
    KindRow& row = rows.Of(node.op);
    const auto [path, claim] = judge.Of(graph, id, row.claimed);
    row.Add(claim, path);
    if (claim.native) return;
    report.unsupported.push_back({passes::Label(graph, id), row.kind.claim, claim.how});
  });
  report.kinds = rows.Finish(ByClaim(became));
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
  context.awaited = Awaited(options);
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
  const bool some = result.runs_at_some_sizes && !result.lir.plan.dynamic_symbols.empty();
  if (!result.dispatch.compile_ready && !some) return Illegal(result.dispatch);
  return WhyUnbound(result.lir.plan);
}

std::string WhyUnbound(const BufferPlan& plan) {
  if (plan.dynamic_symbols.empty()) return "";
  return Cat("symbols are unbound: ", Join(plan.dynamic_symbols, ", "));
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
