// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "runtime/base/text.h"
#include "runtime/engine/key_diff.h"
#include "runtime/ir/lir.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/text.h"

namespace rlx::engine {
namespace {

constexpr NodeId kNone = -1;

// Which node of the one graph is which of the other.
class Matching {
 public:
  Matching(const Graph& one, const Graph& other)
      : one_(one), other_(other), to_(one.size(), kNone), from_(other.size(), kNone) {
    Signature();
    // What forward leaves open backward may close, and that opens more of the way forward.
    for (int found = -1; found != matched_;) {
      found = matched_;
      Forward();
      Backward();
    }
    ByOrder();
  }

  NodeId To(NodeId id) const { return to_[id]; }
  NodeId From(NodeId id) const { return from_[id]; }

 private:
  void Match(NodeId a, NodeId b) {
    to_[a] = b;
    from_[b] = a;
    ++matched_;
  }

  bool Open(NodeId a, NodeId b) const { return to_[a] == kNone && from_[b] == kNone; }

  // Inputs and params by name, then by position.
  void Signature() {
    for (const auto& [ours, theirs] :
         {std::pair(one_.inputs(), other_.inputs()), std::pair(one_.params(), other_.params())}) {
      std::map<std::string_view, NodeId> names;
      for (NodeId id : theirs) names.emplace(other_.node(id).name, id);
      for (NodeId id : ours) {
        const std::string& name = one_.node(id).name;
        const auto it = name.empty() ? names.end() : names.find(name);
        if (it != names.end() && Open(id, it->second)) Match(id, it->second);
      }
      for (size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
        if (Open(ours[i], theirs[i])) Match(ours[i], theirs[i]);
      }
    }
  }

  // An op over operands, these as the other graph's; with its attributes where they must be equal.
  using Key = std::pair<std::vector<int64_t>, std::string>;

  static Key KeyOf(const Node& node, const std::vector<Value>& operands, bool exact) {
    std::vector<int64_t> parts = {static_cast<int64_t>(node.op)};
    for (Value v : operands) {
      parts.push_back(v.node);
      parts.push_back(v.result);
    }
    return {std::move(parts), exact ? PrintAttrs(node) : ""};
  }

  // Nodes that compute the same of matched operands; those with other attributes only once no
  // equal one is left. Constants have nothing but attributes.
  void Forward() {
    for (const bool exact : {true, false}) {
      std::map<Key, std::vector<NodeId>> theirs;  // last first
      for (NodeId id = other_.size() - 1; id >= 0; --id) {
        const Node& node = other_.node(id);
        if (from_[id] != kNone || (!exact && IsLeaf(node.op))) continue;
        theirs[KeyOf(node, node.operands, exact)].push_back(id);
      }
      for (NodeId id = 0; id < one_.size(); ++id) {
        const Node& node = one_.node(id);
        const bool matched =
            std::ranges::all_of(node.operands, [&](Value v) { return to_[v.node] != kNone; });
        if (to_[id] != kNone || !matched) continue;
        std::vector<Value> operands = node.operands;
        for (Value& v : operands) v.node = to_[v.node];
        const auto it = theirs.find(KeyOf(node, operands, exact));
        if (it == theirs.end() || it->second.empty()) continue;
        Match(id, it->second.back());
        it->second.pop_back();
      }
    }
  }

  // What makes an output of one name, or an operand at one place of matched nodes.
  void Backward() {
    const auto join = [&](Value a, Value b) {
      if (Open(a.node, b.node) && one_.node(a.node).op == other_.node(b.node).op)
        Match(a.node, b.node);
    };
    std::map<std::string_view, Value> outputs;
    for (const Output& output : other_.outputs()) outputs.emplace(output.name, output.value);
    for (const Output& output : one_.outputs()) {
      const auto it = outputs.find(output.name);
      if (it != outputs.end()) join(output.value, it->second);
    }
    for (NodeId id = one_.size() - 1; id >= 0; --id) {
      if (to_[id] == kNone) continue;
      const auto &ours = one_.node(id).operands, &theirs = other_.node(to_[id]).operands;
      for (size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) join(ours[i], theirs[i]);
    }
  }

  // As many nodes of an op are left here as there: in order.
  void ByOrder() {
    std::map<OpKind, std::pair<std::vector<NodeId>, std::vector<NodeId>>> left;
    for (NodeId id = 0; id < one_.size(); ++id) {
      if (to_[id] == kNone) left[one_.node(id).op].first.push_back(id);
    }
    for (NodeId id = 0; id < other_.size(); ++id) {
      if (from_[id] == kNone) left[other_.node(id).op].second.push_back(id);
    }
    for (const auto& [op, nodes] : left) {
      if (nodes.first.size() != nodes.second.size()) continue;
      for (size_t i = 0; i < nodes.first.size(); ++i) Match(nodes.first[i], nodes.second[i]);
    }
  }

  const Graph& one_;
  const Graph& other_;
  std::vector<NodeId> to_, from_;
  int matched_ = 0;
};

// A node as its author knows it, `%7 "gelu" (erf)`; nodes of bodies by their canonical numbers.
struct Side {
  const Graph& graph;
  const SourceTable* names;

  std::string Label(NodeId id) const {
    const std::string op = Cat(" (", Name(graph.node(id).op), ")");
    if (names == nullptr) return Cat("%", id, op);
    const SourceTable::Author& author = names->nodes[id];
    return Cat("%", author.number, author.name.empty() ? "" : Cat(" \"", author.name, "\""), op);
  }
  std::string Label(Value v) const {
    return Cat(Label(v.node), v.result > 0 ? Cat(" result ", v.result) : "");
  }
};

std::map<std::string, std::string> AttrTexts(const Node& node) {
  std::map<std::string, std::string> out;
  for (const Attr& attr : node.attrs) {
    Node alone;
    alone.op = node.op;
    alone.attrs = {attr};
    out[std::string(attr.name)] = PrintAttrs(alone).substr(attr.name.size() + 3);  // " = "
  }
  return out;
}

std::string TypesText(const Node& node) { return Join(node.results, ", "); }

class GraphDiff {
 public:
  // `inside` precedes what is said; bodies are compared once, wherever they stand.
  using Bodies = std::set<std::pair<const Graph*, const Graph*>>;
  GraphDiff(Side one, Side other, std::string inside, Bodies& seen, Differences& out)
      : one_(one),
        other_(other),
        inside_(std::move(inside)),
        seen_(seen),
        out_(out),
        matching_(one.graph, other.graph) {}

  void Run() {
    for (NodeId id = 0; id < one_.graph.size(); ++id) {
      if (matching_.To(id) == kNone) {
        Say(one_.Label(id), "", TypesText(one_.graph.node(id)), "");
      } else {
        Pair(id, matching_.To(id));
      }
    }
    for (NodeId id = 0; id < other_.graph.size(); ++id) {
      if (matching_.From(id) == kNone)
        Say(other_.Label(id), "", "", TypesText(other_.graph.node(id)));
    }
    Outputs();
  }

 private:
  void Say(std::string what, std::string field, std::string one, std::string other) {
    if (one != other) {
      out_.Add({"module", inside_ + std::move(what), std::move(field), std::move(one),
                std::move(other)});
    }
  }

  std::string Both(NodeId a, NodeId b) const {
    const std::string ours = one_.Label(a), theirs = other_.Label(b);
    return ours == theirs ? ours : Cat(ours, " / ", theirs);
  }

  bool Same(Value a, Value b) const {
    return matching_.To(a.node) == b.node && a.result == b.result;
  }

  void Pair(NodeId a, NodeId b) {
    const Node &ours = one_.graph.node(a), &theirs = other_.graph.node(b);
    const std::string what = Both(a, b);
    if (IsLeaf(ours.op)) {
      Say(what, "name", ours.name, theirs.name);
      if (ours.op != OpKind::kConstant) Say(what, "type", TypesText(ours), TypesText(theirs));
    }
    const auto attrs = AttrTexts(ours), other_attrs = AttrTexts(theirs);
    for (const auto& [name, text] : attrs) {
      const auto it = other_attrs.find(name);
      Say(what, name, text, it == other_attrs.end() ? "" : it->second);
    }
    for (const auto& [name, text] : other_attrs) {
      if (attrs.count(name) == 0) Say(what, name, "", text);
    }
    for (size_t i = 0; i < std::max(ours.operands.size(), theirs.operands.size()); ++i) {
      const bool here = i < ours.operands.size(), there = i < theirs.operands.size();
      if (here && there && Same(ours.operands[i], theirs.operands[i])) continue;
      Reads(what, Cat("operand ", i), here ? one_.Label(ours.operands[i]) : "",
            there ? other_.Label(theirs.operands[i]) : "");
    }
    CompareBodies(what, ours, theirs);
  }

  // Other nodes, though they may be called the same.
  void Reads(std::string what, std::string field, const std::string& one,
             const std::string& other) {
    Say(std::move(what), std::move(field), one, one == other ? Cat(other, ", another") : other);
  }

  void CompareBodies(const std::string& what, const Node& ours, const Node& theirs) {
    Say(what, "bodies", Cat(ours.subgraphs.size()), Cat(theirs.subgraphs.size()));
    for (size_t i = 0; i < std::min(ours.subgraphs.size(), theirs.subgraphs.size()); ++i) {
      const Graph &a = *ours.subgraphs[i], &b = *theirs.subgraphs[i];
      if (&a == &b || !seen_.emplace(&a, &b).second) continue;
      GraphDiff({a, nullptr}, {b, nullptr}, Cat(inside_, what, " body ", i, ": "), seen_, out_)
          .Run();
    }
  }

  void Outputs() {
    const auto &ours = one_.graph.outputs(), &theirs = other_.graph.outputs();
    for (size_t i = 0; i < std::max(ours.size(), theirs.size()); ++i) {
      const std::string what = Cat("output ", i);
      const bool here = i < ours.size(), there = i < theirs.size();
      Say(what, "name", here ? ours[i].name : "", there ? theirs[i].name : "");
      if (here && there && Same(ours[i].value, theirs[i].value)) continue;
      Reads(what, "value", here ? one_.Label(ours[i].value) : "",
            there ? other_.Label(theirs[i].value) : "");
    }
  }

  const Side one_, other_;
  const std::string inside_;
  Bodies& seen_;
  Differences& out_;
  const Matching matching_;
};

using Facts = std::map<std::pair<std::string, std::string>, std::string>;  // what, field: text

std::string PlaceText(const Assignment& a) {
  return Cat(Name(a.storage), " ", a.bytes, " bytes at ", a.offset, " root ", a.root, " + ",
             a.element_offset, " strides [", Join(a.strides, ","), "]");
}

// What a module says besides its nodes.
Facts FactsOf(const Canonical& canonical) {
  const Module& module = canonical.module;
  const Graph& graph = module.graph;
  Facts out;
  out[{"stage", ""}] = module.stage == Stage::kHir   ? "hir"
                       : module.stage == Stage::kMir ? "mir"
                                                     : "lir";
  out[{"policy", ""}] = module.policy == FusionPolicy::kDirect ? "direct" : "fusable";
  for (const auto& [name, range] : graph.symbols)
    out[{Cat("symbol ", name), ""}] = Cat("[", range.min, ", ", range.max, "]");
  for (const auto& [a, b] : graph.constraints) out[{"constraint", Cat(a, " = ", b)}] = "holds";
  for (const auto& [input, output] : graph.aliases)
    out[{"alias", Cat(input, " -> ", output)}] = "allowed";
  if (module.plan == nullptr) return out;
  const BufferPlan& plan = *module.plan;
  out[{"plan", "arena"}] = Cat(plan.arena_bytes);
  out[{"plan", "alignment"}] = Cat(plan.alignment);
  out[{"plan", "unshared"}] = Cat(plan.unshared_bytes);
  out[{"plan", "unbound"}] = Join(plan.dynamic_symbols, ", ");
  for (size_t i = 0; i < plan.schedule.size(); ++i)
    out[{"plan", Cat("step ", i)}] = Cat("%", plan.schedule[i]);
  for (size_t id = 0; id < plan.phases.size(); ++id)
    out[{"plan", Cat("phase of %", id)}] = Name(plan.phases[id]);
  for (const Assignment& a : plan.assignments)
    out[{"plan", Cat("place of ", a.value)}] = PlaceText(a);
  return out;
}

void DiffFacts(const Facts& one, const Facts& other, Differences& out) {
  Facts all = one;
  all.insert(other.begin(), other.end());
  for (const auto& [where, unused] : all) {
    const auto a = one.find(where), b = other.find(where);
    const std::string ours = a == one.end() ? "" : a->second;
    const std::string theirs = b == other.end() ? "" : b->second;
    if (ours == theirs) continue;
    out.Add({"module", where.first, where.second, ours, theirs});
  }
}

}  // namespace

void DiffModules(const Canonical& one, const Canonical& other, Differences& out) {
  const size_t before = out.size();
  DiffFacts(FactsOf(one), FactsOf(other), out);
  GraphDiff::Bodies seen;
  GraphDiff({one.module.graph, one.names.get()}, {other.module.graph, other.names.get()}, "", seen,
            out)
      .Run();
  // The same nodes, in an order that means something: of reads and donations, or of a plan.
  if (out.size() == before) out.Add({"module", "nodes", "order", "one", "another"});
}

}  // namespace rlx::engine
