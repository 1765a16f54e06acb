// SPDX-License-Identifier: Apache-2.0
#include "runtime/wire/report.h"

#include <map>

#include "runtime/base/status.h"
#include "runtime/wire/enums.h"

namespace rlx::wire {
namespace {

absl::StatusOr<Remark> RemarkFromWire(const v1::Remark& from) {
  Remark out;
  const auto kind = FromWire(from.kind());
  if (!kind) return DataLoss("unknown remark kind ", static_cast<int>(from.kind()));
  out.kind = *kind;
  out.pass = from.pass();
  out.rule = from.rule();
  out.reason = from.reason();
  out.message = from.message();
  out.hint = from.hint();
  out.actionable = from.actionable();
  for (const v1::SourceRef& source : from.sources()) {
    const auto source_kind = FromWire(source.kind());
    if (!source_kind) return DataLoss("unknown source kind ", static_cast<int>(source.kind()));
    out.sources.push_back({*source_kind, source.id(), source.name()});
  }
  out.launches_saved = static_cast<int64_t>(from.launches_saved());
  out.bytes_saved = static_cast<int64_t>(from.bytes_saved());
  out.bytes_unknown = from.bytes_unknown();
  return out;
}

void CountOps(const FusionReport& report, v1::FusionReport& out) {
  std::map<std::string, std::pair<int64_t, int64_t>> ops;
  for (const auto& [op, count] : report.ops_before) ops[op].first = count;
  for (const auto& [op, count] : report.ops_after) ops[op].second = count;
  for (const auto& [op, count] : ops) {
    v1::OpCount& to = *out.add_ops();
    to.set_op(op);
    to.set_before(static_cast<uint64_t>(count.first));
    to.set_after(static_cast<uint64_t>(count.second));
  }
}

void CountRules(const FusionReport& report, v1::FusionReport& out) {
  std::map<std::string, v1::RuleCount> rules;
  std::map<std::string, uint64_t> rewrites;
  for (const Remark& remark : report.remarks) {
    if (remark.kind == Remark::Kind::kRewritten) {
      ++rewrites[remark.pass];
      continue;
    }
    v1::RuleCount& count = rules[remark.rule];
    count.set_rule(remark.rule);
    if (remark.kind == Remark::Kind::kApplied) {
      count.set_applied(count.applied() + 1);
      out.set_launches_saved(out.launches_saved() + static_cast<uint64_t>(remark.launches_saved));
      out.set_bytes_saved(out.bytes_saved() + static_cast<uint64_t>(remark.bytes_saved));
      out.set_bytes_unknown(out.bytes_unknown() || remark.bytes_unknown);
    } else if (remark.actionable) {
      count.set_missed(count.missed() + 1);
    }
  }
  for (auto& [rule, count] : rules) *out.add_rules() = std::move(count);
  for (const auto& [pass, places] : rewrites) {
    v1::RewriteCount& to = *out.add_rewrites();
    to.set_pass(pass);
    to.set_places(places);
  }
}

}  // namespace

void RemarkToWire(const Remark& from, v1::Remark& out) {
  out.set_kind(ToWire(from.kind));
  out.set_pass(from.pass);
  out.set_rule(from.rule);
  out.set_reason(from.reason);
  out.set_message(from.message);
  out.set_hint(from.hint);
  out.set_actionable(from.actionable);
  for (const SourceRef& source : from.sources) {
    v1::SourceRef& to = *out.add_sources();
    to.set_kind(ToWire(source.kind));
    to.set_id(static_cast<uint32_t>(source.id));
    to.set_name(source.name);
  }
  out.set_launches_saved(static_cast<uint64_t>(from.launches_saved));
  out.set_bytes_saved(static_cast<uint64_t>(from.bytes_saved));
  out.set_bytes_unknown(from.bytes_unknown);
}

void FusionReportToWire(const FusionReport& from, v1::FusionReport& out) {
  out.set_nodes_before(static_cast<uint64_t>(from.nodes_before));
  out.set_nodes_after(static_cast<uint64_t>(from.nodes_after));
  CountOps(from, out);
  CountRules(from, out);
  for (const Remark& remark : from.remarks) RemarkToWire(remark, *out.add_remarks());
  out.set_clean(from.clean());
  out.set_summary(from.Summary());
}

absl::StatusOr<FusionReport> FusionReportFromWire(const v1::FusionReport& from) {
  FusionReport out;
  out.nodes_before = static_cast<int64_t>(from.nodes_before());
  out.nodes_after = static_cast<int64_t>(from.nodes_after());
  for (const v1::OpCount& count : from.ops()) {
    if (count.before() > 0) out.ops_before[count.op()] = static_cast<int64_t>(count.before());
    if (count.after() > 0) out.ops_after[count.op()] = static_cast<int64_t>(count.after());
  }
  for (const v1::Remark& remark : from.remarks()) {
    RLX_ASSIGN(Remark converted, RemarkFromWire(remark));
    out.remarks.push_back(std::move(converted));
  }
  return out;
}

void DispatchReportToWire(const DispatchReport& from, v1::DispatchReport& out) {
  out.set_backend(from.backend);
  out.set_policy(from.policy);
  out.set_claims(static_cast<uint64_t>(from.claims));
  for (const DispatchReport::Kind& kind : from.kinds) {
    v1::DispatchReport::Kind& to = *out.add_kinds();
    to.set_kind(kind.claim);
    to.set_nodes(static_cast<uint64_t>(kind.nodes));
    to.set_nodes_after(static_cast<uint64_t>(kind.nodes_after));
    to.set_path(ToWire(kind.path));
    to.set_how(kind.how);
  }
  for (const DispatchReport::Unsupported& unsupported : from.unsupported) {
    v1::DispatchReport::Unsupported& to = *out.add_unsupported();
    to.set_node(unsupported.node);
    to.set_kind(unsupported.claim);
    to.set_why(unsupported.why);
  }
  out.set_compile_ready(from.compile_ready);
}

absl::StatusOr<DispatchReport> DispatchReportFromWire(const v1::DispatchReport& from) {
  DispatchReport out{.backend = from.backend(), .policy = from.policy()};
  out.claims = static_cast<int64_t>(from.claims());
  for (const v1::DispatchReport::Kind& kind : from.kinds()) {
    const auto path = FromWire(kind.path());
    if (!path) return DataLoss("unknown dispatch path ", static_cast<int>(kind.path()));
    out.kinds.push_back({kind.kind(), static_cast<int64_t>(kind.nodes()),
                         static_cast<int64_t>(kind.nodes_after()), *path, kind.how()});
  }
  for (const v1::DispatchReport::Unsupported& unsupported : from.unsupported()) {
    out.unsupported.push_back({unsupported.node(), unsupported.kind(), unsupported.why()});
  }
  out.compile_ready = from.compile_ready();
  return out;
}

void PassTimingToWire(const PassTiming& from, v1::PassTiming& out) {
  out.set_name(from.pass);
  out.set_seconds(from.seconds);
  out.set_nodes_after(static_cast<uint64_t>(from.nodes_after));
  out.set_changed(from.changed);
  out.set_skipped(from.skipped);
  out.set_why_skipped(from.why_skipped);
}

PassTiming PassTimingFromWire(const v1::PassTiming& from) {
  return {from.name(),    from.seconds(), static_cast<int64_t>(from.nodes_after()),
          from.changed(), from.skipped(), from.why_skipped()};
}

}  // namespace rlx::wire
