// SPDX-License-Identifier: Apache-2.0
// The inside of random_graph.h: a graph half drawn, and the steps that draw it. A new step is a
// function and its line in one of the tables.
#pragma once

#include <optional>

#include "runtime/ir/builder.h"
#include "tests/support/random_graph.h"

namespace rlx::test {

struct Draft {
  Draft(Graph& graph, uint64_t seed, const RandomGraphOptions& options)
      : b(graph), options(options), rng(seed) {}
  // A body of a node of `outer`.
  Draft(Graph& graph, Draft& outer)
      : b(graph), options(outer.options), rng(outer.rng()), outer(&outer), depth(outer.depth + 1) {}

  // A float value and what bounds its magnitude.
  struct Item {
    Value value;
    double bound;
  };

  // --- Draws ---
  int64_t Draw(int64_t low, int64_t high);  // inclusive
  bool Flip() { return Draw(0, 1) == 0; }
  template <class T>
  T Pick(std::initializer_list<T> choices) {
    return choices.begin()[Draw(0, static_cast<int64_t>(choices.size()) - 1)];
  }
  // Late values more often than early ones: chains, with branches.
  Item Any();
  // A value of at least that rank, null when a few draws find none.
  std::optional<Item> AnyOfRank(int rank);
  // A value [.., seq, width] of rank 3, if need be the first input.
  Item Sequence();
  Value Leaf() { return leaves[Draw(0, static_cast<int64_t>(leaves.size()) - 1)]; }

  // --- Building blocks ---
  // In a body both are captured.
  Value Param(Shape shape);
  Value Input(Shape shape) { return Input({options.dtype, std::move(shape)}); }
  Value Input(TensorType type);
  // A value of `outer` as an input of this graph.
  Value Capture(Value v);
  Value Scalar(double value) { return b.Scalar(options.dtype, value); }
  const Shape& ShapeOf(Value v) { return b.type(v).shape; }
  int64_t LastExtent(Value v);  // 0 when it is no number

  // Into the pool; what has grown large is brought back.
  Value Keep(Item item) { return Keep(item.value, item.bound); }
  Value Keep(Value v, double bound);

  // Something that broadcasts to x: x's own shape, a trailing part, ones, a scalar.
  Item Operand(Value x);
  // x · w, of `width` columns.
  Item Linear(Item x, int64_t width, bool bias);
  Value Activation(Value x);
  Value Norm(Value x);

  GraphBuilder b;
  const RandomGraphOptions& options;
  std::vector<Item> pool;
  std::vector<Value> leaves;         // inputs
  std::vector<Value> extra_outputs;  // values that no step may take, being no floats
  std::vector<Value> counters;       // exact scalars that may decide who runs
  Rng rng;
  Draft* outer = nullptr;
  int depth = 0;
  std::vector<Value> captured;  // values of `outer`

 private:
  int inputs_ = 0, params_ = 0;
};

using DraftStep = void (*)(Draft&);

void AnyStep(Draft& g);  // as the options have it

std::span<const DraftStep> PlainSteps();      // one op
std::span<const DraftStep> CompositeSteps();  // attention, regions
std::span<const DraftStep> IdiomSteps();      // what passes look for
std::span<const DraftStep> BlockSteps();      // attention blocks, encoder layers, convolutions
std::span<const DraftStep> ExportedSteps();   // ops as exporters write them out
void TableStep(Draft& g);                     // any op of the table, by its sample
void QuantizedStep(Draft& g);                 // pairs that cancel, products between codes
void IfStep(Draft& g);                        // two fixed branches
void ControlFlowStep(Draft& g);               // any control flow, its bodies drawn too
void CastStep(Draft& g);
void IntegerStep(Draft& g);
void CustomStep(Draft& g);  // an op of the graph's own, used twice

}  // namespace rlx::test
