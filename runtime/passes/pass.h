// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "runtime/base/cancel.h"
#include "runtime/ir/options.h"
#include "runtime/ir/report.h"

namespace rlx::passes {

// Of each op, what rewrites put in the places of its nodes.
using Replacements = std::map<OpKind, std::set<OpKind>>;

// What constant folding may still do for a module, the bodies of its control flow included.
struct FoldingBudget {
  int64_t work = int64_t{1} << 28;    // elements read and made: a few seconds
  int64_t bytes = int64_t{64} << 20;  // held by results, beyond what the module's constants take
  bool told = false;                  // that something stayed for it
};

// Kinds of ops.
class OpSet {
 public:
  constexpr OpSet() = default;
  constexpr OpSet(std::initializer_list<OpKind> ops) {
    for (const OpKind op : ops) Insert(op);
  }
  constexpr void Insert(OpKind op) {
    words_[static_cast<size_t>(op) / 64] |= uint64_t{1} << (static_cast<size_t>(op) % 64);
  }
  constexpr void Insert(const OpSet& others) {
    for (size_t i = 0; i < kWords; ++i) words_[i] |= others.words_[i];
  }
  constexpr bool Has(OpKind op) const {
    return (words_[static_cast<size_t>(op) / 64] >> (static_cast<size_t>(op) % 64) & 1) != 0;
  }
  constexpr bool empty() const { return words_ == std::array<uint64_t, kWords>{}; }
  constexpr bool Intersects(const OpSet& other) const {
    for (size_t i = 0; i < kWords; ++i) {
      if ((words_[i] & other.words_[i]) != 0) return true;
    }
    return false;
  }

 private:
  static constexpr size_t kWords = (kOpKindCount + 63) / 64;
  std::array<uint64_t, kWords> words_{};
};

// What a pass may know besides the graph, and what it says back. The runner does timing, kill
// switches, verification and dumps.
struct PassContext {
  FusionTarget target = FusionTarget::kCpu;
  FusionLimits limits;
  std::set<std::string> claims;  // claim names the target accepts; empty accepts everything
  std::set<std::string> common;  // claim names sent to their decomposition although accepted
  std::set<std::string> native;  // claim names that stay as they are, accepted or not
  bool keep_unclaimed = false;   // what is not accepted stays as it is, to be reported
  PrecisionPolicy policy;        // what mixed_precision computes in
  // In a body of control flow: so many of its first outputs are computed in full whatever the
  // policy, since a loop carries them on or something outside is decided by them.
  size_t kept_outputs = 0;
  std::vector<bool> counted_inputs;  // there too: which of its inputs are counts (counts.h)
  bool dce = true;                   // switches of the request
  bool constant_folding = true;
  bool unfuse_regions = false;
  // Kinds of ops that patterns to come take (Pass::parts): not claimed, they stay whole until
  // decompose_unfused has its turn.
  OpSet awaited = {};
  // Whether the target runs this node as it stands. Null: decided by claim names alone.
  std::function<bool(const Graph&, NodeId)> runs;

  std::vector<Remark>* remarks = nullptr;  // may be null
  CancelToken cancel;                      // looked at by what may take long, which returns it
  FoldingBudget folding;
  bool changed = false;  // set by a pass that rewrote something
  Replacements became;   // by the rewrites so far

  bool Accepts(std::string_view claim) const {
    const std::string name(claim);
    return common.count(name) == 0 && (claims.empty() || claims.count(name) > 0);
  }
};

// MIR → MIR, in place. Returns kInternal only for our own bugs: what does not match stays as it is.
// Cancelled and DeadlineExceeded once context.cancel is done.
using PassFn = absl::Status (*)(Graph&, PassContext&);

// One row of the pipeline, `extern const Pass k<Function>Pass` at the end of the pass's file.
struct Pass {
  std::string_view name;  // of the file; keys timings, kill switches and dumps
  PassFn run = nullptr;
  // In a graph with none of these it does nothing and says nothing; empty: it may.
  OpSet needs = {};
  std::string_view gate = {};  // claim that the target must accept; empty: always
  // A fusion: the composites among the ops that its pattern takes. They are given their chance to
  // go into it before they are taken apart for want of a claim of their own.
  OpSet parts = {};
  bool fusion = false;           // left out by skip_fusion
  std::string_view after = {};   // the pass that it follows; empty: none
  std::string_view before = {};  // and the one that it precedes, for a row between two others
  // Why the options leave it out; empty when it runs. Null: they never do.
  std::string_view (*why_out)(const PassContext&) = nullptr;
  std::string_view why;  // the reason for its place, one sentence
};

}  // namespace rlx::passes
