// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/explain_page.h"

#include <algorithm>
#include <map>

#include "clients/rlxctl/explain_model.h"
#include "clients/rlxctl/table.h"
#include "clients/rlxctl/words.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"

namespace rlx::ctl {
namespace {

// Kernels beyond this many bytes of text are named but not shown: a page is to be read.
constexpr size_t kMostSource = size_t{8} << 20;

using Key = std::pair<uint32_t, uint32_t>;  // node, result

// Writes the document that the page's script reads. Lists of facts are arrays, in the order that
// the script's accessors know.
class PageData {
 public:
  explicit PageData(const ExplainModel& model) : model_(model), answer_(*model.answer) {}

  std::string Text(const v1::ExportSourceResponse& sources) {
    json_.BeginObject();
    json_.Field("title", answer_.module_name());
    json_.Field("target", Cat(TargetWord(answer_.target()), " ", answer_.target().arch()));
    json_.Field("stage", answer_.hir_size() > 0 ? "hir" : "mir");
    json_.Field("why", answer_.why_no_steps());
    Tiles();
    Nodes("mir", answer_.mir(), model_.unit_of_mir);
    Nodes("lir", answer_.lir(), model_.unit_of_lir);
    Units();
    Blocks();
    Remarks();
    Arena();
    Steps();
    Kernels(sources);
    Facts();
    json_.EndObject();
    return json_.text();
  }

 private:
  template <class List>
  void Ints(const List& list) {
    json_.BeginArray();
    for (auto value : list) json_.Value(static_cast<int64_t>(value));
    json_.EndArray();
  }

  void Tile(std::string_view name, const std::string& value, const std::string& more,
            std::string_view tone = "") {
    json_.BeginArray().Value(name).Value(value).Value(more).Value(tone).EndArray();
  }

  void Tiles() {
    const RunCounts run = CountRun(model_);
    const v1::FusionReport& fusion = answer_.fusion();
    const Block& all = model_.blocks[0];
    const v1::MemoryPlan& plan = answer_.plan();
    json_.Key("tiles").BeginArray();
    Tile("nodes", Cat(answer_.mir_size(), " → ", answer_.lir_size()),
         answer_.hir_size() > 0 ? Cat("from ", answer_.hir_size(), " of HIR") : "before → after");
    Tile("steps a run", Cat(run.estimated ? "≈ " : "", run.total),
         run.estimated
             ? "no code here"
             : Cat(run.calls, " calls, ", run.launches, " kernels, ", run.copies, " copies"));
    Tile("fusions", Cat(all.fusions), Cat("save ", fusion.launches_saved(), " launches"));
    Tile("traffic saved",
         fusion.bytes_unknown() && fusion.bytes_saved() == 0
             ? "unknown"
             : SavedBytesText(fusion.bytes_saved(), fusion.bytes_unknown()),
         fusion.bytes_unknown() ? "sizes without a bound" : "intermediates of a run");
    Tile("misses", Cat(all.actionable), Cat(all.missed - all.actionable, " more nobody can act on"),
         all.actionable > 0 ? "warn" : "good");
    if (plan.dynamic_symbols_size() > 0) {
      Tile("arena", "not planned", Cat(Join(plan.dynamic_symbols(), ", "), " unbound"));
    } else {
      Tile("arena", BytesText(plan.arena_size()),
           Cat(BytesText(plan.unshared_bytes()), " without sharing"));
    }
    json_.EndArray();
  }

  void Nodes(std::string_view key,
             const google::protobuf::RepeatedPtrField<v1::ExplainedNode>& nodes,
             const std::vector<int>& units) {
    json_.Key(key).BeginArray();
    for (int id = 0; id < nodes.size(); ++id) {
      const v1::ExplainedNode& node = nodes[id];
      json_.BeginArray().Value(node.op()).Value(node.name()).Value(Join(node.types(), ", "));
      json_.Value(node.attributes()).BeginArray();
      for (const v1::ValueRef& operand : node.operands()) json_.Value(operand.node());
      json_.EndArray().Value(units[id]);
      json_.Value(node.fate() == v1::NODE_FATE_UNSPECIFIED ? "" : Word(node.fate()));
      json_.Value(node.pass()).Value(node.rule()).Value(Sources(node)).EndArray();
    }
    json_.EndArray();
  }

  static std::string Sources(const v1::ExplainedNode& node) {
    constexpr int kShown = 12;
    std::string out;
    for (int i = 0; i < std::min(node.sources_size(), kShown); ++i) {
      const v1::SourceRef& source = node.sources(i);
      out += Cat(i == 0 ? "" : ", ", Word(source.kind()), " %", source.id(),
                 source.name().empty() ? "" : Cat(" ", source.name()));
    }
    return node.sources_size() > kShown ? Cat(out, ", …") : out;
  }

  void Units() {
    json_.Key("units").BeginArray();
    for (const Unit& unit : model_.units) {
      json_.BeginArray().Value(Name(unit.kind));
      Ints(unit.before);
      Ints(unit.after);
      Ints(unit.applied);
      Ints(unit.missed);
      json_.Value(unit.block).Value(unit.steps).EndArray();
    }
    json_.EndArray();
  }

  // An item is a unit's number, or -1 less a block's.
  void Blocks() {
    json_.Key("blocks").BeginArray();
    for (const Block& block : model_.blocks) {
      json_.BeginArray().Value(block.name).Value(block.what).Value(block.parent).BeginArray();
      for (const Block::Item& item : block.items) {
        json_.Value(item.is_block ? -1 - item.index : item.index);
      }
      json_.EndArray().Value(block.before).Value(block.after).Value(block.steps);
      json_.Value(block.fusions).Value(block.missed).Value(block.actionable).EndArray();
    }
    json_.EndArray();
  }

  void Remarks() {
    json_.Key("remarks").BeginArray();
    for (const v1::Remark& remark : answer_.fusion().remarks()) {
      json_.BeginArray().Value(remark.kind() == v1::Remark::KIND_MISSED);
      json_.Value(remark.rule())
          .Value(remark.reason())
          .Value(remark.message())
          .Value(remark.hint());
      json_.Value(remark.actionable()).Value(remark.launches_saved());
      json_.Value(remark.bytes_saved()).Value(remark.pass());
      json_.Value(remark.bytes_unknown()).EndArray();
    }
    json_.EndArray();
  }

  // When each value is last read, views counting for what they see.
  std::map<Key, int> LastReads(const std::map<Key, const v1::Assignment*>& places) {
    const v1::MemoryPlan& plan = answer_.plan();
    std::vector<int> when(answer_.lir_size(), 0);
    for (int i = 0; i < plan.schedule_size(); ++i) when[plan.schedule(i).node()] = i;
    std::map<Key, int> last;
    const auto root = [&](Key key) {
      const auto it = places.find(key);
      if (it == places.end() || it->second->storage() != v1::STORAGE_VIEW) return key;
      return Key{it->second->root_node(), it->second->root_result()};
    };
    for (int id = 0; id < answer_.lir_size(); ++id) {
      for (const v1::ValueRef& operand : answer_.lir(id).operands()) {
        int& at = last[root({operand.node(), operand.result()})];
        at = std::max(at, when[id]);
      }
    }
    for (const v1::Binding& output : answer_.manifest().outputs()) {
      last[root({output.node(), output.result()})] = plan.schedule_size();
    }
    return last;
  }

  void Arena() {
    const v1::MemoryPlan& plan = answer_.plan();
    std::map<Key, const v1::Assignment*> places;
    for (const v1::Assignment& place : plan.assignments()) {
      places[{place.node(), place.result()}] = &place;
    }
    const std::map<Key, int> last = LastReads(places);
    std::vector<int> when(answer_.lir_size(), 0);
    for (int i = 0; i < plan.schedule_size(); ++i) when[plan.schedule(i).node()] = i;
    json_.Key("arena").BeginObject();
    json_.Field("size", plan.arena_size()).Field("unshared", plan.unshared_bytes());
    json_.Field("alignment", plan.alignment()).Field("steps", plan.schedule_size());
    json_.Key("slots").BeginArray();  // node, result, offset, size, from, to
    for (const v1::Assignment& place : plan.assignments()) {
      if (place.storage() != v1::STORAGE_ARENA) continue;
      const auto it = last.find({place.node(), place.result()});
      const int from = when[place.node()];
      const int to = it == last.end() ? from : std::max(from, it->second);
      Ints(std::array<uint64_t, 6>{place.node(), place.result(), place.offset(), place.size(),
                                   static_cast<uint64_t>(from), static_cast<uint64_t>(to)});
    }
    json_.EndArray().Key("views").BeginArray();  // node, root node, root result, at
    for (const v1::Assignment& place : plan.assignments()) {
      if (place.storage() != v1::STORAGE_VIEW) continue;
      Ints(std::array<uint64_t, 4>{place.node(), place.root_node(), place.root_result(),
                                   static_cast<uint64_t>(when[place.node()])});
    }
    json_.EndArray().Key("storage").BeginArray();
    std::map<v1::Storage, std::pair<int, uint64_t>> sums;
    for (const v1::Assignment& place : plan.assignments()) {
      ++sums[place.storage()].first;
      sums[place.storage()].second += place.size();
    }
    for (const auto& [storage, sum] : sums) {
      json_.BeginArray().Value(Word(storage)).Value(sum.first).Value(sum.second).EndArray();
    }
    json_.EndArray().EndObject();
  }

  void Steps() {
    json_.Key("steps").BeginArray();
    for (const v1::ExplainedStep& step : answer_.steps()) {
      json_.BeginArray().Value(step.node()).Value(step.kind()).Value(step.label());
      json_.Value(step.kind() == "launch" ? Cat("k", step.kernel()) : step.routine());
      json_.Value(step.groups()).Value(step.flops()).Value(step.bytes()).Value(step.weights());
      json_.Value(step.depth()).Value(step.turns()).EndArray();
    }
    json_.EndArray();
  }

  void Kernels(const v1::ExportSourceResponse& sources) {
    const auto& all = sources.kernels_size() > 0 ? sources.kernels() : answer_.kernels();
    size_t left = kMostSource;
    json_.Key("kernels").BeginArray();
    for (int i = 0; i < all.size();) {
      const std::string& name = all[i].kernel();
      json_.BeginArray().Value(name).Value(all[i].label()).BeginArray();
      for (; i < all.size() && all[i].kernel() == name; ++i) {
        const bool fits = all[i].text().size() <= left;
        if (fits) left -= all[i].text().size();
        json_.BeginArray().Value(all[i].language());
        json_.Value(fits ? all[i].text() : "left out: the page is long enough; see rlxctl export");
        json_.EndArray();
      }
      json_.EndArray().EndArray();
    }
    json_.EndArray();
  }

  void Facts() {
    json_.Key("passes").BeginArray();
    for (const v1::PassTiming& pass : answer_.passes()) {
      json_.BeginArray()
          .Value(pass.name())
          .Value(pass.skipped() ? "" : SecondsText(pass.seconds()));
      json_.Value(pass.nodes_after());
      json_.Value(pass.skipped() ? pass.why_skipped() : pass.changed() ? "changed" : "");
      json_.Value(pass.skipped()).EndArray();
    }
    json_.EndArray().Key("ops").BeginArray();
    for (const v1::OpCount& op : answer_.fusion().ops()) {
      json_.BeginArray().Value(op.op()).Value(op.before()).Value(op.after()).EndArray();
    }
    json_.EndArray().Key("dispatch").BeginArray();
    for (const v1::DispatchReport::Kind& kind : answer_.dispatch().kinds()) {
      json_.BeginArray().Value(kind.kind()).Value(kind.nodes()).Value(kind.nodes_after());
      json_.Value(Word(kind.path())).Value(kind.how()).EndArray();
    }
    json_.EndArray().Field("options", answer_.options().DebugString());
  }

  const ExplainModel& model_;
  const v1::ExplainResponse& answer_;
  JsonWriter json_;
};

// JSON that no HTML parser takes for the end of its script.
std::string Embeddable(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (char c : json) out += c == '<' ? std::string("\\u003c") : std::string(1, c);
  return out;
}

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

std::string ExplainPage(const ExplainModel& model, const v1::ExportSourceResponse& sources) {
  return Cat(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>",
      EscapeHtml(model.answer->module_name()), ": what became of it</title>\n<style>\n", kPageStyle,
      "</style></head>\n", kPageBody, "<script type=\"application/json\" id=\"data\">",
      Embeddable(PageData(model).Text(sources)), "</script>\n<script>\n", kPageScript,
      "</script></body></html>\n");
}

}  // namespace rlx::ctl
