// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/explain_model.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "runtime/base/text.h"

namespace rlx::ctl {
namespace {

// A block with more direct units than this is cut into pieces: nobody reads a list of thousands.
constexpr size_t kLongBlock = 160, kPiece = 64;

class Sets {
 public:
  explicit Sets(int size) : parent_(size) { std::iota(parent_.begin(), parent_.end(), 0); }
  int Find(int x) {
    while (parent_[x] != x) x = parent_[x] = parent_[parent_[x]];
    return x;
  }
  void Join(int a, int b) { parent_[Find(b)] = Find(a); }

 private:
  std::vector<int> parent_;
};

// The dotted path that a node's name begins with, without its last part.
std::vector<std::string> PathOf(std::string_view name, bool whole) {
  std::vector<std::string> parts;
  size_t start = 0;
  for (size_t i = 0; i <= name.size(); ++i) {
    if (i < name.size() && name[i] != '.' && name[i] != '/') continue;
    if (i > start) parts.emplace_back(name.substr(start, i - start));
    start = i + 1;
  }
  if (!whole && !parts.empty()) parts.pop_back();
  return parts;
}

class Maker {
 public:
  explicit Maker(const v1::ExplainResponse& answer)
      : answer_(answer), mir_(answer.mir_size()), lir_(answer.lir_size()) {
    model_.answer = &answer;
    model_.blocks.push_back({.name = answer.module_name()});
    model_.unit_of_mir.assign(mir_, -1);
    model_.unit_of_lir.assign(lir_, -1);
    model_.steps_of_lir.assign(lir_, 0);
    reader_.assign(lir_, -1);
  }

  ExplainModel Run() {
    CountSteps();
    MakeUnits();
    for (Unit& unit : model_.units) Judge(unit);
    PlaceUnits();
    Merge();
    Cut();
    for (int block = static_cast<int>(model_.blocks.size()) - 1; block >= 0; --block) Sum(block);
    return std::move(model_);
  }

 private:
  void CountSteps() {
    for (const v1::ExplainedStep& step : answer_.steps()) {
      if (!step.weights() && step.depth() == 0 && step.node() >= 0 && step.node() < lir_) {
        ++model_.steps_of_lir[step.node()];
      }
    }
    if (answer_.steps_size() > 0) return;
    std::vector<bool> idle(lir_);
    for (const v1::Assignment& place : answer_.plan().assignments()) {
      const bool runs =
          place.storage() != v1::STORAGE_VIEW && place.storage() != v1::STORAGE_WEIGHT;
      if (!runs && place.node() < static_cast<uint32_t>(lir_)) idle[place.node()] = true;
    }
    for (int id = 0; id < lir_; ++id) {
      const v1::ExplainedNode& node = answer_.lir(id);
      const bool runs = !IsLeaf(node) && !idle[id] && !node.has_within();
      model_.steps_of_lir[id] = runs ? 1 : 0;
    }
  }

  // Nodes that have to do with each other, leaves aside.
  void MakeUnits() {
    Sets sets(mir_ + lir_);
    for (int id = 0; id < mir_; ++id) {
      if (IsLeaf(answer_.mir(id))) continue;
      for (uint32_t to : answer_.mir(id).became()) sets.Join(id, mir_ + static_cast<int>(to));
    }
    std::map<int, int> units;  // by set
    const auto unit = [&](int member) -> Unit& {
      const auto [it, fresh] = units.try_emplace(sets.Find(member), model_.units.size());
      if (fresh) model_.units.emplace_back();
      return model_.units[it->second];
    };
    for (int id = 0; id < mir_; ++id) {
      if (IsLeaf(answer_.mir(id))) continue;
      unit(id).before.push_back(id);
      model_.unit_of_mir[id] = units.at(sets.Find(id));
    }
    for (int id = 0; id < lir_; ++id) {
      const bool constant = IsLeaf(answer_.lir(id));
      if (constant && !units.contains(sets.Find(mir_ + id))) continue;
      unit(mir_ + id).after.push_back(id);
      for (const v1::ValueRef& operand : answer_.lir(id).operands()) {
        int& reader = reader_[operand.node()];
        if (reader < 0) reader = id;
      }
      model_.unit_of_lir[id] = units.at(sets.Find(mir_ + id));
    }
  }

  UnitKind KindOf(const Unit& unit) const {
    if (unit.before.empty()) return UnitKind::kMade;
    const v1::NodeFate fate = answer_.mir(unit.before[0]).fate();
    const bool one = unit.before.size() == 1;
    switch (fate) {
      case v1::NODE_FATE_FOLDED:
        return UnitKind::kFolded;
      case v1::NODE_FATE_DEAD:
      case v1::NODE_FATE_DROPPED:
        if (unit.after.empty()) return UnitKind::kGone;
        break;
      case v1::NODE_FATE_MERGED:
        return UnitKind::kMerged;
      case v1::NODE_FATE_KEPT:
      case v1::NODE_FATE_VIEW:
        if (!one) return UnitKind::kMerged;
        return fate == v1::NODE_FATE_VIEW ? UnitKind::kView : UnitKind::kKept;
      case v1::NODE_FATE_REWRITTEN:
        if (one) return UnitKind::kRewritten;
        break;
      case v1::NODE_FATE_DECOMPOSED:
        if (one) return UnitKind::kDecomposed;
        break;
      default:
        break;
    }
    return UnitKind::kFused;
  }

  void Judge(Unit& unit) {
    unit.kind = KindOf(unit);
    for (int id : unit.after) unit.steps += model_.steps_of_lir[id];
    for (int id : unit.before) {
      for (uint32_t remark : answer_.mir(id).remarks()) {
        // A remark about nodes of several units stands at the first.
        const Unit*& owner = owners_[remark];
        if (owner != nullptr && owner != &unit) continue;
        owner = &unit;
        const bool missed = answer_.fusion().remarks(remark).kind() == v1::Remark::KIND_MISSED;
        (missed ? unit.missed : unit.applied).push_back(static_cast<int>(remark));
      }
    }
    for (std::vector<int>* list : {&unit.applied, &unit.missed}) {
      std::sort(list->begin(), list->end());
      list->erase(std::unique(list->begin(), list->end()), list->end());
    }
  }

  int Child(int parent, const std::string& name) {
    const auto [it, fresh] = children_.try_emplace({parent, name}, model_.blocks.size());
    if (fresh) model_.blocks.push_back({.name = name, .parent = parent});
    return it->second;
  }

  // What control flow holds stands beside it, under its name.
  int BodyOf(int holder) {
    const v1::ExplainedNode& node = answer_.mir(holder);
    const int unit = model_.unit_of_mir[holder];
    const std::string label = node.name().empty() ? "" : Cat(" ", node.name());
    const int body = Child(unit < 0 ? 0 : model_.units[unit].block, Cat("%", holder, label));
    model_.blocks[body].what = node.op();
    return body;
  }

  // A module of blocks has a block for each that became several nodes; other nodes are where their
  // names put them, and where those before them are when they have none.
  int BlockOf(int mir) {
    const v1::ExplainedNode& node = answer_.mir(mir);
    if (node.has_within()) return last_ = BodyOf(static_cast<int>(node.within()));
    std::vector<std::string> path;
    std::string what;
    if (answer_.hir_size() > 0 && node.made_from_size() > 0) {
      const v1::ExplainedNode& source = answer_.hir(static_cast<int>(node.made_from(0)));
      const bool block = source.became_size() > 1;
      const std::string name =
          source.name().empty() && block ? Cat("%", node.made_from(0)) : source.name();
      path = PathOf(name, block);
      if (block) what = source.op();
    } else {
      std::string name = node.name();
      if (name.empty() && node.sources_size() > 0) name = node.sources(0).name();
      if (name.empty()) return last_;
      path = PathOf(name, false);
    }
    int at = 0;
    for (const std::string& part : path) at = Child(at, part);
    if (!what.empty()) model_.blocks[at].what = what;
    return last_ = at;
  }

  void PlaceUnits() {
    std::vector<int> order(model_.units.size());
    std::iota(order.begin(), order.end(), 0);
    const auto first = [&](int u) {
      const Unit& unit = model_.units[u];
      return unit.before.empty() ? INT32_MAX : unit.before[0];
    };
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return first(a) < first(b); });
    for (int u : order) {
      Unit& unit = model_.units[u];
      unit.block = unit.before.empty() ? BlockOfReader(unit) : BlockOf(unit.before[0]);
      Enter(unit.block);
      model_.blocks[unit.block].items.push_back({false, u});
    }
  }

  // What the compiler made belongs to whoever reads it.
  int BlockOfReader(const Unit& unit) const {
    const int reader = unit.after.empty() ? -1 : reader_[unit.after.back()];
    const int other = reader < 0 ? -1 : model_.unit_of_lir[reader];
    return other < 0 || model_.units[other].before.empty() ? 0 : model_.units[other].block;
  }

  // A block stands in its parent where its first unit is.
  void Enter(int block) {
    entered_.resize(model_.blocks.size());
    while (block > 0 && !entered_[block]) {
      entered_[block] = true;
      const int parent = model_.blocks[block].parent;
      model_.blocks[parent].items.push_back({true, block});
      block = parent;
    }
  }

  // A block that holds one block alone is that one.
  void Merge() {
    for (size_t b = 1; b < model_.blocks.size(); ++b) {
      while (model_.blocks[b].items.size() == 1 && model_.blocks[b].items[0].is_block &&
             model_.blocks[b].what.empty()) {
        const int only = model_.blocks[b].items[0].index;
        Block& inner = model_.blocks[only];
        model_.blocks[b].name += Cat(".", inner.name);
        model_.blocks[b].what = inner.what;
        model_.blocks[b].items = std::exchange(inner.items, {});
        for (const Block::Item& item : model_.blocks[b].items) {
          (item.is_block ? model_.blocks[item.index].parent : model_.units[item.index].block) =
              static_cast<int>(b);
        }
      }
    }
  }

  void Cut() {
    for (size_t b = 0, size = model_.blocks.size(); b < size; ++b) {
      if (model_.blocks[b].items.size() <= kLongBlock) continue;
      const std::vector<Block::Item> items = std::exchange(model_.blocks[b].items, {});
      for (size_t i = 0; i < items.size(); ++i) {
        if (items[i].is_block) {
          model_.blocks[b].items.push_back(items[i]);
          continue;
        }
        Block* piece = &model_.blocks.back();
        const bool open =
            piece->parent == static_cast<int>(b) && model_.blocks.size() > size &&
            piece->items.size() < kPiece && !model_.blocks[b].items.empty() &&
            model_.blocks[b].items.back().index == static_cast<int>(model_.blocks.size()) - 1;
        if (!open) {
          model_.blocks[b].items.push_back({true, static_cast<int>(model_.blocks.size())});
          model_.blocks.push_back(
              {.name = PieceName(items[i].index), .parent = static_cast<int>(b)});
          piece = &model_.blocks.back();
        }
        piece->items.push_back(items[i]);
        model_.units[items[i].index].block = static_cast<int>(model_.blocks.size()) - 1;
      }
    }
  }

  std::string PieceName(int unit) const {
    const std::vector<int>& before = model_.units[unit].before;
    return before.empty() ? "made by the compiler" : Cat("from %", before[0]);
  }

  void Sum(int index) {
    Block& block = model_.blocks[index];
    for (const Block::Item& item : block.items) {
      if (item.is_block) {
        const Block& child = model_.blocks[item.index];
        block.before += child.before;
        block.after += child.after;
        block.steps += child.steps;
        block.fusions += child.fusions;
        block.missed += child.missed;
        block.actionable += child.actionable;
        block.shape += Cat("{", child.what, child.shape, "}");
        continue;
      }
      const Unit& unit = model_.units[item.index];
      block.before += static_cast<int>(unit.before.size());
      block.after += static_cast<int>(unit.after.size());
      block.steps += unit.steps;
      for (int remark : unit.applied) {
        if (answer_.fusion().remarks(remark).kind() == v1::Remark::KIND_APPLIED) ++block.fusions;
      }
      block.missed += static_cast<int>(unit.missed.size());
      for (int remark : unit.missed) {
        if (answer_.fusion().remarks(remark).actionable()) ++block.actionable;
      }
      block.shape += Cat(UnitShape(model_, unit), ";");
      for (int remark : unit.missed) {
        block.shape += Cat("!", answer_.fusion().remarks(remark).rule(), " ",
                           answer_.fusion().remarks(remark).reason(), ";");
      }
    }
  }

  const v1::ExplainResponse& answer_;
  const int mir_, lir_;
  ExplainModel model_;
  std::map<std::pair<int, std::string>, int> children_;
  std::vector<bool> entered_;
  std::map<uint32_t, const Unit*> owners_;  // of remarks
  std::vector<int> reader_;                 // of each LIR node, the first
  int last_ = 0;
};

// "a + 3 b", equal neighbours counted once.
template <class Nodes>
std::string OpsOf(const Nodes& nodes, const std::vector<int>& ids) {
  std::string out;
  for (size_t i = 0; i < ids.size();) {
    size_t end = i;
    while (end < ids.size() && nodes(ids[end]).op() == nodes(ids[i]).op()) ++end;
    out += Cat(out.empty() ? "" : " + ", end - i > 1 ? Cat(end - i, " ") : "", nodes(ids[i]).op());
    i = end;
  }
  return out;
}

}  // namespace

std::string_view Name(UnitKind kind) {
  constexpr std::string_view kNames[] = {"kept",   "view",   "fused", "rewritten", "decomposed",
                                         "folded", "merged", "gone",  "made"};
  return kNames[static_cast<size_t>(kind)];
}

bool IsLeaf(const v1::ExplainedNode& node) {
  return node.op() == "input" || node.op() == "param" || node.op() == "constant";
}

std::string ExplainModel::Path(int block) const {
  if (block <= 0) return "";
  const std::string above = Path(blocks[block].parent);
  return Cat(above, above.empty() ? "" : ".", blocks[block].name);
}

std::string UnitShape(const ExplainModel& model, const Unit& unit) {
  const auto mir = [&](int id) -> const v1::ExplainedNode& { return model.answer->mir(id); };
  const auto lir = [&](int id) -> const v1::ExplainedNode& { return model.answer->lir(id); };
  const std::string before = OpsOf(mir, unit.before);
  if (unit.kind == UnitKind::kKept || unit.kind == UnitKind::kView) return before;
  if (unit.after.empty()) return Cat(before, " => ", Name(unit.kind));
  return Cat(before, before.empty() ? "" : " => ", OpsOf(lir, unit.after));
}

ExplainModel MakeExplainModel(const v1::ExplainResponse& answer) { return Maker(answer).Run(); }

RunCounts CountRun(const ExplainModel& model) {
  RunCounts counts;
  counts.estimated = model.answer->steps_size() == 0;
  if (counts.estimated) {
    counts.total = std::reduce(model.steps_of_lir.begin(), model.steps_of_lir.end());
    return counts;
  }
  for (const v1::ExplainedStep& step : model.answer->steps()) {
    if (step.weights() || step.depth() > 0) continue;
    ++counts.total;
    counts.launches += step.kind() == "launch" ? 1 : 0;
    counts.calls += step.kind() == "call" ? 1 : 0;
    counts.copies += step.kind() == "copy" ? 1 : 0;
    counts.loops += step.kind() == "loop" ? 1 : 0;
    counts.branches += step.kind() == "branch" ? 1 : 0;
  }
  return counts;
}

}  // namespace rlx::ctl
