// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/report.h"

#include <algorithm>
#include <array>

#include "runtime/base/text.h"

namespace rlx {
namespace {

int64_t CountOf(const std::map<std::string, int64_t>& ops, const std::string& op) {
  const auto it = ops.find(op);
  return it == ops.end() ? 0 : it->second;
}

// Tokens of the summary line: counts of ops in the optimized graph, and misses of a rule.
struct Token {
  std::string_view key, name;
};
constexpr std::array<Token, 3> kFusedOps = {{
    {"fused_mm_act", "fused_matmul_bias_act"},
    {"fused_swiglu", "fused_swiglu"},
    {"elementwise_region", "elementwise_region"},
}};
constexpr std::array<Token, 3> kMissedRules = {{
    {"missed_mm_act", "matmul_bias_act"},
    {"missed_swiglu", "swiglu"},
    {"missed_shared_mm", "shared_input_matmul"},
}};

std::string SourceNames(const Remark& remark) {
  std::string names;
  for (const SourceRef& source : remark.sources) {
    if (source.name.empty()) continue;
    names += Cat(names.empty() ? " [" : ", ", source.name);
  }
  return names.empty() ? names : names + "]";
}

std::string_view Name(DispatchReport::Path path) {
  constexpr std::array<std::string_view, 4> kNames = {"native", "common-ir", "rewritten",
                                                      "unsupported"};
  return kNames[static_cast<size_t>(path)];
}

}  // namespace

bool OnlyForVerbose(const Remark& remark) {
  return remark.kind == Remark::Kind::kMissed && !remark.actionable;
}

bool FusionReport::clean() const {
  return std::ranges::none_of(remarks, [](const Remark& remark) {
    return remark.kind == Remark::Kind::kMissed && remark.actionable;
  });
}

std::string FusionReport::Summary() const {
  std::string line =
      Cat("nodes=", nodes_before, "→", nodes_after, " matmul=", CountOf(ops_before, "matmul"), "→",
          CountOf(ops_after, "matmul"));
  for (const Token& token : kFusedOps) {
    line += Cat(" ", token.key, "=", CountOf(ops_after, std::string(token.name)));
  }
  for (const Token& token : kMissedRules) {
    line += Cat(" ", token.key, "=", std::ranges::count_if(remarks, [&](const Remark& remark) {
                  return remark.kind == Remark::Kind::kMissed && remark.actionable &&
                         remark.rule == token.name;
                }));
  }
  return line;
}

std::string FusionReport::ToString() const {
  struct Sum {
    int64_t times = 0, launches = 0, bytes = 0;
    bool unknown = false;
  };
  std::map<std::string, Sum> applied;
  std::map<std::string, int64_t> rewritten;  // by pass
  for (const Remark& remark : remarks) {
    if (remark.kind == Remark::Kind::kRewritten) ++rewritten[remark.pass];
    if (remark.kind != Remark::Kind::kApplied) continue;
    Sum& sum = applied[remark.rule];
    ++sum.times;
    sum.launches += remark.launches_saved;
    sum.bytes += remark.bytes_saved;
    sum.unknown |= remark.bytes_unknown;
  }
  std::string out = Summary() + "\n";
  for (const auto& [rule, sum] : applied) {
    out += Cat("  ", rule, " ×", sum.times, ": ", sum.launches, " launches, ",
               !sum.unknown    ? Cat(sum.bytes)
               : sum.bytes > 0 ? Cat("at least ", sum.bytes)
                               : "unknown",
               " bytes saved\n");
  }
  for (const auto& [pass, times] : rewritten)
    out += Cat("  rewritten by ", pass, " ×", times, "\n");
  for (const Remark& remark : remarks) {
    if (remark.kind != Remark::Kind::kMissed) continue;
    out += Cat("  missed ", remark.rule, " (", remark.reason, "): ", remark.message,
               SourceNames(remark), remark.hint.empty() ? "" : "; ", remark.hint, "\n");
  }
  return out;
}

std::string DispatchReport::ToString() const {
  std::string out = Cat("backend=", backend.empty() ? "none" : backend, " policy=", policy,
                        " claims=", claims, " compile_ready=", compile_ready, "\n");
  for (const Kind& kind : kinds) {
    out += Cat("  ", kind.claim, " ", kind.nodes, "→", kind.nodes_after, ": ", Name(kind.path),
               kind.how.empty() ? "" : ", ", kind.how, "\n");
  }
  for (const Unsupported& node : unsupported) {
    out += Cat("  unsupported ", node.node, ": ", node.why, "\n");
  }
  return out;
}

}  // namespace rlx
