// SPDX-License-Identifier: Apache-2.0
#include "tests/support/random_graph.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/check.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/verify.h"

namespace rlx::test {
namespace {

class Generator {
 public:
  Generator(Graph& graph, uint64_t seed, const RandomGraphOptions& options)
      : graph_(graph), b_(graph), rng_(seed), options_(options) {}

  void Run() {
    graph_.name = "random";
    Begin();
    for (int step = 0; step < options_.steps; ++step) Step();
    End();
    CHECK(b_.status().ok(), Message(b_.status()));
  }

 private:
  // A float value and what bounds its magnitude.
  struct Item {
    Value value;
    double bound;
  };

  // --- Draws ---
  int64_t Draw(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(rng_() % static_cast<uint64_t>(high - low + 1));
  }
  bool Flip() { return Draw(0, 1) == 0; }
  template <class T>
  T Pick(std::initializer_list<T> choices) {
    return choices.begin()[Draw(0, static_cast<int64_t>(choices.size()) - 1)];
  }
  // Late values more often than early ones: chains, with branches.
  Item Any() {
    const auto last = static_cast<int64_t>(pool_.size()) - 1;
    return pool_[std::max(Draw(0, last), Draw(0, last))];
  }
  // A value of at least that rank, null when a few draws find none.
  std::optional<Item> AnyOfRank(int rank) {
    for (int tries = 0; tries < 8; ++tries)
      if (const Item item = Any(); b_.type(item.value).rank() >= rank) return item;
    return std::nullopt;
  }

  // --- Building blocks ---
  Value Param(Shape shape) {
    return b_.Param(Cat("p", params_++), {options_.dtype, std::move(shape)});
  }
  Value Input(Shape shape) { return Input({options_.dtype, std::move(shape)}); }
  Value Input(TensorType type) { return b_.Input(Cat("x", inputs_++), std::move(type)); }
  Value Scalar(double value) { return b_.Scalar(options_.dtype, value); }
  const Shape& ShapeOf(Value v) { return b_.type(v).shape; }
  int64_t LastExtent(Value v) {
    const Shape& shape = ShapeOf(v);
    return !shape.empty() && shape.back().is_static() ? shape.back().value() : 0;
  }

  // Into the pool; what has grown large is brought back.
  Value Keep(Item item) { return Keep(item.value, item.bound); }
  Value Keep(Value v, double bound) {
    if (bound > 6) {
      v = Flip() ? b_.Unary(OpKind::kTanh, v) : b_.Mul(v, Scalar(1 / bound));
      bound = 1;
    }
    pool_.push_back({v, bound});
    return v;
  }

  // Something that broadcasts to x: x's own shape, a trailing part, ones, a scalar.
  Item Operand(Value x) {
    const Shape shape = ShapeOf(x);
    for (const Item& item : pool_)
      if (item.value != x && ShapeOf(item.value) == shape && Flip()) return item;
    if (Flip()) return {Scalar(static_cast<double>(Draw(-4, 4)) / 2), 2};
    Shape part = shape;
    for (Dim& dim : part)
      if (!dim.is_static() || Draw(0, 3) == 0) dim = 1;
    part.erase(part.begin(), part.begin() + Draw(0, static_cast<int64_t>(part.size())));
    return {Param(std::move(part)), 1};
  }

  // x · w. A sum of k products with weights of either sign in [-1, 1] is around √k/3 times x.
  Item Linear(Item x, int64_t width, bool bias) {
    const int64_t k = LastExtent(x.value);
    const Value y = b_.MatMul(x.value, Param({k, width}));
    return {bias ? b_.Add(y, Param({width})) : y, std::sqrt(k) * x.bound + 1};
  }

  Value Activation(Value x) {
    return b_.Unary(Pick({OpKind::kGelu, OpKind::kRelu, OpKind::kSilu, OpKind::kTanh,
                          OpKind::kGeluTanh, OpKind::kSigmoid}),
                    x);
  }

  Value Norm(Value x) {
    const int64_t width = LastExtent(x);
    if (Flip()) return b_.LayerNorm(x, Param({width}), Param({width}), 1e-5);
    return b_.RmsNorm(x, Param({width}), 1e-5);
  }

  // --- Steps ---
  void Begin() {
    const Dim batch = options_.symbolic ? Dim::Symbol(kBatch) : Dim(Draw(1, 3));
    const Dim seq = options_.symbolic ? Dim::Symbol(kSeq) : Dim(Draw(2, 6));
    if (options_.symbolic) graph_.symbols = {{"batch", {2, 4}}, {"seq", {2, 7}}};
    const int64_t hidden = Pick<int64_t>({4, 8, 12, 16});
    pool_.push_back({Input({batch, seq, hidden}), 1});
    leaves_.push_back(pool_.back().value);
    if (Flip()) pool_.push_back({Input({batch, seq, hidden}), 1});
    if (Flip()) pool_.push_back({Input({seq, Draw(2, 9)}), 1});
    leaves_.push_back(pool_.back().value);
  }

  void Step() {
    using Method = void (Generator::*)();
    static constexpr Method kPlain[] = {
        &Generator::UnaryStep,     &Generator::BinaryStep,     &Generator::BinaryStep,
        &Generator::MatMulStep,    &Generator::SoftmaxStep,    &Generator::NormStep,
        &Generator::TransposeStep, &Generator::ReshapeStep,    &Generator::NarrowStep,
        &Generator::ConcatStep,    &Generator::ReduceStep,     &Generator::CumsumStep,
        &Generator::WhereStep,     &Generator::GatherStep,     &Generator::TopKStep,
        &Generator::ExpandStep,    &Generator::DotGeneralStep, &Generator::ConstantStep};
    static constexpr Method kIdioms[] = {
        &Generator::LinearIdiom,    &Generator::ResidualIdiom, &Generator::SharedIdiom,
        &Generator::SwigluIdiom,    &Generator::GeluIdiom,     &Generator::ChainIdiom,
        &Generator::AttentionIdiom, &Generator::NormIdiom,     &Generator::GatedHalvesIdiom};
    static constexpr Method kComposites[] = {&Generator::AttentionStep, &Generator::RegionStep};
    const int64_t kind = Draw(0, 9);
    const auto run = [&](std::span<const Method> methods) {
      (this->*methods[Draw(0, static_cast<int64_t>(methods.size()) - 1)])();
    };
    if (options_.idioms && kind < 4)
      run(kIdioms);
    else if (kind == 4 && options_.control_flow)
      IfStep();
    else if (kind == 5 && options_.composites)
      run(kComposites);
    else if (kind == 6 && options_.casts && Flip())
      CastStep();
    else
      run(kPlain);
  }

  void UnaryStep() {
    const auto [x, bound] = Any();
    switch (Draw(0, 5)) {
      case 0:
        Keep(b_.Unary(OpKind::kExp, b_.Unary(OpKind::kNeg, b_.Unary(OpKind::kAbs, x))), 1);
        break;
      case 1:  // a root of what is not near 0
        Keep(b_.Unary(Pick({OpKind::kSqrt, OpKind::kRsqrt, OpKind::kLog}),
                      b_.Add(b_.Mul(x, x), Scalar(0.5))),
             bound + 1);
        break;
      case 2:
        Keep(b_.Unary(Pick({OpKind::kSin, OpKind::kCos, OpKind::kAtan, OpKind::kErf}), x), 2);
        break;
      case 3:  // rounding looks at inputs alone, where both sides see the same number
        Keep(b_.Unary(Pick({OpKind::kRound, OpKind::kFloor, OpKind::kCeil}), Leaf()), 1);
        break;
      default:
        Keep(Activation(x), bound);
    }
  }

  void BinaryStep() {
    const auto [x, x_bound] = Any();
    const auto [y, y_bound] = Operand(x);
    const bool swap = Flip();
    const Value a = swap ? y : x, b = swap ? x : y;
    switch (Draw(0, 4)) {
      case 0:
        Keep(b_.Add(a, b), x_bound + y_bound);
        break;
      case 1:
        Keep(b_.Sub(a, b), x_bound + y_bound);
        break;
      case 2:
        Keep(b_.Mul(a, b), x_bound * y_bound);
        break;
      case 3:
        Keep(b_.Emit(Pick({OpKind::kMax, OpKind::kMin}), {a, b}), std::max(x_bound, y_bound));
        break;
      default:  // by something around 1
        Keep(b_.Div(a, b_.Add(b_.Unary(OpKind::kAbs, b), Scalar(1))), x_bound + y_bound);
    }
  }

  void MatMulStep() {
    const auto item = AnyOfRank(2);
    if (item && LastExtent(item->value) > 0) Keep(Linear(*item, Draw(1, 17), false));
  }

  void SoftmaxStep() {
    const auto item = AnyOfRank(1);
    if (item) Keep(b_.Softmax(item->value, Draw(-b_.type(item->value).rank(), -1)), 1);
  }

  void NormStep() {
    const auto item = AnyOfRank(2);
    if (item && LastExtent(item->value) > 1) Keep(Norm(item->value), 4);
  }

  void TransposeStep() {
    const auto [x, bound] = Any();
    std::vector<int64_t> perm;
    for (int axis = 0; axis < b_.type(x).rank(); ++axis) {
      perm.push_back(axis);
      std::swap(perm.back(), perm[static_cast<size_t>(Draw(0, axis))]);
    }
    Keep(b_.Transpose(x, std::move(perm)), bound);
  }

  void ReshapeStep() {
    const auto item = AnyOfRank(2);
    if (!item) return;
    const Shape shape = ShapeOf(item->value);
    Shape to(shape.begin() + 1, shape.end());
    if (Flip())
      to = {-1};
    else if (Flip())
      to[0] = -1;
    else
      to[0] = shape[0] * shape[1];
    Keep(b_.Reshape(item->value, std::move(to)), item->bound);
  }

  void NarrowStep() {
    const auto [x, bound] = Any();
    for (int axis = 0; axis < b_.type(x).rank(); ++axis) {
      const Dim dim = ShapeOf(x)[axis];
      if (!dim.is_static() || dim.value() < 2) continue;
      const int64_t start = Draw(0, dim.value() - 2);
      Keep(b_.Narrow(x, axis, start, Draw(1, dim.value() - 1 - start)), bound);
      return;
    }
  }

  void ConcatStep() {
    const auto item = AnyOfRank(1);
    if (!item) return;
    const Item other = Operand(item->value);
    const bool same = ShapeOf(other.value) == ShapeOf(item->value);
    Keep(b_.Concat({item->value, same ? other.value : item->value},
                   Draw(0, b_.type(item->value).rank() - 1)),
         std::max(item->bound, other.bound));
  }

  void ExpandStep() {
    const auto [x, bound] = Any();
    if (b_.type(x).rank() > 3) return;
    Shape shape = ShapeOf(x);
    shape.insert(shape.begin(), Draw(1, 3));
    Keep(b_.Expand(x, std::move(shape)), bound);
  }

  // Over the last axis: with a weight either way round, or batched with a value of the same shape.
  void DotGeneralStep() {
    const Item x = Sequence();
    const int64_t k = LastExtent(x.value), last = b_.type(x.value).rank() - 1;
    const auto dot = [&](Value rhs, std::vector<int64_t> axes, std::vector<int64_t> batch) {
      return b_.Emit(OpKind::kDotGeneral, {x.value, rhs},
                     {{"lhs_contracting", std::vector<int64_t>{last}},
                      {"rhs_contracting", std::move(axes)},
                      {"lhs_batch", batch},
                      {"rhs_batch", batch}});
    };
    const double bound = std::sqrt(k) * x.bound + 1;
    switch (Draw(0, 2)) {
      case 0:
        Keep(dot(Param({Draw(1, 9), k}), {1}, {}), bound);
        break;
      case 1:
        Keep(dot(Param({Draw(1, 3), k, Draw(1, 4)}), {1}, {}), bound);
        break;
      default:
        Keep(dot(x.value, {last}, {0}), bound * x.bound);
    }
  }

  // A value that is known when the graph is compiled.
  void ConstantStep() {
    const Value a = Scalar(static_cast<double>(Draw(-4, 4)) / 4);
    const Value known = b_.Unary(OpKind::kTanh, b_.Add(a, Scalar(0.5)));
    const auto [x, bound] = Any();
    Keep(b_.Add(x, known), bound + 1);
  }

  void ReduceStep() {
    const auto item = AnyOfRank(1);
    if (!item) return;
    const int64_t rank = b_.type(item->value).rank();
    std::vector<int64_t> axes = {Draw(-rank, -1)};
    if (rank > 1 && Flip()) axes = {0, rank - 1};
    const OpKind op =
        Pick({OpKind::kReduceMean, OpKind::kReduceSum, OpKind::kReduceMax, OpKind::kReduceMin});
    Keep(b_.Reduce(op, item->value, std::move(axes), Flip()),
         item->bound * (op == OpKind::kReduceSum ? 20 : 1));
  }

  void CumsumStep() {
    const auto item = AnyOfRank(1);
    if (!item) return;
    const Value sum =
        b_.Emit(OpKind::kCumsum, {item->value},
                {{"axis", Draw(-b_.type(item->value).rank(), -1)}, {"exclusive", Flip()}});
    Keep(sum, 10 * item->bound);
  }

  void WhereStep() {
    const Value leaf = Leaf();
    const Value condition =
        b_.Emit(Pick({OpKind::kLt, OpKind::kGe, OpKind::kNe}), {leaf, Scalar(0.25)});
    const Item other = Operand(leaf);
    Keep(b_.Where(condition, leaf, other.value), std::max(1.0, other.bound));
  }

  void GatherStep() {
    // RandomInputs gives indices from 0 to 2.
    const Value table = Param({Draw(3, 9), Draw(1, 8)});
    const TensorType indices = {Pick({DType::kI64, DType::kI32}), {Draw(1, 5), Draw(1, 3)}};
    Keep(b_.Gather(table, Input(indices)), 1);
  }

  void TopKStep() {
    const Value leaf = Leaf();
    if (LastExtent(leaf) < 2) return;
    const auto results =
        b_.EmitAll(OpKind::kTopK, {leaf}, {{"k", Draw(1, LastExtent(leaf))}, {"axis", -1}});
    Keep(results[0], 1);
    if (Flip()) extra_outputs_.push_back(results[1]);
  }

  void CastStep() {
    const auto [x, bound] = Any();
    const Value wide = b_.Cast(x, DType::kF64);
    Keep(b_.Cast(Flip() ? b_.Unary(OpKind::kTanh, wide) : wide, options_.dtype), bound);
  }

  void IfStep() {
    const auto [x, bound] = Any();
    const Value flag = Input(TensorType{DType::kBool, {}});
    const auto branch = [&](bool first) {
      Graph graph;
      GraphBuilder b(graph);
      const Value in = b.Input("", b_.type(x));
      b.Output("", first ? b.Unary(OpKind::kTanh, in) : b.Mul(in, in));
      CHECK(b.status().ok(), Message(b.status()));
      return std::make_shared<const Graph>(std::move(graph));
    };
    Keep(b_.Emit(OpKind::kIf, {flag, x}, {}, {branch(true), branch(false)}), bound * bound + 1);
  }

  void RegionStep() {
    const auto [x, bound] = Any();
    const Item other = Operand(x);
    Graph body;
    GraphBuilder b(body);
    const Value p = b.Input("", b_.type(x)), q = b.Input("", b_.type(other.value));
    const Value sum = b.Add(p, q);
    b.Output("", b.Unary(OpKind::kSigmoid, b.Mul(sum, p)));
    b.Output("", sum);
    const auto results = b_.EmitAll(OpKind::kElementwiseRegion, {x, other.value}, {},
                                    {std::make_shared<const Graph>(std::move(body))});
    if (results.empty()) return;
    Keep(results[0], 1);
    Keep(results[1], bound + other.bound);
  }

  void AttentionStep() {
    const Item x = Sequence();
    const int64_t width = LastExtent(x.value);
    if (width % 4 != 0) return;
    std::vector<Attr> attrs = {{"num_heads", int64_t{2}}, {"head_dim", width / 2}};
    if (Flip()) attrs.push_back({"mask", std::string("causal")});
    const Item q = Linear(x, width, false), k = Linear(x, width, Flip());
    const Item v = Linear(x, width, Flip());
    Keep(b_.Emit(OpKind::kAttention, {q.value, k.value, v.value}, std::move(attrs)), v.bound);
  }

  // --- Idioms ---
  // A value [.., seq, width] of rank 3 to work on, if need be the first input.
  Item Sequence() {
    for (int tries = 0; tries < 4; ++tries)
      if (const Item item = Any(); b_.type(item.value).rank() == 3 && LastExtent(item.value) > 1)
        return item;
    return {leaves_[0], 1};
  }

  void LinearIdiom() {
    const Item x = Sequence();
    const int64_t width = Flip() ? LastExtent(x.value) : Draw(1, 19);
    const Item y = Linear(x, width, true);
    Keep(Activation(y.value), y.bound);
  }

  void ResidualIdiom() {
    const Item x = Sequence(), y = Linear(x, LastExtent(x.value), Flip());
    const Value sum = b_.Add(x.value, y.value);
    if (Flip()) Keep(sum, x.bound + y.bound);
    Keep(Norm(sum), 4);
  }

  void SharedIdiom() {
    const Item x = Sequence();
    const bool bias = Flip();
    for (int64_t count = Draw(2, 3); count > 0; --count)
      Keep(Linear(x, Draw(1, LastExtent(x.value)), bias));
  }

  void SwigluIdiom() {
    const Item x = Sequence();
    const int64_t width = LastExtent(x.value), inner = Draw(2, 2 * width);
    const Item up = Linear(x, inner, false), gate = Linear(x, inner, false);
    const Value gated = b_.Mul(up.value, b_.Unary(OpKind::kSilu, gate.value));
    Keep(Linear({gated, up.bound * gate.bound}, width, false));
    if (Flip()) Keep(gate);
  }

  // One product whose halves gate each other, in either order.
  void GatedHalvesIdiom() {
    const Item x = Sequence();
    const int64_t width = LastExtent(x.value), last = b_.type(x.value).rank() - 1;
    const Item both = Linear(x, 2 * width, Flip());
    const int64_t gate_at = Flip() ? 0 : width;
    const Value up = b_.Narrow(both.value, last, width - gate_at, width);
    const Value gate = b_.Unary(OpKind::kSilu, b_.Narrow(both.value, last, gate_at, width));
    Keep(Flip() ? b_.Mul(up, gate) : b_.Mul(gate, up), both.bound * both.bound);
  }

  void GeluIdiom() {
    const auto [x, bound] = Any();
    const Value erf = b_.Unary(OpKind::kErf, b_.Div(x, Scalar(std::sqrt(2.0))));
    const Value one_plus = b_.Add(erf, Scalar(1));
    Keep(Flip() ? b_.Mul(b_.Mul(x, one_plus), Scalar(0.5))
                : b_.Mul(b_.Mul(x, Scalar(0.5)), one_plus),
         bound);
  }

  void ChainIdiom() {
    auto [x, bound] = Any();
    for (int64_t links = Draw(2, 6); links > 0; --links) {
      const Item other = Operand(x);
      x = Flip() ? Activation(x) : b_.Mul(b_.Add(x, other.value), Scalar(0.5));
      bound = std::max(bound, other.bound);
    }
    Keep(x, bound);
  }

  void NormIdiom() {  // layer norm in primitives
    const Value x = Sequence().value;
    const int64_t width = LastExtent(x);
    const Value centred = b_.Sub(x, b_.Reduce(OpKind::kReduceMean, x, {-1}, true));
    const Value variance = b_.Reduce(OpKind::kReduceMean, b_.Mul(centred, centred), {-1}, true);
    const Value scale = b_.Unary(OpKind::kRsqrt, b_.Add(variance, Scalar(1e-2)));
    Keep(b_.Add(b_.Mul(b_.Mul(centred, scale), Param({width})), Param({width})), 4);
  }

  void AttentionIdiom() {  // in primitives, heads split by reshape and transpose
    const Item x = Sequence();
    const int64_t width = LastExtent(x.value);
    if (width % 2 != 0) return;
    const Shape shape = ShapeOf(x.value);
    const auto heads = [&](std::vector<int64_t> perm) {
      const Value joined = Linear(x, width, true).value;
      const Value split = b_.Reshape(joined, {shape[0], shape[1], 2, width / 2});
      return b_.Transpose(split, std::move(perm));
    };
    const Value q = heads({0, 2, 1, 3}), k = heads({0, 2, 3, 1}), v = heads({0, 2, 1, 3});
    const Value scores = b_.Mul(b_.MatMul(q, k), Scalar(1 / std::sqrt(width / 2.0)));
    const Value mixed = b_.Transpose(b_.MatMul(b_.Softmax(scores), v), {0, 2, 1, 3});
    Keep(b_.Reshape(mixed, {shape[0], shape[1], width}), std::sqrt(width) * x.bound + 1);
  }

  // --- Leaves and outputs ---
  Value Leaf() { return leaves_[Draw(0, static_cast<int64_t>(leaves_.size()) - 1)]; }

  void End() {
    int outputs = 0;
    b_.Output(Cat("y", outputs++), pool_.back().value);
    for (int64_t more = Draw(0, 3); more > 0; --more) b_.Output(Cat("y", outputs++), Any().value);
    for (Value value : extra_outputs_) b_.Output(Cat("y", outputs++), value);
  }

  Graph& graph_;
  GraphBuilder b_;
  Rng rng_;
  const RandomGraphOptions& options_;
  std::vector<Item> pool_;
  std::vector<Value> leaves_;
  std::vector<Value> extra_outputs_;
  int inputs_ = 0, params_ = 0;
};

}  // namespace

Graph RandomGraph(uint64_t seed, const RandomGraphOptions& options) {
  Graph graph;
  Generator(graph, seed, options).Run();
  const absl::Status sound = VerifyGraph(graph);
  CHECK(sound.ok(), "seed ", seed, ": ", Message(sound), "\n", Print(graph));
  return graph;
}

DimBinding RandomBinding(const Graph& graph, Rng& rng) {
  DimBinding binding;
  for (const auto& [name, range] : graph.symbols)
    binding[name] =
        range.min + static_cast<int64_t>(rng() % static_cast<uint64_t>(range.max - range.min + 1));
  return binding;
}

}  // namespace rlx::test
