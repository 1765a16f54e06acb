// SPDX-License-Identifier: Apache-2.0
#include "tests/support/random_loops.h"

#include "runtime/base/check.h"
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/op_info.h"

namespace rlx::test {
namespace {

int64_t Draw(Rng& rng, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(rng() % static_cast<uint64_t>(high - low + 1));
}

// What every graph of a module takes, in this order: a matrix, a counter and a weight; scans a
// slice of the matrix's type too. Every body makes the next matrix and counter.
struct State {
  Value x, i, w, slice;
};

// Writes one module. Values stay near 0 and nothing doubles a difference, so that float and double
// go the same way; branches and ends are decided by counters.
class Writer {
 public:
  explicit Writer(Rng& rng) : rng_(rng), matrix_{DType::kF32, {Draw(rng, 1, 5), Draw(rng, 1, 9)}} {}

  Graph Module() {
    Graph graph;
    GraphBuilder b(graph);
    State s{b.Input("x", matrix_), b.Input("i", kCounter), {}, {}};
    s.w = Flip() ? b.Param("w", Weight()) : b.Input("w", Weight());
    if (Flip()) s.x = b.Param("fixed", matrix_);  // perhaps all is done with the weights
    for (int64_t n = Draw(rng_, 1, 2); n > 0; --n) s = Nest(b, s, 3);
    b.Output("x", s.x);
    b.Output("i", s.i);
    if (Flip()) b.Output("again", s.x);
    CHECK(b.status().ok(), Message(b.status()));
    return graph;
  }

 private:
  inline static const TensorType kCounter{DType::kI64, {}};

  TensorType Weight() const { return {DType::kF32, {matrix_.shape[1], matrix_.shape[1]}}; }
  bool Flip() { return Draw(rng_, 0, 1) == 1; }

  State Inputs(GraphBuilder& b, bool slice) {
    State s{b.Input("", matrix_), b.Input("", kCounter), b.Input("", Weight()), {}};
    if (slice) s.slice = b.Input("", matrix_);
    return s;
  }

  std::shared_ptr<const Graph> Finish(Graph graph, const GraphBuilder& b) {
    CHECK(b.status().ok(), Message(b.status()));
    return std::make_shared<const Graph>(std::move(graph));
  }

  Value Expression(GraphBuilder& b, const State& s) {
    Value x = s.x;
    const double k = static_cast<double>(matrix_.shape[1].value());
    switch (Draw(rng_, 0, 7)) {
      case 0:
        x = b.Mul(b.MatMul(x, s.w), b.Scalar(DType::kF32, 0.5 / k));
        break;
      case 1:
        x = b.Softmax(x);
        break;
      case 2:
        x = b.Transpose(b.Unary(OpKind::kSin, b.Transpose(x, {1, 0})), {1, 0});
        break;
      case 3:
        x = b.Add(x, b.Mul(b.Cast(s.i, DType::kF32), b.Scalar(DType::kF32, 0.05)));
        x = b.Unary(OpKind::kTanh, x);
        break;
      case 4:  // of weights alone
        x = b.Add(b.Mul(x, b.Scalar(DType::kF32, 0.5)),
                  b.Reduce(OpKind::kReduceMean, s.w, {0}, true));
        break;
      case 5:  // as it is
        break;
      case 6:
        x = AddRow(b, s);
        break;
      default:
        x = b.Unary(OpKind::kNeg, x);
    }
    if (s.slice.valid() && Flip()) x = b.Sub(x, s.slice);
    return Flip() ? x : b.Unary(OpKind::kTanh, x);
  }

  // x + 0.1·x[i], of which i may be no row: then the run fails, unless a branch asks first.
  Value AddRow(GraphBuilder& b, const State& s) {
    const auto add = [&](GraphBuilder& to, Value x, Value i) {
      const Value row = to.Mul(to.Gather(x, i), to.Scalar(DType::kF32, 0.1));
      return to.Unary(OpKind::kTanh, to.Add(x, row));
    };
    if (Draw(rng_, 0, 7) == 0) return add(b, s.x, s.i);
    const Value rows = b.Scalar(DType::kI64, static_cast<double>(matrix_.shape[0].value()));
    const auto branch = [&](bool adds) {
      Graph graph;
      GraphBuilder in(graph);
      const Value x = in.Input("", matrix_), i = in.Input("", kCounter);
      in.Output("", adds ? add(in, x, i) : x);
      return Finish(std::move(graph), in);
    };
    return b.Emit(OpKind::kIf, {b.Emit(OpKind::kLt, {s.i, rows}), s.x, s.i}, {},
                  {branch(true), branch(false)});
  }

  State Step(GraphBuilder& b, State s, int depth) {
    if (!Flip()) s.x = Expression(b, s);
    if (depth > 0 && Draw(rng_, 0, 2) > 0) s = Nest(b, s, depth);
    if (Flip()) s.x = Expression(b, s);
    s.i = b.Add(s.i, b.Scalar(DType::kI64, Draw(rng_, 0, 2)));
    return s;
  }

  State Nest(GraphBuilder& b, const State& s, int depth) {
    switch (Draw(rng_, 0, 2)) {
      case 0:
        return If(b, s, depth - 1);
      case 1:
        return While(b, s, depth - 1);
      default:
        return Scan(b, s, depth - 1);
    }
  }

  std::shared_ptr<const Graph> Body(int depth) {
    Graph graph;
    GraphBuilder b(graph);
    const State s = Step(b, Inputs(b, false), depth);
    b.Output("", s.x);
    b.Output("", s.i);
    return Finish(std::move(graph), b);
  }

  State If(GraphBuilder& b, const State& s, int depth) {
    const Value odd = b.Emit(OpKind::kLt, {s.i, b.Scalar(DType::kI64, Draw(rng_, 0, 6))});
    const auto made = b.EmitAll(OpKind::kIf, {odd, s.x, s.i, s.w}, {}, {Body(depth), Body(depth)});
    return Made(made, s);
  }

  State While(GraphBuilder& b, const State& s, int depth) {
    Graph condition;
    GraphBuilder c(condition);
    const State at = Inputs(c, false);
    c.Output("", c.Emit(OpKind::kLt, {at.i, c.Scalar(DType::kI64, Draw(rng_, 0, 12))}));
    const auto made = b.EmitAll(OpKind::kWhile, {s.x, s.i, s.w},
                                {{"carries", int64_t{2}}, {"max_iterations", Draw(rng_, 1, 9)}},
                                {Finish(std::move(condition), c), Body(depth)});
    return Made(made, s);
  }

  State Scan(GraphBuilder& b, const State& s, int depth) {
    const int64_t length = Draw(rng_, 1, 7);
    Graph graph;
    GraphBuilder body(graph);
    const State inside = Inputs(body, true), after = Step(body, inside, depth);
    body.Output("", after.x);
    body.Output("", after.i);
    const bool stacks = Flip();
    if (stacks) {
      body.Output("", Expression(body, after));
      body.Output("", Flip() ? inside.slice : Flip() ? inside.x : after.x);
    }
    Shape stacked = matrix_.shape;
    stacked.insert(stacked.begin(), Dim(length));
    const Value sequence = b.Mul(b.Expand(s.x, stacked), b.Scalar(DType::kF32, 0.75));
    const auto made =
        b.EmitAll(OpKind::kScan, {s.x, s.i, s.w, sequence},
                  {{"carries", int64_t{2}}, {"sequences", int64_t{1}}, {"length", Shape{length}}},
                  {Finish(std::move(graph), body)});
    State out = Made(made, s);
    if (stacks && Flip() && !made.empty()) {
      const Value read = made[static_cast<size_t>(Draw(rng_, 2, 3))];
      const Value mean = b.Reduce(OpKind::kReduceMean, read, {0}, false);
      out.x = b.Unary(OpKind::kTanh, b.Add(out.x, mean));
    }
    return out;
  }

  static State Made(const std::vector<Value>& results, const State& s) {
    return results.size() < 2 ? s : State{results[0], results[1], s.w, {}};
  }

  Rng& rng_;
  TensorType matrix_;
};

}  // namespace

Graph RandomLoops(uint64_t seed) {
  Rng rng(seed);
  return Writer(rng).Module();
}

}  // namespace rlx::test
