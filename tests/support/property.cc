// SPDX-License-Identifier: Apache-2.0
#include "tests/support/property.h"

#include "runtime/ir/builder.h"
#include "runtime/ir/verify.h"

namespace rlx::test {
namespace {

// The part of a graph that some outputs need, built anew.
class Rebuild {
 public:
  Rebuild(const Graph& from, NodeId cut) : from_(from), cut_(cut), made_(from.size()), b_(to_) {
    to_.name = from.name;
    to_.symbols = from.symbols;
  }

  // With node `cut` replaced by fresh inputs (in a body constants), or by an earlier value where
  // that is given.
  std::optional<Graph> Run(const std::vector<Output>& outputs, Value instead = {}) {
    std::vector<bool> needed = Needed(outputs, instead);
    for (NodeId id = 0; id < from_.size(); ++id) {
      if (needed[id]) Copy(id, instead);
    }
    for (const Output& output : outputs) b_.Output(output.name, At(output.value));
    if (!b_.status().ok()) return std::nullopt;
    return std::move(to_);
  }

  // A body's inputs are its signature.
  void KeepInputs() { keep_inputs_ = true; }

 private:
  std::vector<bool> Needed(const std::vector<Output>& outputs, Value instead) const {
    std::vector<bool> needed(from_.size());
    for (const Output& output : outputs) needed[output.value.node] = true;
    for (NodeId id = from_.size(); id-- > 0;) {
      if (keep_inputs_ && from_.node(id).op == OpKind::kInput) needed[id] = true;
      if (!needed[id]) continue;
      if (id == cut_) {
        if (instead.valid()) needed[instead.node] = true;
        continue;
      }
      for (Value v : from_.node(id).operands) needed[v.node] = true;
    }
    return needed;
  }

  Value At(Value v) const { return made_[v.node][v.result]; }

  void Copy(NodeId id, Value instead) {
    const Node& node = from_.node(id);
    if (id == cut_ && instead.valid()) {
      made_[id] = {At(instead)};
    } else if (id == cut_) {
      for (const TensorType& type : node.results) {
        made_[id].push_back(
            keep_inputs_
                ? Filler(type)
                : b_.Input(Cat("cut", from_.size(), "_", id, "_", made_[id].size()), type));
      }
    } else {
      std::vector<Value> operands;
      for (Value v : node.operands) operands.push_back(At(v));
      made_[id] = b_.Clone(node, std::move(operands));
      if (made_[id].empty()) made_[id].resize(node.results.size());  // the builder has failed
    }
  }

  Value Filler(const TensorType& type) {
    if (!type.is_static()) {
      b_.Fail(InvalidArgument("a constant has no symbols"));
      return {};
    }
    const auto size = static_cast<size_t>(*type.NumElements());
    if (IsExact(type.dtype)) {
      return b_.Constant(
          HostTensor::FromInts(type.dtype, type.StaticDims(), std::vector<int64_t>(size, 1)));
    }
    const size_t parts = type.dtype == DType::kC64 ? 2 : 1;
    return b_.Constant(HostTensor::FromDoubles(type.dtype, type.StaticDims(),
                                               std::vector<double>(parts * size, 0.5)));
  }

  const Graph& from_;
  const NodeId cut_;
  bool keep_inputs_ = false;
  std::vector<std::vector<Value>> made_;
  Graph to_;
  GraphBuilder b_;
};

class Shrinker {
 public:
  Shrinker(Graph graph, const std::function<bool(const Graph&)>& fails)
      : graph_(std::move(graph)), fails_(fails) {}

  Graph Run() {
    while (OneOutput() || FewerOutputs() || FewerNodes() || SmallerBodies()) {
    }
    return std::move(graph_);
  }

 private:
  bool Take(Graph smaller) {
    if (Size(smaller) >= Size(graph_) || !fails_(smaller)) return false;
    graph_ = std::move(smaller);
    return true;
  }

  bool Try(const std::vector<Output>& outputs, NodeId cut = -1, Value instead = {}) {
    std::optional<Graph> smaller = Rebuild(graph_, cut).Run(outputs, instead);
    return smaller && Take(*std::move(smaller));
  }

  // Leaves are cheap: a node that becomes an input is progress.
  static int Size(const Graph& graph) {
    int size = 0;
    for (const Node& node : graph.nodes()) {
      size += IsLeaf(node.op) ? 1 : 4;
      for (const auto& body : node.subgraphs) size += Size(*body);
    }
    return size + 2 * static_cast<int>(graph.outputs().size());
  }

  // The first value that fails as the only output: everything after it goes at once.
  bool OneOutput() {
    for (NodeId id = 0; id < graph_.size(); ++id) {
      if (!IsLeaf(graph_.node(id).op) && Try({{"y", {id, 0}}})) return true;
    }
    return false;
  }

  bool FewerOutputs() {
    for (size_t i = 0; i < graph_.outputs().size() && graph_.outputs().size() > 1; ++i) {
      std::vector<Output> outputs = graph_.outputs();
      outputs.erase(outputs.begin() + static_cast<int64_t>(i));
      if (Try(outputs)) return true;
    }
    return false;
  }

  bool FewerNodes() {
    for (NodeId id = 0; id < graph_.size(); ++id) {
      const Node& node = graph_.node(id);
      if (IsLeaf(node.op)) continue;
      if (Try(graph_.outputs(), id)) return true;
      for (Value v : Alike(graph_, id, node.operands))
        if (Try(graph_.outputs(), id, v)) return true;
    }
    return false;
  }

  // Of `values` those that may stand for a node of one result.
  static std::vector<Value> Alike(const Graph& graph, NodeId id, std::vector<Value> values) {
    const std::vector<TensorType>& made = graph.node(id).results;
    std::erase_if(values,
                  [&](Value v) { return made.size() != 1 || graph.type(v) != made.front(); });
    return values;
  }

  using Smaller = std::function<bool(Graph)>;  // whether it took the smaller graph

  // With body `which` of a node in a smaller form.
  static bool SmallerBody(const Graph& graph, NodeId id, size_t which, const Smaller& take) {
    const std::shared_ptr<const Graph> body = graph.node(id).subgraphs[which];
    return SmallerNodes(*body, [&](Graph smaller) {
      Graph holder = graph;
      holder.node(id).subgraphs[which] = std::make_shared<const Graph>(std::move(smaller));
      return take(std::move(holder));
    });
  }

  // With an input of the body, what a node reads or a constant in the node's place; so in its own
  // bodies.
  static bool SmallerNodes(const Graph& body, const Smaller& take) {
    for (NodeId id = 0; id < body.size(); ++id) {
      if (IsLeaf(body.node(id).op)) continue;
      std::vector<Value> values = body.node(id).operands;
      for (NodeId input : body.inputs())
        if (input < id) values.push_back({input, 0});
      values = Alike(body, id, std::move(values));
      values.emplace_back();  // none: a constant
      for (Value v : values) {
        Rebuild rebuild(body, id);
        rebuild.KeepInputs();
        std::optional<Graph> smaller = rebuild.Run(body.outputs(), v);
        if (smaller && take(*std::move(smaller))) return true;
      }
      for (size_t i = 0; i < body.node(id).subgraphs.size(); ++i)
        if (SmallerBody(body, id, i, take)) return true;
    }
    return false;
  }

  bool SmallerBodies() {
    const Graph graph = graph_;
    const auto take = [&](Graph smaller) {
      return VerifyGraph(smaller).ok() && Take(std::move(smaller));
    };
    for (NodeId id = 0; id < graph.size(); ++id) {
      for (size_t i = 0; i < graph.node(id).subgraphs.size(); ++i)
        if (SmallerBody(graph, id, i, take)) return true;
    }
    return false;
  }

  Graph graph_;
  const std::function<bool(const Graph&)>& fails_;
};

}  // namespace

// Sanitizers make every graph several times as dear; all of them run without.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kShare = 2;
#else
constexpr int kShare = 1;
#endif

PropertyFlags& Flags() {
  static PropertyFlags flags;
  return flags;
}

Graph Shrink(const Graph& graph, const std::function<bool(const Graph&)>& fails) {
  return Shrinker(graph, fails).Run();
}

int GraphsOf(int count) {
  return Flags().count > 0 ? Flags().count : (count + kShare - 1) / kShare;
}

void CheckGraphs(int count, const std::function<Graph(uint64_t)>& make, const Property& property) {
  const uint64_t first = Flags().seed;
  const auto graphs = static_cast<uint64_t>(GraphsOf(count));
  for (uint64_t seed = first; seed < first + graphs; ++seed) {
    const auto check = [&](const Graph& graph) {
      Rng rng(seed);
      return property(graph, rng);
    };
    const Graph graph = make(seed);
    const ::testing::AssertionResult result = check(graph);
    if (result) continue;
    const Graph small = Shrink(graph, [&](const Graph& smaller) { return !check(smaller); });
    ADD_FAILURE() << "seed " << seed << ": " << result.message() << "\nshrunk from " << graph.size()
                  << " to " << small.size() << " nodes:\n"
                  << Print(small) << check(small).message();
    return;
  }
}

void CheckRandomGraphs(int count, const RandomGraphOptions& options, const Property& property) {
  CheckGraphs(count, [&](uint64_t seed) { return RandomGraph(seed, options); }, property);
}

}  // namespace rlx::test
