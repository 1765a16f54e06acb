// SPDX-License-Identifier: Apache-2.0
#include "runtime/stages/explain.h"

#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/ir/all_nodes.h"
#include "runtime/ir/lower_hir.h"
#include "runtime/ir/op_info.h"
#include "runtime/kernel/text.h"
#include "runtime/stages/pipeline.h"
#include "runtime/stages/reports.h"

namespace rlx::stages {
namespace {

using Ids = std::vector<NodeId>;

// What customs and regions hold has no number: what comes out of them is theirs.
void ClearSources(Graph& graph);

void ClearNested(Node& node) {
  for (auto& nested : node.subgraphs) {
    Graph copy = *nested;
    ClearSources(copy);
    nested = std::make_shared<const Graph>(std::move(copy));
  }
}

void ClearSources(Graph& graph) {
  for (NodeId id = 0; id < graph.size(); ++id) {
    graph.node(id).sources.clear();
    ClearNested(graph.node(id));
  }
}

// Every node's only source is its own number: so what carries it afterwards was made from it.
Graph Tracked(const Graph& graph) {
  Graph out = graph;
  for (NodeId id = 0; id < out.size(); ++id) {
    ClearNested(out.node(id));
    out.node(id).sources = {{SourceRef::Kind::kMir, id, ""}};
  }
  SetBodySources(out, [](int64_t number, const Node&) {
    return std::vector<SourceRef>{{SourceRef::Kind::kMir, number, ""}};
  });
  return out;
}

Ids Tracks(const std::vector<SourceRef>& sources) {
  Ids ids;
  for (const SourceRef& source : sources) ids.push_back(static_cast<NodeId>(source.id));
  std::ranges::sort(ids);
  return ids;
}

std::vector<SourceRef> AuthorsOf(const Ids& ids, const std::vector<PlacedNode>& mir) {
  std::vector<SourceRef> out;
  for (NodeId id : ids) {
    const std::vector<SourceRef>& sources = mir[static_cast<size_t>(id)].node().sources;
    out.insert(out.end(), sources.begin(), sources.end());
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

// Hears the graph after each pass and notes where tracked nodes were last seen.
class Trail {
 public:
  explicit Trail(size_t nodes) : gone_(nodes), alive_(nodes, true) {}

  void After(std::string_view pass, const Graph& graph) { Compare(pass, Seen(graph), alive_); }

  // Bodies come one after the other, each first as the passes get it.
  void AfterInBody(std::string_view pass, const Graph& body) {
    if (pass.empty()) {
      in_body_ = Seen(body);
    } else {
      Compare(pass, Seen(body), in_body_);
    }
  }

  // The pass after which nothing carried the node any more; empty when something still does.
  const std::string& gone(NodeId id) const { return gone_[id]; }

 private:
  std::vector<bool> Seen(const Graph& graph) const {
    std::vector<bool> seen(gone_.size());
    for (const PlacedNode& at : AllNodes(graph)) {
      for (const SourceRef& source : at.node().sources) seen[source.id] = true;
    }
    return seen;
  }

  void Compare(std::string_view pass, std::vector<bool> seen, std::vector<bool>& before) {
    for (size_t id = 0; id < seen.size(); ++id) {
      if (before[id] && !seen[id]) gone_[id] = pass;
    }
    before = std::move(seen);
  }

  std::vector<std::string> gone_;
  std::vector<bool> alive_, in_body_;
};

Fate FateOfGone(std::string_view pass) {
  if (pass == "dead_code_elimination") return Fate::kDead;
  if (pass == "constant_folding") return Fate::kFolded;
  if (pass == "common_subexpression_elimination") return Fate::kMerged;
  return Fate::kDropped;
}

class Explainer {
 public:
  explicit Explainer(Explanation& out)
      : out_(out), mir_(AllNodes(out.mir)), lir_(AllNodes(out.result.lir.graph)) {}

  void Run(const Trail& trail) {
    Trace();
    out_.fates.resize(mir_.size());
    for (size_t id = 0; id < mir_.size(); ++id) out_.fates[id].became = std::move(became_[id]);
    for (size_t id = 0; id < mir_.size(); ++id) Decide(static_cast<NodeId>(id), trail);
    NameRules();
    RestoreAuthors();
  }

 private:
  void Trace() {
    became_.resize(mir_.size());
    for (size_t id = 0; id < lir_.size(); ++id) {
      out_.made_from.push_back(Tracks(lir_[id].node().sources));
      for (NodeId from : out_.made_from.back()) {
        became_[from].push_back(static_cast<NodeId>(id));
      }
    }
    for (const Remark& remark : out_.result.fusion.remarks) {
      out_.remark_nodes.push_back(Tracks(remark.sources));
    }
  }

  OpKind MirOp(NodeId id) const { return mir_[static_cast<size_t>(id)].node().op; }
  OpKind LirOp(NodeId id) const { return lir_[static_cast<size_t>(id)].node().op; }

  // The plan is that of the main graph.
  bool IsView(NodeId lir_id) const {
    if (lir_id >= out_.result.lir.graph.size()) return false;
    return out_.result.lir.plan.of({lir_id, 0}).storage == Storage::kView;
  }

  void Decide(NodeId id, const Trail& trail) {
    NodeFate& fate = out_.fates[id];
    if (fate.became.empty()) {
      fate.pass = trail.gone(id);
      fate.fate = FateOfGone(fate.pass);
      return;
    }
    const auto shared = [&](NodeId lir_id) { return out_.made_from[lir_id].size() > 1; };
    const OpKind op = MirOp(id);
    const NodeId first = fate.became.front();
    if (fate.became.size() == 1 && LirOp(first) == op) {
      // An op that several were merged into stands as each of them; one that took others in does
      // the work of all.
      const bool alone = !shared(first) || AllLike(first, op);
      fate.fate = !alone ? Fate::kFused : IsView(first) ? Fate::kView : Fate::kKept;
    } else if (std::ranges::any_of(fate.became, shared)) {
      fate.fate = Fate::kFused;
    } else if (std::ranges::all_of(fate.became,
                                   [&](NodeId to) { return LirOp(to) == OpKind::kConstant; })) {
      fate.fate = Fate::kFolded;
    } else {
      fate.fate = fate.became.size() == 1 ? Fate::kRewritten : Fate::kDecomposed;
    }
  }

  bool AllLike(NodeId lir_id, OpKind op) const {
    return std::ranges::all_of(out_.made_from[lir_id],
                               [&](NodeId from) { return MirOp(from) == op; });
  }

  // The last applied remark about a node says which rule it fell to; where it was taken apart, the
  // first does.
  void NameRules() {
    for (size_t r = 0; r < out_.remark_nodes.size(); ++r) {
      const Remark& remark = out_.result.fusion.remarks[r];
      if (remark.kind == Remark::Kind::kMissed) continue;
      for (NodeId id : out_.remark_nodes[r]) {
        NodeFate& fate = out_.fates[id];
        if (fate.fate == Fate::kKept || fate.fate == Fate::kView) continue;
        if (fate.fate == Fate::kDecomposed && !fate.rule.empty()) continue;
        fate.pass = remark.pass;
        fate.rule = remark.rule;
      }
    }
  }

  void RestoreAuthors() {
    Graph& lir = out_.result.lir.graph;
    const auto authors = [&](int64_t id) {
      return AuthorsOf(out_.made_from[static_cast<size_t>(id)], mir_);
    };
    for (NodeId id = 0; id < lir.size(); ++id) lir.node(id).sources = authors(id);
    SetBodySources(lir, [&](int64_t number, const Node&) { return authors(number); });
    for (size_t r = 0; r < out_.remark_nodes.size(); ++r) {
      out_.result.fusion.remarks[r].sources = AuthorsOf(out_.remark_nodes[r], mir_);
    }
  }

  Explanation& out_;
  const std::vector<PlacedNode> mir_;
  const std::vector<PlacedNode> lir_;  // until the authors are restored
  std::vector<Ids> became_;            // by node of the MIR
};

absl::StatusOr<Graph> MirOf(const Module& module) {
  if (module.stage != Stage::kHir) return module.graph;
  return LowerHir(module);
}

absl::Status DraftSteps(const CompileRequest& request, Explanation& out) {
  const CompileResult& result = out.result;
  out.why_no_program = WhyNoProgram(result, request.backend);
  if (!out.why_no_program.empty()) return absl::OkStatus();
  RLX_ASSIGN(out.program, lower::DraftProgram(result.lir, *request.backend, request.target));
  return absl::OkStatus();
}

}  // namespace

std::string_view Name(Fate fate) {
  constexpr std::string_view kNames[] = {"kept",   "view",   "fused", "rewritten", "decomposed",
                                         "folded", "merged", "dead",  "dropped"};
  return kNames[static_cast<size_t>(fate)];
}

absl::StatusOr<Explanation> Explain(const Module& module, const CompileRequest& request) {
  RLX_TRY(Verify(module, request.limits));
  Explanation out;
  RLX_ASSIGN(out.mir, MirOf(module));
  StampSources(out.mir);
  CompileRequest tracked = request;
  tracked.until = Stage::kLir;
  tracked.limits = GrownLimits();  // what a block is lowered to is not the author's size
  Trail trail(static_cast<size_t>(CountAllNodes(out.mir)));
  tracked.observer.after_pass = [&](std::string_view pass, const Graph& graph) {
    trail.After(pass, graph);
  };
  tracked.observer.after_pass_in_body = [&](std::string_view pass, const Graph& body) {
    trail.AfterInBody(pass, body);
  };
  const Stage stage = module.stage == Stage::kLir ? Stage::kLir : Stage::kMir;
  RLX_ASSIGN(out.result, CompileModuleStages({stage, module.policy, Tracked(out.mir)}, tracked));
  const DimBinding& binding = out.result.options.dim_binding;
  if (!binding.empty()) {
    RLX_ASSIGN(out.mir, BindSymbols(out.mir, binding));
  }
  Explainer(out).Run(trail);
  RLX_TRY(DraftSteps(request, out));
  return out;
}

absl::StatusOr<std::vector<device::KernelText>> ExportKernel(const kernel::Kernel& kernel,
                                                             const device::Backend& backend,
                                                             const device::Target& target) {
  std::vector<device::KernelText> out = {{"kernel-ir", kernel::Print(kernel)}};
  RLX_ASSIGN(std::vector<device::KernelText> own, backend.ExportKernel(kernel, target));
  std::ranges::move(own, std::back_inserter(out));
  return out;
}

}  // namespace rlx::stages
