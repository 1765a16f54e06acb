// SPDX-License-Identifier: Apache-2.0
// RNN, GRU and LSTM as scans: what does not depend on the step before is one product up front.
#include <array>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"
#include "runtime/ir/ops/attention.h"

namespace rlx::onnx {
namespace {

// --- Activations ---

struct Activation {
  std::string name;
  double alpha = 0, beta = 0;
};

constexpr std::string_view kActivations =
    "Relu, Tanh, Sigmoid, Affine, LeakyRelu, ThresholdedRelu, ScaledTanh, HardSigmoid, Elu, "
    "Softsign, Softplus";

// Of a name in lower case.
double DefaultAlpha(std::string_view name) {
  if (name == "leakyrelu") return 0.01;
  if (name == "hardsigmoid") return 0.2;
  return 1;
}
double DefaultBeta(std::string_view name) { return name == "hardsigmoid" ? 0.5 : 0; }

Value Apply(GraphBuilder& b, const Activation& f, Value x) {
  const auto c = [&](double v) { return Like(b, x, v); };
  const Value negative = b.Emit(OpKind::kLt, {x, c(0)});
  if (f.name == "relu") return b.Unary(OpKind::kRelu, x);
  if (f.name == "tanh") return b.Unary(OpKind::kTanh, x);
  if (f.name == "sigmoid") return b.Unary(OpKind::kSigmoid, x);
  if (f.name == "affine") return b.Add(b.Mul(x, c(f.alpha)), c(f.beta));
  if (f.name == "leakyrelu") return b.Where(negative, b.Mul(x, c(f.alpha)), x);
  if (f.name == "thresholdedrelu") return b.Where(b.Emit(OpKind::kLt, {x, c(f.alpha)}), c(0), x);
  if (f.name == "scaledtanh") return b.Mul(b.Unary(OpKind::kTanh, b.Mul(x, c(f.beta))), c(f.alpha));
  if (f.name == "hardsigmoid") return Clamp(b, b.Add(b.Mul(x, c(f.alpha)), c(f.beta)), 0, 1);
  if (f.name == "softsign") return b.Div(x, b.Add(b.Unary(OpKind::kAbs, x), c(1)));
  if (f.name == "softplus") return b.Unary(OpKind::kLog, b.Add(b.Unary(OpKind::kExp, x), c(1)));
  const Value below = b.Emit(OpKind::kMin, {x, c(0)});  // elu
  return b.Where(negative, b.Mul(b.Sub(b.Unary(OpKind::kExp, below), c(1)), c(f.alpha)), x);
}

absl::Status CheckActivation(const Activation& f, std::string_view written) {
  for (std::string_view known :
       {"relu", "tanh", "sigmoid", "affine", "leakyrelu", "thresholdedrelu", "scaledtanh",
        "hardsigmoid", "elu", "softsign", "softplus"})
    if (f.name == known) return absl::OkStatus();
  return Unimplemented("activation \"", written.substr(0, 64),
                       "\" is not supported; supported are ", kActivations);
}

// --- What the three have in common ---

struct Cell {
  int gates = 1, activations = 1;  // of one direction
  std::array<std::string_view, 3> defaults;
};

struct Layer {
  Value x;  // [steps, batch, inputs]
  Dim steps, batch, hidden;
  bool batch_first = false;
  int directions = 1;
  bool first_backwards = false;  // direction "reverse"
  Value lengths;                 // i64 [batch], invalid: all steps
  double clip = 0;               // 0: none
  std::vector<Activation> functions;
};

absl::StatusOr<std::vector<Activation>> FunctionsOf(const OpNode& n, const Cell& cell,
                                                    int directions) {
  std::vector<std::string> names = n.StrList("activations");
  const std::vector<double> alphas = n.FloatList("activation_alpha");
  const std::vector<double> betas = n.FloatList("activation_beta");
  if (names.empty())
    for (int d = 0; d < directions; ++d)
      for (int a = 0; a < cell.activations; ++a)
        names.emplace_back(cell.defaults[static_cast<size_t>(a)]);
  if (static_cast<int>(names.size()) != directions * cell.activations)
    return InvalidArgument("attribute \"activations\" has ", names.size(), " names, not ",
                           directions * cell.activations);
  std::vector<Activation> out;
  for (size_t i = 0; i < names.size(); ++i) {
    Activation f;
    for (const char c : names[i]) f.name.push_back(c >= 'A' && c <= 'Z' ? c + 32 : c);
    f.alpha = i < alphas.size() ? alphas[i] : DefaultAlpha(f.name);
    f.beta = i < betas.size() ? betas[i] : DefaultBeta(f.name);
    RLX_TRY(CheckActivation(f, names[i]));
    out.push_back(std::move(f));
  }
  return out;
}

absl::StatusOr<Layer> LayerOf(OpNode& n, const Cell& cell) {
  Layer out;
  for (int i = 0; i < 3; ++i)
    if (n.rank(i) != 3) return InvalidArgument("operand ", i, " has rank ", n.rank(i), ", not 3");
  constexpr int kRanks[] = {3, 3, 3, 2, 1, 3, 3, 2};
  for (int i = 3; i < n.inputs(); ++i)
    if (n.Has(i) && n.rank(i) != kRanks[i])
      return InvalidArgument("operand ", i, " has rank ", n.rank(i), ", not ", kRanks[i]);
  RLX_ASSIGN(const std::string direction,
             n.Choice("direction", "forward", {"forward", "reverse", "bidirectional"}));
  out.directions = direction == "bidirectional" ? 2 : 1;
  out.first_backwards = direction == "reverse";
  if (n.shape(1)[0] != Dim(out.directions) || n.shape(2)[0] != Dim(out.directions))
    return InvalidArgument("the weights are of ", n.shape(1)[0], " directions, not ",
                           out.directions);
  out.batch_first = n.Int("layout", 0) != 0;
  out.x = out.batch_first ? n.b.Transpose(n.In(0), {1, 0, 2}) : n.In(0);
  out.steps = n.shape(0)[out.batch_first ? 1 : 0];
  out.batch = n.shape(0)[out.batch_first ? 0 : 1];
  out.hidden = n.shape(2)[2];
  out.clip = n.Float("clip", 0);
  if (n.Has(4)) out.lengths = To(n.b, n.In(4), DType::kI64);
  RLX_ASSIGN(out.functions, FunctionsOf(n, cell, out.directions));
  return out;
}

// Direction d of an operand whose first axis is directions, or (initial states, batch first) whose
// second is.
Value Of(OpNode& n, int operand, int d, bool state_first = false) {
  const Value x = n.In(operand);
  const int64_t axis = state_first ? 1 : 0;
  Shape shape = n.shape(operand);
  shape.erase(shape.begin() + axis);
  return n.b.Reshape(n.b.Narrow(x, axis, d, 1), std::move(shape));
}

Value Zeros(GraphBuilder& b, DType dtype, Shape shape) {
  return b.Expand(b.Scalar(dtype, 0), std::move(shape));
}

// The steps of each row of the batch the other way round, those past its length left in place.
Value Backwards(OpNode& n, const Layer& layer, Value x) {
  GraphBuilder& b = n.b;
  const Shape shape = ShapeOf(b, x);
  const Dim width = Product(shape, 2, shape.size());
  const Value step = Along(b, EmitIota(b, layer.steps), 0, 2);
  const Value row = Along(b, EmitIota(b, layer.batch), 1, 2);
  const Value last = EmitDim(b, layer.steps, DType::kI64);
  Value from = b.Sub(b.Sub(last, Like(b, last, 1)), step);
  if (layer.lengths.valid()) {
    const Value length = Along(b, layer.lengths, 1, 2);
    from = b.Where(b.Emit(OpKind::kLt, {step, length}),
                   b.Sub(b.Sub(length, Like(b, length, 1)), step), step);
  } else {
    return b.Gather(x, b.Reshape(from, {layer.steps}), 0);
  }
  // A length beyond the steps would read another row's.
  from = CheckedIndices(b, from, layer.steps, "sequence_lens");
  const Value place = b.Add(b.Mul(from, EmitDim(b, layer.batch, DType::kI64)), row);
  const Dim rows = layer.steps * layer.batch;
  const Value table = b.Reshape(x, {rows, width});
  return b.Reshape(b.Gather(table, b.Reshape(place, {rows})), shape);
}

// bool [steps, batch, 1]: the step is within the row's length.
Value Within(OpNode& n, const Layer& layer) {
  GraphBuilder& b = n.b;
  const Value step = Along(b, EmitIota(b, layer.steps), 0, 3);
  return b.Emit(OpKind::kLt, {step, Along(b, layer.lengths, 1, 3)});
}

Value Clipped(GraphBuilder& b, const Layer& layer, Value x) {
  return layer.clip > 0 ? Clamp(b, x, -layer.clip, layer.clip) : x;
}

// A body under construction: states, then captures, then what this step has of each sequence.
struct Step {
  Graph graph;
  GraphBuilder b{graph};
  std::vector<Value> states, captures, slices;
};

// One direction. `sequences` [steps, batch, …] and `captures` come from outside; `update` computes
// the next states from the step's values. Results: all hidden states [steps, batch, hidden], then
// the last of each state.
template <class Update>
std::vector<Value> RunScan(OpNode& n, const Layer& layer, bool backwards, std::vector<Value> states,
                           const std::vector<Value>& captures, std::vector<Value> sequences,
                           Update update) {
  GraphBuilder& b = n.b;
  const bool masked = layer.lengths.valid();
  if (backwards)
    for (Value& sequence : sequences) sequence = Backwards(n, layer, sequence);
  if (masked) sequences.push_back(Within(n, layer));
  auto step = std::make_shared<Step>();
  int number = 0;
  const auto input = [&](TensorType type) {
    return step->b.Input(Cat("v", number++), std::move(type));
  };
  for (const Value v : states) step->states.push_back(input(b.type(v)));
  for (const Value v : captures) step->captures.push_back(input(b.type(v)));
  for (const Value v : sequences) {
    TensorType type = b.type(v);
    if (!type.shape.empty()) type.shape.erase(type.shape.begin());
    step->slices.push_back(input(std::move(type)));
  }
  std::vector<Value> next = update(*step);
  Value shown = next[0];
  if (masked) {  // past the end states stay and the output is zero
    const Value inside = step->slices.back();
    shown = step->b.Where(inside, shown, Like(step->b, shown, 0));
    for (size_t i = 0; i < next.size(); ++i)
      next[i] = step->b.Where(inside, next[i], step->states[i]);
  }
  for (size_t i = 0; i < next.size(); ++i) step->b.Output(Cat("state", i), next[i]);
  step->b.Output("shown", shown);
  b.Fail(step->b.status());
  std::vector<Value> operands = states;
  operands.insert(operands.end(), captures.begin(), captures.end());
  operands.insert(operands.end(), sequences.begin(), sequences.end());
  std::vector<Value> out = b.EmitAll(OpKind::kScan, operands,
                                     {{"carries", static_cast<int64_t>(states.size())},
                                      {"sequences", static_cast<int64_t>(sequences.size())},
                                      {"length", Shape{layer.steps}}},
                                     {std::make_shared<const Graph>(step->graph)});
  if (out.size() != states.size() + 1) return std::vector<Value>(states.size() + 1);
  std::rotate(out.begin(), out.end() - 1, out.end());
  if (backwards) out[0] = Backwards(n, layer, out[0]);
  return out;
}

// The results of all directions as ONNX shapes them: Y, then the last states.
std::vector<Value> Join(OpNode& n, const Layer& layer,
                        const std::vector<std::vector<Value>>& directions) {
  GraphBuilder& b = n.b;
  const auto lift = [&](Value v, int64_t axis) {
    Shape shape = ShapeOf(b, v);
    if (static_cast<int64_t>(shape.size()) < axis) return v;
    shape.insert(shape.begin() + axis, Dim(1));
    return b.Reshape(v, std::move(shape));
  };
  std::vector<Value> out;
  for (size_t o = 0; o < directions[0].size(); ++o) {
    std::vector<Value> parts;
    for (const auto& results : directions) parts.push_back(lift(results[o], o == 0 ? 1 : 0));
    Value joined = parts.size() == 1 ? parts[0] : b.Concat(parts, o == 0 ? 1 : 0);
    if (layer.batch_first)
      joined = o == 0 ? b.Transpose(joined, {2, 0, 1, 3}) : b.Transpose(joined, {1, 0, 2});
    out.push_back(joined);
  }
  return out;
}

// x·Wᵀ + bias for all steps at once, [steps, batch, gates·hidden].
Value Inputs(OpNode& n, const Layer& layer, int d, Value bias) {
  const Value product = n.b.MatMul(layer.x, n.b.Transpose(Of(n, 1, d), {1, 0}));
  return bias.valid() ? n.b.Add(product, bias) : product;
}

Value InitialState(OpNode& n, const Layer& layer, int operand, int d) {
  if (n.Has(operand)) return Of(n, operand, d, layer.batch_first);
  return Zeros(n.b, n.dtype(0), {layer.batch, layer.hidden});
}

absl::StatusOr<int64_t> HiddenSize(const Layer& layer) {
  if (layer.hidden.is_static()) return layer.hidden.value();
  return Unimplemented("the hidden size is ", layer.hidden);
}

// Gate k of [batch, gates·hidden].
Value Gate(GraphBuilder& b, Value gates, int64_t k, int64_t hidden) {
  return b.Narrow(gates, 1, k * hidden, hidden);
}

// The two biases of a direction, each [gates·hidden].
struct Biases {
  Value input, recurrent;
};
Biases BiasesOf(OpNode& n, int d, int64_t size) {
  if (!n.Has(3)) return {};
  const Value both = Of(n, 3, d);
  return {n.b.Narrow(both, 0, 0, size), n.b.Narrow(both, 0, size, size)};
}

template <class Direction>
Results EachDirection(OpNode& n, const Layer& layer, Direction direction) {
  std::vector<std::vector<Value>> results;
  for (int d = 0; d < layer.directions; ++d) {
    const bool backwards = d == 1 || layer.first_backwards;
    results.push_back(direction(d, backwards));
    RLX_TRY(n.b.status());
  }
  return Join(n, layer, results);
}

// --- RNN: h = f(x·Wᵀ + h·Rᵀ + bias) ---

Results Rnn(OpNode& n) {
  const Cell cell{1, 1, {"Tanh"}};
  RLX_ASSIGN(const Layer layer, LayerOf(n, cell));
  RLX_ASSIGN(const int64_t hidden, HiddenSize(layer));
  return EachDirection(n, layer, [&](int d, bool backwards) {
    const Biases bias = BiasesOf(n, d, hidden);
    const Value both = bias.input.valid() ? n.b.Add(bias.input, bias.recurrent) : Value{};
    const Activation& f = layer.functions[static_cast<size_t>(d)];
    return RunScan(n, layer, backwards, {InitialState(n, layer, 5, d)},
                   {n.b.Transpose(Of(n, 2, d), {1, 0})}, {Inputs(n, layer, d, both)}, [&](Step& s) {
                     const Value sum = s.b.Add(s.slices[0], s.b.MatMul(s.states[0], s.captures[0]));
                     return std::vector<Value>{Apply(s.b, f, Clipped(s.b, layer, sum))};
                   });
  });
}

// --- GRU: gates z, r, h ---

Results Gru(OpNode& n) {
  const Cell cell{3, 2, {"Sigmoid", "Tanh"}};
  RLX_ASSIGN(const Layer layer, LayerOf(n, cell));
  RLX_ASSIGN(const int64_t hidden, HiddenSize(layer));
  const bool reset_after = n.Int("linear_before_reset", 0) != 0;
  return EachDirection(n, layer, [&](int d, bool backwards) {
    GraphBuilder& b = n.b;
    const Biases bias = BiasesOf(n, d, 3 * hidden);
    const Value recurrent = Of(n, 2, d);  // [3·hidden, hidden]
    const auto part = [&](int64_t first, int64_t count) {
      return b.Transpose(b.Narrow(recurrent, 0, first * hidden, count * hidden), {1, 0});
    };
    // The recurrent bias of h belongs inside of the reset when that comes after the product.
    Value input_bias = bias.input, inner_bias;
    if (bias.input.valid() && !reset_after) {
      input_bias = b.Add(bias.input, bias.recurrent);
    } else if (bias.input.valid()) {
      const Value outer = b.Narrow(bias.recurrent, 0, 0, 2 * hidden);
      input_bias = b.Add(bias.input, b.Concat({outer, Zeros(b, n.dtype(0), {hidden})}, 0));
      inner_bias = b.Narrow(bias.recurrent, 0, 2 * hidden, hidden);
    }
    std::vector<Value> captures = {part(0, 2), part(2, 1)};
    if (inner_bias.valid()) captures.push_back(inner_bias);
    const Activation &f = layer.functions[static_cast<size_t>(2 * d)],
                     &g = layer.functions[static_cast<size_t>(2 * d) + 1];
    return RunScan(
        n, layer, backwards, {InitialState(n, layer, 5, d)}, captures,
        {Inputs(n, layer, d, input_bias)}, [&](Step& s) {
          GraphBuilder& in = s.b;
          const Value h = s.states[0], x = s.slices[0];
          const Value zr = in.Add(in.Narrow(x, 1, 0, 2 * hidden), in.MatMul(h, s.captures[0]));
          const Value gates = Apply(in, f, Clipped(in, layer, zr));
          const Value z = Gate(in, gates, 0, hidden), r = Gate(in, gates, 1, hidden);
          Value inner;
          if (reset_after) {
            inner = in.MatMul(h, s.captures[1]);
            if (inner_bias.valid()) inner = in.Add(inner, s.captures[2]);
            inner = in.Mul(r, inner);
          } else {
            inner = in.MatMul(in.Mul(r, h), s.captures[1]);
          }
          const Value sum = in.Add(Gate(in, x, 2, hidden), inner);
          const Value fresh = Apply(in, g, Clipped(in, layer, sum));
          const Value keep = in.Mul(z, h);
          return std::vector<Value>{in.Add(in.Mul(in.Sub(Like(in, z, 1), z), fresh), keep)};
        });
  });
}

// --- LSTM: gates i, o, f, c; peepholes i, o, f ---

Results Lstm(OpNode& n) {
  const Cell cell{4, 3, {"Sigmoid", "Tanh", "Tanh"}};
  RLX_ASSIGN(const Layer layer, LayerOf(n, cell));
  RLX_ASSIGN(const int64_t hidden, HiddenSize(layer));
  if (n.Int("input_forget", 0) != 0) return Unimplemented("input_forget has to be 0");
  const bool peeps = n.Has(7);
  return EachDirection(n, layer, [&](int d, bool backwards) {
    GraphBuilder& b = n.b;
    const Biases bias = BiasesOf(n, d, 4 * hidden);
    const Value both = bias.input.valid() ? b.Add(bias.input, bias.recurrent) : Value{};
    std::vector<Value> captures = {b.Transpose(Of(n, 2, d), {1, 0})};
    if (peeps) captures.push_back(b.Reshape(Of(n, 7, d), {3, hidden}));
    const auto function = [&](int k) -> const Activation& {
      return layer.functions[static_cast<size_t>(3 * d + k)];
    };
    return RunScan(
        n, layer, backwards, {InitialState(n, layer, 5, d), InitialState(n, layer, 6, d)}, captures,
        {Inputs(n, layer, d, both)}, [&](Step& s) {
          GraphBuilder& in = s.b;
          const Value h = s.states[0], c = s.states[1];
          const Value gates = in.Add(s.slices[0], in.MatMul(h, s.captures[0]));
          const auto gate = [&](int64_t k, const Activation& f, int64_t peephole,
                                Value cell_state) {
            Value sum = Gate(in, gates, k, hidden);
            if (peeps && peephole >= 0)
              sum = in.Add(sum, in.Mul(in.Narrow(s.captures[1], 0, peephole, 1), cell_state));
            return Apply(in, f, Clipped(in, layer, sum));
          };
          const Value i = gate(0, function(0), 0, c), f = gate(2, function(0), 2, c);
          const Value fresh = gate(3, function(1), -1, c);
          const Value next = in.Add(in.Mul(f, c), in.Mul(i, fresh));
          const Value o = gate(1, function(0), 1, next);
          return std::vector<Value>{in.Mul(o, Apply(in, function(2), next)), next};
        });
  });
}

constexpr std::string_view kCommon =
    "activation_alpha activation_beta activations clip direction hidden_size layout "
    "output_sequence";
constexpr std::string_view kGru =
    "activation_alpha activation_beta activations clip direction hidden_size layout "
    "linear_before_reset output_sequence";
constexpr std::string_view kLstm =
    "activation_alpha activation_beta activations clip direction hidden_size input_forget layout "
    "output_sequence";

constexpr OpRow kRows[] = {
    {kOnnx, "GRU", 7, INT32_MAX, 3, 6, kGru, Gru},
    {kOnnx, "LSTM", 7, INT32_MAX, 3, 8, kLstm, Lstm, nullptr, Carries::kNo,
     "input_forget has to be 0"},
    {kOnnx, "RNN", 7, INT32_MAX, 3, 6, kCommon, Rnn},
};

}  // namespace

std::span<const OpRow> RecurrentOps() { return kRows; }

}  // namespace rlx::onnx
