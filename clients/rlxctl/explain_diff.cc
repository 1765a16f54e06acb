// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/explain_diff.h"

#include <google/protobuf/text_format.h>

#include <map>

#include "clients/rlxctl/explain_model.h"
#include "clients/rlxctl/report_text.h"
#include "clients/rlxctl/table.h"
#include "clients/rlxctl/words.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"

namespace rlx::ctl {
namespace {

using Row = ExplainDiff::Row;
using Texts = std::map<std::string, std::string>;

// Rows of what is not the same in both, absent ones as "-".
std::vector<Row> Unequal(const Texts& one, const Texts& other) {
  std::map<std::string, Row> rows;
  for (const auto& [what, text] : one) rows[what] = {what, text, "-"};
  for (const auto& [what, text] : other) {
    Row& row = rows.try_emplace(what, Row{what, "-", ""}).first->second;
    row.other = text;
  }
  std::vector<Row> out;
  for (auto& [what, row] : rows) {
    if (row.one != row.other) out.push_back(std::move(row));
  }
  return out;
}

std::string ArenaText(const v1::ExplainResponse& answer) {
  if (answer.plan().dynamic_symbols_size() > 0) return "not planned";
  return BytesText(answer.plan().arena_size());
}

std::vector<Row> Counts(const ExplainModel& one, const ExplainModel& other) {
  std::vector<Row> rows;
  const auto add = [&](std::string what, const auto& get) {
    rows.push_back({std::move(what), Cat(get(one)), Cat(get(other))});
  };
  add("target", [](auto& m) { return TargetWord(m.answer->target()); });
  add("nodes before", [](auto& m) { return m.answer->mir_size(); });
  add("nodes after", [](auto& m) { return m.answer->lir_size(); });
  // Where there is no program, how nodes run is not known; about how many do is.
  const auto known = [](const ExplainModel& m, int RunCounts::* count) {
    const RunCounts run = CountRun(m);
    return run.estimated ? std::string("unknown") : Cat(run.*count);
  };
  add("steps of a run", [](auto& m) {
    const RunCounts run = CountRun(m);
    return Cat(run.estimated ? "about " : "", run.total);
  });
  add("launches", [&](auto& m) { return known(m, &RunCounts::launches); });
  add("calls", [&](auto& m) { return known(m, &RunCounts::calls); });
  add("copies", [&](auto& m) { return known(m, &RunCounts::copies); });
  add("arena", [](auto& m) { return ArenaText(*m.answer); });
  add("fusions", [](auto& m) { return m.blocks[0].fusions; });
  add("launches saved", [](auto& m) { return m.answer->fusion().launches_saved(); });
  add("bytes saved", [](auto& m) {
    const v1::FusionReport& fusion = m.answer->fusion();
    return SavedBytesText(fusion.bytes_saved(), fusion.bytes_unknown());
  });
  add("misses to act on", [](auto& m) { return m.blocks[0].actionable; });
  return rows;
}

// Adds each field that is set, messages taken apart: `fusion_opts.skip_fusion` and its value.
void Flatten(const google::protobuf::Message& message, const std::string& prefix, Texts& out) {
  using google::protobuf::FieldDescriptor;
  std::vector<const FieldDescriptor*> set;
  message.GetReflection()->ListFields(message, &set);
  for (const FieldDescriptor* field : set) {
    const std::string name = Cat(prefix, field->name());
    const bool nested = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (nested && !field->is_repeated()) {
      Flatten(message.GetReflection()->GetMessage(message, field), name + ".", out);
      continue;
    }
    const int count = field->is_repeated() ? message.GetReflection()->FieldSize(message, field) : 1;
    std::string value;
    for (int i = 0; i < count; ++i) {
      std::string text;
      google::protobuf::TextFormat::PrintFieldValueToString(message, field,
                                                            field->is_repeated() ? i : -1, &text);
      value += Cat(i == 0 ? "" : ", ", Trim(text));
    }
    out[name] = value == "4294967295" ? "unbounded" : value;
  }
}

Texts OptionTexts(const v1::ExplainResponse& answer) {
  Texts out;
  Flatten(answer.options(), "", out);
  return out;
}

Texts OpTexts(const v1::ExplainResponse& answer) {
  Texts out;
  for (const v1::OpCount& op : answer.fusion().ops()) {
    if (op.after() > 0) out[op.op()] = Cat(op.after());
  }
  return out;
}

Texts RuleTexts(const v1::ExplainResponse& answer) {
  Texts out;
  for (const v1::RuleCount& rule : answer.fusion().rules()) {
    out[rule.rule()] =
        Cat(rule.applied(), rule.missed() > 0 ? Cat(", ", rule.missed(), " missed") : "");
  }
  return out;
}

Texts DispatchTexts(const v1::ExplainResponse& answer) {
  Texts out;
  for (const v1::DispatchReport::Kind& kind : answer.dispatch().kinds()) {
    out[kind.kind()] = Cat(kind.nodes(), " -> ", kind.nodes_after(), " ", Word(kind.path()),
                           kind.how().empty() ? "" : ", ", kind.how());
  }
  return out;
}

// What stands in each block, by its path: units by what they became, and misses, as often as they
// are there.
using Places = std::map<std::string, std::map<std::string, int>>;

Places PlacesOf(const ExplainModel& model) {
  Places out;
  for (const Unit& unit : model.units) {
    auto& place = out[model.Path(unit.block)];
    ++place[UnitShape(model, unit)];
    for (int index : unit.missed) {
      const v1::Remark& remark = model.answer->fusion().remarks(index);
      if (remark.actionable()) ++place[Cat("missed ", remark.rule(), " (", remark.reason(), ")")];
    }
  }
  return out;
}

std::vector<std::string> OnlyIn(const std::map<std::string, int>& one,
                                const std::map<std::string, int>& other) {
  std::vector<std::string> out;
  for (const auto& [text, count] : one) {
    const auto it = other.find(text);
    const int more = count - (it == other.end() ? 0 : it->second);
    if (more > 0) out.push_back(more == 1 ? text : Cat(more, " × ", text));
  }
  return out;
}

std::vector<ExplainDiff::Place> DiffPlaces(const Places& one, const Places& other) {
  std::map<std::string, ExplainDiff::Place> places;
  const std::map<std::string, int> nothing;
  const auto at = [&](const Places& in,
                      const std::string& path) -> const std::map<std::string, int>& {
    const auto it = in.find(path);
    return it == in.end() ? nothing : it->second;
  };
  for (const Places* side : {&one, &other}) {
    for (const auto& [path, units] : *side) {
      places[path] = {path, OnlyIn(at(one, path), at(other, path)),
                      OnlyIn(at(other, path), at(one, path))};
    }
  }
  std::vector<ExplainDiff::Place> out;
  for (auto& [path, place] : places) {
    if (!place.one.empty() || !place.other.empty()) out.push_back(std::move(place));
  }
  return out;
}

std::string RowsText(std::string_view title, const std::vector<Row>& rows) {
  if (rows.empty()) return "";
  Table table({"", "", ""});
  for (const Row& row : rows) table.Row({row.what, row.one, row.other});
  return Cat(title, "\n", table.ToString("  "));
}

// Blocks that differ in the same way are shown once.
std::string PlacesText(const std::vector<ExplainDiff::Place>& places) {
  std::map<std::string, std::vector<std::string>> alike;
  std::vector<std::string> order;
  for (const ExplainDiff::Place& place : places) {
    std::string body;
    for (const std::string& text : place.one) body += Cat("    - ", text, "\n");
    for (const std::string& text : place.other) body += Cat("    + ", text, "\n");
    if (!alike.contains(body)) order.push_back(body);
    alike[body].push_back(place.block.empty() ? "(module)" : place.block);
  }
  std::string out;
  for (const std::string& body : order) {
    const std::vector<std::string>& blocks = alike[body];
    out +=
        Cat("  ", blocks[0],
            blocks.size() > 1 ? Cat(" and ", blocks.size() - 1, " more like it") : "", "\n", body);
  }
  return out.empty() ? "" : Cat("blocks\n", out);
}

std::vector<ExplainDiff::Change> ModuleChanges(const v1::ExplainKeyResponse& keys) {
  std::vector<ExplainDiff::Change> out;
  for (const v1::KeyDifference& d : keys.differences()) {
    if (d.component() == "module") out.push_back({d.what(), d.field(), d.one(), d.other()});
  }
  return out;
}

std::string ChangesText(const ExplainDiff& diff) {
  if (diff.module.empty()) return "";
  std::string out = "module\n";
  for (const ExplainDiff::Change& c : diff.module)
    out += ChangeLine(c.what, c.field, c.one, c.other);
  return Cat(out, diff.more_changes > 0 ? Cat("  and ", diff.more_changes, " more\n") : "");
}

void WriteRows(std::string_view key, const std::vector<Row>& rows, JsonWriter& json) {
  json.Key(key).BeginArray();
  for (const Row& row : rows) {
    json.BeginObject().Field("what", row.what).Field("one", row.one).Field("other", row.other);
    json.EndObject();
  }
  json.EndArray();
}

}  // namespace

bool ExplainDiff::same() const {
  for (const Row& row : counts) {
    if (row.one != row.other) return false;
  }
  return module.empty() && options.empty() && ops.empty() && rules.empty() && dispatch.empty() &&
         blocks.empty();
}

ExplainDiff Diff(const ExplainModel& one, const ExplainModel& other,
                 const v1::ExplainKeyResponse& keys) {
  return {.module = ModuleChanges(keys),
          .more_changes = keys.more_differences(),
          .counts = Counts(one, other),
          .options = Unequal(OptionTexts(*one.answer), OptionTexts(*other.answer)),
          .ops = Unequal(OpTexts(*one.answer), OpTexts(*other.answer)),
          .rules = Unequal(RuleTexts(*one.answer), RuleTexts(*other.answer)),
          .dispatch = Unequal(DispatchTexts(*one.answer), DispatchTexts(*other.answer)),
          .blocks = DiffPlaces(PlacesOf(one), PlacesOf(other))};
}

std::string DiffText(const ExplainDiff& diff) {
  Table counts({"", "one", "other", ""});
  for (const Row& row : diff.counts) {
    counts.Row({row.what, row.one, row.other, row.one == row.other ? "" : "differs"});
  }
  if (diff.same()) return Cat(counts.ToString(), "the same\n");
  return Cat(counts.ToString(), ChangesText(diff), RowsText("options", diff.options),
             RowsText("ops", diff.ops), RowsText("rules", diff.rules),
             RowsText("dispatch", diff.dispatch), PlacesText(diff.blocks));
}

void WriteDiff(const ExplainDiff& diff, JsonWriter& json) {
  json.BeginObject().Field("same", diff.same());
  json.Key("module").BeginArray();
  for (const ExplainDiff::Change& change : diff.module) {
    json.BeginObject().Field("what", change.what).Field("field", change.field);
    json.Field("one", change.one).Field("other", change.other).EndObject();
  }
  json.EndArray().Field("more_changes", diff.more_changes);
  WriteRows("counts", diff.counts, json);
  WriteRows("options", diff.options, json);
  WriteRows("ops", diff.ops, json);
  WriteRows("rules", diff.rules, json);
  WriteRows("dispatch", diff.dispatch, json);
  json.Key("blocks").BeginArray();
  for (const ExplainDiff::Place& place : diff.blocks) {
    json.BeginObject().Field("block", place.block);
    json.Key("one").BeginArray();
    for (const std::string& text : place.one) json.Value(text);
    json.EndArray().Key("other").BeginArray();
    for (const std::string& text : place.other) json.Value(text);
    json.EndArray().EndObject();
  }
  json.EndArray().EndObject();
}

}  // namespace rlx::ctl
