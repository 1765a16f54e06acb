// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/base/text.h"
#include "runtime/engine/session.h"
#include "runtime/stages/stages.h"

namespace rlx::engine {
namespace {

constexpr std::string_view kCacheResults[] = {"memory", "disk", "remote", "follower", "compiled"};
constexpr std::string_view kPhases[] = {"cache_check", "queued",  "parse", "hir", "mir",
                                        "lir",         "codegen", "load",  "done"};
constexpr std::string_view kRunStages[] = {"admission", "queue", "compute"};

// The author's sources for those of the canonical module, each once.
std::vector<SourceRef> Join(const std::vector<SourceRef>& canonical, const SourceTable& names) {
  std::vector<SourceRef> out;
  for (const SourceRef& source : canonical) {
    if (source.id < 0 || source.id >= static_cast<int64_t>(names.nodes.size())) continue;
    const auto& authored = names.nodes[static_cast<size_t>(source.id)].sources;
    out.insert(out.end(), authored.begin(), authored.end());
  }
  if (out.size() < 2) return out;
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

// Where a reference to a node begins, and how long its sign is: `%3 (erf)`, `hir 3 (matmul)`.
size_t FindReference(std::string_view text, size_t from, size_t& sign) {
  const size_t percent = text.find('%', from), hir = text.find("hir ", from);
  sign = percent < hir ? 1 : 4;
  return std::min(percent, hir);
}

}  // namespace

std::string_view Name(CacheResult result) { return kCacheResults[static_cast<int>(result)]; }
std::string_view Name(RunStage stage) { return kRunStages[static_cast<int>(stage)]; }
std::string_view Name(CompilePhase phase) { return kPhases[static_cast<int>(phase)]; }

size_t SourceTable::MemoryBytes() const {
  size_t bytes = sizeof *this + module_name.size() + nodes.capacity() * sizeof(Author);
  for (const Author& author : nodes) {
    bytes +=
        author.path.size() + author.name.size() + author.sources.capacity() * sizeof(SourceRef);
    for (const SourceRef& source : author.sources) bytes += source.name.size();
  }
  return bytes;
}

std::string SourceTable::Translate(std::string_view message) const {
  std::string out;
  if (message.empty()) return out;
  out.reserve(message.size() + 64);
  size_t done = 0, sign = 0;
  for (size_t at = 0; (at = FindReference(message, at, sign)) != std::string_view::npos;) {
    at += sign;
    const size_t end = std::min(message.find_first_not_of("0123456789", at), message.size());
    const auto number = ParseInt(message.substr(at, end - at));
    if (!number || !message.substr(end).starts_with(" (")) continue;
    if (*number >= static_cast<int64_t>(nodes.size())) continue;
    const Author& author = nodes[static_cast<size_t>(*number)];
    out.append(message.substr(done, at - done)).append(author.path);
    AppendPart(out, author.number);
    if (!author.name.empty()) out.append(" \"").append(author.name).append("\"");
    done = at = end;
  }
  return out += message.substr(done);
}

FusionReport Compiled::Fusion() const {
  const FusionReport& whole = module->artifact.fusion;
  FusionReport report{whole.nodes_before, whole.nodes_after, whole.ops_before, whole.ops_after, {}};
  const bool verbose = options->verbose.value_or(false);
  const auto told = [verbose](const Remark& r) { return verbose || !OnlyForVerbose(r); };
  report.remarks.reserve(static_cast<size_t>(std::ranges::count_if(whole.remarks, told)));
  for (const Remark& remark : whole.remarks) {  // most are for the verbose
    if (!told(remark)) continue;
    report.remarks.push_back({.kind = remark.kind,
                              .pass = remark.pass,
                              .rule = remark.rule,
                              .reason = remark.reason,
                              .message = names->Translate(remark.message),
                              .hint = names->Translate(remark.hint),
                              .actionable = remark.actionable,
                              .sources = Join(remark.sources, *names),
                              .launches_saved = remark.launches_saved,
                              .bytes_saved = remark.bytes_saved,
                              .bytes_unknown = remark.bytes_unknown});
  }
  return report;
}

DispatchReport Compiled::Dispatch() const {
  DispatchReport report = module->artifact.dispatch;
  for (DispatchReport::Unsupported& node : report.unsupported) {
    node.node = names->Translate(node.node);
    node.why = names->Translate(node.why);
  }
  return report;
}

bool Compiled::runnable() const {
  const wire::Artifact& artifact = module->artifact;
  if (artifact.program != nullptr) return true;
  const std::string unbound = stages::WhyUnbound(artifact.lir.plan);
  return !unbound.empty() && artifact.why_no_program == unbound;
}

std::string Compiled::WhyNot() const {
  return runnable() ? "" : names->Translate(module->artifact.why_no_program);
}

std::vector<std::string> Differing(const KeyExplanation& a, const KeyExplanation& b) {
  std::vector<std::string> names;
  const auto find = [](const KeyExplanation& in, const std::string& name) {
    return std::find_if(in.components.begin(), in.components.end(),
                        [&](const KeyComponent& c) { return c.name == name; });
  };
  for (const KeyComponent& component : a.components) {
    const auto other = find(b, component.name);
    if (other == b.components.end() || other->digest != component.digest) {
      names.push_back(component.name);
    }
  }
  for (const KeyComponent& component : b.components) {
    if (find(a, component.name) == a.components.end()) names.push_back(component.name);
  }
  return names;
}

}  // namespace rlx::engine
