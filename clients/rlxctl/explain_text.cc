// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/explain_text.h"

#include <map>

#include "clients/rlxctl/explain_model.h"
#include "clients/rlxctl/table.h"
#include "clients/rlxctl/words.h"
#include "runtime/base/text.h"

namespace rlx::ctl {
namespace {

std::string Times(uint64_t count, std::string_view one) {
  return Cat(count, " ", one,
             count == 1                                   ? ""
             : one.ends_with("ch") || one.ends_with("ss") ? "es"
                                                          : "s");
}

class Tree {
 public:
  Tree(const ExplainModel& model, bool all) : model_(model), answer_(*model.answer), all_(all) {}

  std::string Text() {
    Children(0, "");
    return std::move(out_);
  }

 private:
  const v1::Remark& RemarkAt(int index) const { return answer_.fusion().remarks(index); }

  // "%6 matmul "q_proj"".
  static std::string NodeText(const v1::ExplainedNode& node, int id) {
    return Cat("%", id, " ", node.op(), node.name().empty() ? "" : Cat(" \"", node.name(), "\""));
  }

  std::string Before(const Unit& unit) const {
    constexpr size_t kShown = 6;
    std::string out;
    for (size_t i = 0; i < std::min(unit.before.size(), kShown); ++i) {
      out += Cat(i == 0 ? "" : " + ", NodeText(answer_.mir(unit.before[i]), unit.before[i]));
    }
    if (unit.before.size() > kShown) out += Cat(" + ", unit.before.size() - kShown, " more");
    return out;
  }

  std::string After(const Unit& unit) const {
    std::string out;
    std::map<std::string, int> others;
    for (int id : unit.after) {
      const v1::ExplainedNode& node = answer_.lir(id);
      const bool counts = model_.steps_of_lir[id] > 0 || unit.after.size() == 1;
      if (!counts) {
        ++others[node.op()];
        continue;
      }
      out += Cat(out.empty() ? "" : ", ", node.op(), node.types_size() > 0 ? " " : "",
                 Join(node.types(), ", "));
    }
    if (others.empty()) return out;
    return Cat(out, out.empty() ? "" : "; ",
               "no step a run: ", Join(others, ", ", [](std::string& text, const auto& other) {
                 text += Cat(other.second > 1 ? Cat(other.second, " ") : "", other.first);
               }));
  }

  // What the remarks say of how: rules, and what they save.
  std::string How(const Unit& unit) const {
    std::vector<std::string> rules;
    uint64_t launches = 0, bytes = 0;
    bool unknown = false;
    for (int index : unit.applied) {
      const v1::Remark& remark = RemarkAt(index);
      if (std::find(rules.begin(), rules.end(), remark.rule()) == rules.end())
        rules.push_back(remark.rule());
      launches += remark.launches_saved();
      bytes += remark.bytes_saved();
      unknown |= remark.bytes_unknown();
    }
    if (rules.empty()) return "";
    std::string saved;
    if (launches > 0) saved += Cat("; saves ", Times(launches, "launch"));
    if (bytes > 0 || unknown)
      saved += Cat(launches > 0 ? ", " : "; saves ", SavedBytesText(bytes, unknown));
    return Cat("  [", Join(rules, ", "), saved, "]");
  }

  static bool Quiet(const Unit& unit) {
    return unit.kind == UnitKind::kKept || unit.kind == UnitKind::kView ||
           unit.kind == UnitKind::kMade;
  }

  void UnitLines(const Unit& unit, const std::string& indent) {
    const bool same = unit.kind == UnitKind::kKept || unit.kind == UnitKind::kView;
    if (all_ || !Quiet(unit) || !unit.missed.empty()) {
      out_ += Cat(indent, Before(unit));
      if (same) {
        const v1::ExplainedNode& node = answer_.mir(unit.before[0]);
        out_ += Cat("  ", Join(node.types(), ", "),
                    unit.kind == UnitKind::kView ? "  (an address, no step)" : "");
      } else if (unit.after.empty()) {
        const v1::ExplainedNode& node = answer_.mir(unit.before[0]);
        out_ +=
            Cat("  => ", Word(node.fate()), node.pass().empty() ? "" : Cat(" (", node.pass(), ")"));
      } else {
        out_ += Cat(unit.before.empty() ? "made: " : "  => ", After(unit), How(unit));
      }
      out_ += "\n";
    }
    for (int index : unit.missed) {
      const v1::Remark& remark = RemarkAt(index);
      out_ += Cat(indent, "  ", remark.actionable() ? "! " : "- ", "missed ", remark.rule(), " (",
                  remark.reason(), "): ", remark.message(), "\n");
      if (!remark.hint().empty()) out_ += Cat(indent, "    hint: ", remark.hint(), "\n");
    }
  }

  std::string BlockTitle(const Block& block, std::string_view name) const {
    std::string title = std::string(name);
    if (!block.what.empty()) title += Cat("  ", block.what);
    title += Cat("  ", block.before, " -> ", block.after, " nodes, ", Times(block.steps, "step"));
    if (block.actionable > 0) title += Cat(", ", Times(block.actionable, "miss"), " to act on");
    return title;
  }

  // As they are: counted, when they are not listed.
  void QuietLine(const Block& block, const std::string& indent) {
    std::map<std::string, int> kept, views;
    for (const Block::Item& item : block.items) {
      if (item.is_block) continue;
      const Unit& unit = model_.units[item.index];
      if (!Quiet(unit) || !unit.missed.empty()) continue;
      if (unit.before.empty()) continue;
      ++(unit.kind == UnitKind::kView ? views : kept)[answer_.mir(unit.before[0]).op()];
    }
    const auto list = [](std::string& text, const auto& op) {
      text += Cat(op.second > 1 ? Cat(op.second, " ") : "", op.first);
    };
    if (!kept.empty()) out_ += Cat(indent, "as it was: ", Join(kept, ", ", list), "\n");
    if (!views.empty()) out_ += Cat(indent, "no step: ", Join(views, ", ", list), "\n");
  }

  std::string Shape(int index) const {
    return Cat(model_.blocks[index].what, model_.blocks[index].shape);
  }

  void Children(int index, const std::string& indent) {
    const Block& block = model_.blocks[index];
    std::map<std::string, std::string> shown;  // shapes, and the block that showed them first
    for (size_t i = 0; i < block.items.size(); ++i) {
      const Block::Item& item = block.items[i];
      if (!item.is_block) {
        UnitLines(model_.units[item.index], indent);
        continue;
      }
      const Block& child = model_.blocks[item.index];
      const std::string shape = Shape(item.index);
      const std::string& like = shown.try_emplace(shape, child.name).first->second;
      if (all_ || like == child.name) {
        out_ += Cat(indent, BlockTitle(child, child.name), "\n");
        Children(item.index, indent + "  ");
        continue;
      }
      size_t last = i;
      while (last + 1 < block.items.size() && block.items[last + 1].is_block &&
             Shape(block.items[last + 1].index) == shape)
        ++last;
      const std::string& end = model_.blocks[block.items[last].index].name;
      out_ += last == i ? Cat(indent, end, "  is like ", like, "\n")
                        : Cat(indent, child.name, " to ", end, "  ", last - i + 1,
                              " more that are like ", like, "\n");
      i = last;
    }
    if (!all_) QuietLine(block, indent);
  }

  const ExplainModel& model_;
  const v1::ExplainResponse& answer_;
  const bool all_;
  std::string out_;
};

int Count(const v1::FusionReport& report, v1::Remark::Kind kind, bool actionable = false) {
  int count = 0;
  for (const v1::Remark& remark : report.remarks()) {
    if (remark.kind() != kind) continue;
    if (kind != v1::Remark::KIND_MISSED || remark.actionable() == actionable) ++count;
  }
  return count;
}

std::string FusionLine(const v1::FusionReport& report) {
  const int idle = Count(report, v1::Remark::KIND_MISSED, false);
  const int missed = Count(report, v1::Remark::KIND_MISSED, true);
  const int rewrites = Count(report, v1::Remark::KIND_REWRITTEN);
  return Cat(report.clean() ? "clean" : "not clean", ", ", Count(report, v1::Remark::KIND_APPLIED),
             " applied, ", Times(missed, "miss"), " to act on",
             idle > 0 ? Cat(", ", Times(idle, "miss"), " that nobody can act on") : "",
             rewrites > 0 ? Cat("; ", Times(rewrites, "other rewrite")) : "");
}

std::string RunLine(const ExplainModel& model) {
  const v1::ExplainResponse& answer = *model.answer;
  const RunCounts run = CountRun(model);
  std::string out = run.estimated
                        ? Cat("about ", Times(run.total, "step"), " (", answer.why_no_steps(), ")")
                        : Cat(Times(run.total, "step"), ": ", Times(run.calls, "call"), ", ",
                              Times(run.launches, "launch"), ", ", run.copies,
                              run.copies == 1 ? " copy" : " copies",
                              run.loops > 0 ? Cat(", ", Times(run.loops, "loop")) : "",
                              run.branches > 0 ? Cat(", ", Times(run.branches, "branch")) : "");
  return Cat(out, "; fusion saves ", Times(answer.fusion().launches_saved(), "launch"), " and ",
             SavedBytesText(answer.fusion().bytes_saved(), answer.fusion().bytes_unknown()));
}

std::string DispatchLine(const v1::DispatchReport& report) {
  std::map<v1::DispatchReport::Path, std::pair<int, uint64_t>> paths;  // kinds, nodes
  for (const v1::DispatchReport::Kind& kind : report.kinds()) {
    ++paths[kind.path()].first;
    paths[kind.path()].second += kind.nodes_after() > 0 ? kind.nodes_after() : kind.nodes();
  }
  return Cat(report.backend().empty() ? "no back end here" : report.backend(), ", ",
             Join(paths, ", ",
                  [](std::string& out, const auto& path) {
                    out += Cat(Word(path.first), " ", path.second.second, " (",
                               Times(path.second.first, "kind"), ")");
                  }),
             report.compile_ready() ? "" : "; some ops run nowhere");
}

}  // namespace

std::string ExplainText(const ExplainModel& model, bool all) {
  const v1::ExplainResponse& answer = *model.answer;
  const v1::MemoryPlan& plan = answer.plan();
  Table table({"", ""});
  table.Row({"module", Cat(answer.module_name(), ", ",
                           answer.hir_size() > 0 ? Cat(answer.hir_size(), " HIR nodes, ") : "",
                           answer.mir_size(), " MIR, ", answer.lir_size(), " LIR")});
  table.Row({"target", Cat(TargetWord(answer.target()), " ", answer.target().arch())});
  table.Row({"fusion", FusionLine(answer.fusion())});
  table.Row({"a run", RunLine(model)});
  table.Row(
      {"arena", plan.dynamic_symbols_size() > 0
                    ? Cat("not planned: ", Join(plan.dynamic_symbols(), ", "),
                          plan.dynamic_symbols_size() > 1 ? " are" : " is", " unbound (--bind)")
                    : Cat(BytesText(plan.arena_size()), ", ", BytesText(plan.unshared_bytes()),
                          " without sharing")});
  table.Row({"dispatch", DispatchLine(answer.dispatch())});
  std::string unsupported;
  for (const v1::DispatchReport::Unsupported& node : answer.dispatch().unsupported()) {
    unsupported += Cat("! unsupported ", node.node(), ": ", node.why(), "\n");
  }
  return Cat(table.ToString(), unsupported, "\n", Tree(model, all).Text());
}

}  // namespace rlx::ctl
