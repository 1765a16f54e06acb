// SPDX-License-Identifier: Apache-2.0
#include "tests/support/property.h"

#include "runtime/ir/builder.h"

namespace rlx::test {
namespace {

// The part of a graph that some outputs need, built anew.
class Rebuild {
 public:
  Rebuild(const Graph& from, NodeId cut) : from_(from), cut_(cut), made_(from.size()), b_(to_) {
    to_.name = from.name;
    to_.symbols = from.symbols;
  }

  // With node `cut` replaced by fresh inputs, or by its operand `bypass` where that is given.
  std::optional<Graph> Run(const std::vector<Output>& outputs, int bypass) {
    std::vector<bool> needed(from_.size());
    for (const Output& output : outputs) needed[output.value.node] = true;
    for (NodeId id = from_.size(); id-- > 0;) {
      if (!needed[id]) continue;
      const std::vector<Value>& operands = from_.node(id).operands;
      for (size_t i = 0; i < operands.size(); ++i) {
        if (id != cut_ || static_cast<int>(i) == bypass) needed[operands[i].node] = true;
      }
    }
    for (NodeId id = 0; id < from_.size(); ++id) {
      if (needed[id]) Copy(id, bypass);
    }
    for (const Output& output : outputs) b_.Output(output.name, At(output.value));
    if (!b_.status().ok()) return std::nullopt;
    return std::move(to_);
  }

 private:
  Value At(Value v) const { return made_[v.node][v.result]; }

  void Copy(NodeId id, int bypass) {
    const Node& node = from_.node(id);
    if (id == cut_ && bypass >= 0) {
      made_[id] = {At(node.operands[static_cast<size_t>(bypass)])};
    } else if (id == cut_) {
      for (const TensorType& type : node.results) {
        made_[id].push_back(
            b_.Input(Cat("cut", from_.size(), "_", id, "_", made_[id].size()), type));
      }
    } else {
      std::vector<Value> operands;
      for (Value v : node.operands) operands.push_back(At(v));
      made_[id] = b_.Clone(node, std::move(operands));
      if (made_[id].empty()) made_[id].resize(node.results.size());  // the builder has failed
    }
  }

  const Graph& from_;
  const NodeId cut_;
  std::vector<std::vector<Value>> made_;
  Graph to_;
  GraphBuilder b_;
};

class Shrinker {
 public:
  Shrinker(Graph graph, const std::function<bool(const Graph&)>& fails)
      : graph_(std::move(graph)), fails_(fails) {}

  Graph Run() {
    while (OneOutput() || FewerOutputs() || FewerNodes()) {
    }
    return std::move(graph_);
  }

 private:
  bool Try(const std::vector<Output>& outputs, NodeId cut, int bypass) {
    std::optional<Graph> smaller = Rebuild(graph_, cut).Run(outputs, bypass);
    if (!smaller || Size(*smaller) >= Size(graph_) || !fails_(*smaller)) return false;
    graph_ = *std::move(smaller);
    return true;
  }

  // Leaves are cheap: a node that becomes an input is progress.
  static int Size(const Graph& graph) {
    int size = 0;
    for (const Node& node : graph.nodes()) size += IsLeaf(node.op) ? 1 : 4;
    return size + 2 * static_cast<int>(graph.outputs().size());
  }

  // The first value that fails as the only output: everything after it goes at once.
  bool OneOutput() {
    for (NodeId id = 0; id < graph_.size(); ++id) {
      if (!IsLeaf(graph_.node(id).op) && Try({{"y", {id, 0}}}, -1, -1)) return true;
    }
    return false;
  }

  bool FewerOutputs() {
    for (size_t i = 0; i < graph_.outputs().size() && graph_.outputs().size() > 1; ++i) {
      std::vector<Output> outputs = graph_.outputs();
      outputs.erase(outputs.begin() + static_cast<int64_t>(i));
      if (Try(outputs, -1, -1)) return true;
    }
    return false;
  }

  bool FewerNodes() {
    for (NodeId id = 0; id < graph_.size(); ++id) {
      const Node& node = graph_.node(id);
      if (IsLeaf(node.op)) continue;
      if (Try(graph_.outputs(), id, -1)) return true;
      for (size_t i = 0; i < node.operands.size() && node.results.size() == 1; ++i) {
        if (graph_.type(node.operands[i]) != node.results[0]) continue;
        if (Try(graph_.outputs(), id, static_cast<int>(i))) return true;
      }
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
