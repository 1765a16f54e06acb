// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/report_text.h"

#include "clients/rlxctl/table.h"
#include "clients/rlxctl/words.h"
#include "rlx/v1/report.pb.h"

namespace rlx::ctl {
namespace {

// `linear "ffn.up", mul`: where a remark's nodes came from.
std::string SourcesText(const v1::Remark& remark) {
  constexpr int kShown = 3;
  std::string out;
  for (int i = 0; i < std::min(remark.sources_size(), kShown); ++i) {
    const v1::SourceRef& source = remark.sources(i);
    out += Cat(i == 0 ? "" : ", ", Word(source.kind()), " %", source.id());
    if (!source.name().empty()) out += Cat(" \"", source.name(), "\"");
  }
  return remark.sources_size() > kShown ? Cat(out, ", ...") : out;
}

std::string SavingsText(const v1::Remark& remark) {
  std::vector<std::string> parts;
  if (remark.launches_saved() > 0) parts.push_back(Cat(remark.launches_saved(), " launches"));
  if (remark.bytes_saved() > 0 || remark.bytes_unknown())
    parts.push_back(SavedBytesText(remark.bytes_saved(), remark.bytes_unknown()));
  return parts.empty() ? "" : Cat(" (saves ", Join(parts, ", "), ")");
}

std::string RulesText(const v1::FusionReport& report) {
  Table table({"rule", ">applied", ">missed"});
  for (const v1::RuleCount& rule : report.rules())
    table.Row({rule.rule(), Cat(rule.applied()), Cat(rule.missed())});
  return table.empty() ? "" : table.ToString("  ");
}

std::string RewritesText(const v1::FusionReport& report) {
  Table table({"pass", ">places"});
  for (const v1::RewriteCount& rewrite : report.rewrites())
    table.Row({rewrite.pass(), Cat(rewrite.places())});
  return table.empty() ? "" : table.ToString("  ");
}

std::string OpsText(const v1::FusionReport& report) {
  Table table({"op", ">before", ">after"});
  for (const v1::OpCount& op : report.ops())
    table.Row({op.op(), Cat(op.before()), Cat(op.after())});
  return table.empty() ? "" : table.ToString("  ");
}

std::string RemarkText(const v1::Remark& remark) {
  std::string out = Cat("  ", remark.rule(), ": ", remark.message(), SavingsText(remark));
  if (!remark.reason().empty()) out += Cat(" [", remark.reason(), "]");
  out += "\n";
  const std::string sources = SourcesText(remark);
  if (!sources.empty()) out += Cat("    from ", sources, "\n");
  if (!remark.hint().empty()) out += Cat("    hint: ", remark.hint(), "\n");
  return out;
}

// Every miss, but of each rule's applications the first few: a network of many equal layers says
// the same of each.
std::string RemarksText(const v1::FusionReport& report, v1::Remark::Kind kind) {
  constexpr uint64_t kShown = 3;
  std::string out;
  std::map<std::string_view, uint64_t> seen;
  for (const v1::Remark& remark : report.remarks()) {
    if (remark.kind() != kind) continue;
    const uint64_t before = seen[remark.rule()]++;
    if (kind == v1::Remark::KIND_MISSED || before < kShown) out += RemarkText(remark);
  }
  if (kind == v1::Remark::KIND_MISSED) return out;
  for (const auto& [rule, count] : seen) {
    if (count > kShown) out += Cat("  ", rule, ": ", count - kShown, " more (--json has all)\n");
  }
  return out;
}

std::string Section(std::string_view title, const std::string& body) {
  return body.empty() ? "" : Cat(title, "\n", body);
}

}  // namespace

std::string FusionText(const v1::FusionReport& report) {
  return Cat("fusion: ", report.clean() ? "clean" : "misses that can be acted on", ", ",
             report.nodes_before(), " nodes became ", report.nodes_after(), ", saves ",
             report.launches_saved(), " launches and ",
             SavedBytesText(report.bytes_saved(), report.bytes_unknown()), " a run\n",
             RulesText(report), Section("fused", RemarksText(report, v1::Remark::KIND_APPLIED)),
             Section("missed", RemarksText(report, v1::Remark::KIND_MISSED)),
             Section("rewritten otherwise", RewritesText(report)), Section("ops", OpsText(report)));
}

std::string DispatchText(const v1::DispatchReport& report) {
  Table kinds({"kind", ">nodes", ">after", "path", "how"});
  for (const v1::DispatchReport::Kind& kind : report.kinds())
    kinds.Row(
        {kind.kind(), Cat(kind.nodes()), Cat(kind.nodes_after()), Word(kind.path()), kind.how()});
  Table unsupported({"", "", ""});
  for (const v1::DispatchReport::Unsupported& node : report.unsupported())
    unsupported.Row({node.node(), node.kind(), node.why()});
  const std::string backend = report.backend().empty() ? "no back end here" : report.backend();
  return Cat("dispatch: ", backend, ", ", report.policy(), ", ", report.claims(), " claims, ",
             report.compile_ready() ? "all ops run" : "some ops run nowhere", "\n",
             kinds.empty() ? "" : kinds.ToString("  "),
             Section("unsupported", unsupported.ToString("  ")));
}

std::string ChangeLine(const std::string& what, const std::string& field, const std::string& one,
                       const std::string& other) {
  const std::string name = Cat(what, what.empty() || field.empty() ? "" : " ", field);
  const auto side = [](const std::string& text) { return text.empty() ? "absent" : text; };
  const bool hidden = one.empty() && other.empty();
  return Cat("  ", name, name.empty() ? "" : ": ",
             hidden ? "not shown" : Cat(side(one), " -> ", side(other)), "\n");
}

}  // namespace rlx::ctl
