// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "runtime/ir/graph.h"

namespace rlx {

// One sentence by a pass about one place. `rule` and `reason` come from closed lists (they become
// metric labels); `message` names nodes. Node numbers are canonical (of the verified input module;
// nodes of bodies are numbered behind the others, all_nodes.h).
struct Remark {
  enum class Kind : uint8_t {
    kApplied,    // a fusion
    kMissed,     // none, and why
    kRewritten,  // by a pass that fuses nothing: lowered, folded, merged, computed in other types
  };
  Kind kind = Kind::kApplied;
  std::string pass;         // the pass that says so
  std::string rule;         // "matmul_bias_act", "shared_input_matmul", "swiglu", "residual_norm" …
  std::string reason;       // kMissed: "multi_consumer", "bias_rank_too_high" …
  std::string message;      // "%3 (erf) has 2 uses"
  std::string hint;         // kMissed: what the author can do about it
  bool actionable = false;  // kMissed: only these make a report unclean
  std::vector<SourceRef> sources;
  int64_t launches_saved = 0;
  int64_t bytes_saved = 0;     // intermediate bytes no longer written and read, by capacity
  bool bytes_unknown = false;  // and more, of values without a bound
  friend bool operator==(const Remark&, const Remark&) = default;
};

// What only `verbose` shows: a miss that nobody can act on, unless it tells that a request was not
// followed to the letter.
bool OnlyForVerbose(const Remark& remark);

// What fusion did to a module: counts per op before and after, bodies of control flow included, and
// every remark.
struct FusionReport {
  int64_t nodes_before = 0;
  int64_t nodes_after = 0;
  std::map<std::string, int64_t> ops_before;  // by op name, leaves included
  std::map<std::string, int64_t> ops_after;
  std::vector<Remark> remarks;  // in pass order, then node order

  bool clean() const;  // no actionable miss
  // `nodes=a→b matmul=a→b fused_mm_act=n … missed_mm_act=n …`: one line of key=value tokens.
  std::string Summary() const;
  // Summary, then one indented line per applied rule, per pass that rewrote otherwise, per miss.
  std::string ToString() const;
  friend bool operator==(const FusionReport&, const FusionReport&) = default;
};

// How each op kind of a module runs on the target.
struct DispatchReport {
  enum class Path : uint8_t { kNative, kCommonIr, kRewritten, kUnsupported };
  struct Kind {
    std::string claim;
    int64_t nodes = 0;        // before the passes; 0: only they made any
    int64_t nodes_after = 0;  // that stand in the result
    Path path = Path::kNative;
    // How those that stand run, and what others were replaced by, where they first were: "gemm with
    // packed weights; others rewritten to FusedMatMulBiasAct".
    std::string how;
    friend bool operator==(const Kind&, const Kind&) = default;
  };
  struct Unsupported {
    std::string node;  // label
    std::string claim;
    std::string why;
    friend bool operator==(const Unsupported&, const Unsupported&) = default;
  };
  std::string backend;  // "" when this build has none for the device
  std::string policy;
  int64_t claims = 0;
  std::vector<Kind> kinds;  // sorted by claim
  std::vector<Unsupported> unsupported;
  bool compile_ready = false;  // with symbols unbound: at every admissible size
  std::string ToString() const;
  friend bool operator==(const DispatchReport&, const DispatchReport&) = default;
};

struct PassTiming {
  std::string pass;
  double seconds = 0;
  int64_t nodes_after = 0;
  bool changed = false;
  bool skipped = false;  // gated by claims, options or kill switch
  std::string why_skipped;
  friend bool operator==(const PassTiming&, const PassTiming&) = default;
};

}  // namespace rlx
