// SPDX-License-Identifier: Apache-2.0
#include "tests/support/random_hir.h"

#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/verify.h"

namespace rlx::test {
namespace {

constexpr int64_t kWidth = 8, kHeadDim = 4, kTableRows = 8, kRotary = 4;
constexpr int64_t kBatchSize = 2, kTokens = 4;

// A graph half drawn: values of [batch, seq, kWidth], which every step reads and makes.
struct Draft {
  GraphBuilder& b;
  Rng& rng;
  const RandomHirOptions& options;
  Dim batch, seq;
  std::vector<Value> pool;
  int* leaves;

  int64_t Draw(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(rng() % static_cast<uint64_t>(high - low + 1));
  }
  bool Flip() { return Draw(0, 1) == 0; }
  // Late values more often than early ones.
  Value Any() {
    const int64_t last = static_cast<int64_t>(pool.size()) - 1;
    return pool[std::max(Draw(0, last), Draw(0, last))];
  }
  Value Leaf(TensorType type) {
    const int n = (*leaves)++;
    return options.weights_are_params || Flip() ? b.Param(Cat("p", n), std::move(type))
                                                : b.Input(Cat("i", n), std::move(type));
  }
  Value Float(Shape shape) { return Leaf({options.dtype, std::move(shape)}); }
  Value Ints(Shape shape) {
    return b.Input(Cat("n", (*leaves)++), {DType::kI64, std::move(shape)});
  }
  Value Mask() { return b.Input(Cat("m", (*leaves)++), {DType::kBool, {batch, seq}}); }
  std::string Activation() {
    constexpr const char* kNames[] = {"none", "relu",    "gelu", "gelu_tanh",
                                      "silu", "sigmoid", "tanh"};
    return kNames[Draw(0, 6)];
  }
  void Keep(Value v) { pool.push_back(v); }
};

void LinearStep(Draft& d) {
  const bool bias = d.Flip();
  std::vector<Value> operands = {d.Any(), d.Float({kWidth, kWidth})};
  if (bias) operands.push_back(d.Float({kWidth}));
  const OpKind op = bias && d.Flip() ? OpKind::kHirLinearFused : OpKind::kHirLinear;
  d.Keep(d.b.Emit(op, std::move(operands), {{"activation", d.Activation()}}));
}

void SharedLinearStep(Draft& d) {
  const auto pair = d.b.EmitAll(OpKind::kHirSharedLinearPair,
                                {d.Any(), d.Float({kWidth, kWidth}), d.Float({kWidth, kWidth})});
  for (Value v : pair) d.Keep(v);
}

void SwigluStep(Draft& d) {
  const int64_t inner = d.Draw(1, 12);
  d.Keep(d.b.Emit(OpKind::kHirSwiglu, {d.Any(), d.Float({kWidth, inner}), d.Float({kWidth, inner}),
                                       d.Float({inner, kWidth})}));
}

void ResidualNormStep(Draft& d) {
  const OpKind op = d.Flip() ? OpKind::kHirResidualRmsNorm : OpKind::kHirResidualLayerNorm;
  std::vector<Value> operands = {d.Any(), d.Any(), d.Float({kWidth})};
  if (op == OpKind::kHirResidualLayerNorm || d.Flip()) operands.push_back(d.Float({kWidth}));
  for (Value v : d.b.EmitAll(op, std::move(operands), {{"eps", 1e-3}})) d.Keep(v);
}

void NormStep(Draft& d) {
  const OpKind op = d.Flip() ? OpKind::kHirRmsNorm : OpKind::kHirLayerNorm;
  d.Keep(d.b.Emit(op, {d.Any(), d.Float({kWidth}), d.Float({kWidth})}, {{"eps", 1e-3}}));
}

void AttentionStep(Draft& d) {
  const bool keep = d.Flip();
  std::vector<Value> operands = {d.Any(), d.Any(), d.Any()};
  if (keep) operands.push_back(d.Mask());
  d.Keep(d.b.Emit(OpKind::kHirAttention, std::move(operands),
                  {{"num_heads", kWidth / kHeadDim},
                   {"head_dim", kHeadDim},
                   {"mask", std::string(keep       ? "keep"
                                        : d.Flip() ? "causal"
                                                   : "none")},
                   {"softcap", d.Flip() ? 0.0 : 3.0}}));
}

void RopeStep(Draft& d) {
  std::vector<Value> operands = {d.Any(), d.Float({kTableRows, kRotary / 2}),
                                 d.Float({kTableRows, kRotary / 2}), d.Ints({d.seq})};
  d.Keep(d.b.Emit(OpKind::kHirRope, std::move(operands),
                  {{"head_dim", kHeadDim}, {"n_rot", kRotary}}));
}

void DecoderStep(Draft& d) {
  const int64_t inner = d.Draw(1, 12), kv = d.Flip() ? kHeadDim : kWidth;
  const bool betas = d.Flip(), biases = d.Flip(), norms = d.Flip(), keep = d.Flip();
  const int64_t cache = d.Draw(0, 2);
  std::vector<Value> operands = {d.Any(), d.Float({kWidth})};
  const auto add = [&](bool when, Shape shape) {
    if (when) operands.push_back(d.Float(std::move(shape)));
  };
  add(betas, {kWidth});
  add(true, {kWidth, kWidth});
  add(true, {kWidth, kv});
  add(true, {kWidth, kv});
  add(biases, {kWidth});
  add(biases, {kv});
  add(biases, {kv});
  add(norms, {kHeadDim});
  add(norms, {kHeadDim});
  add(true, {kWidth, kWidth});
  add(true, {kWidth});
  add(betas, {kWidth});
  add(true, {kWidth, inner});
  add(true, {kWidth, inner});
  add(true, {inner, kWidth});
  add(true, {kTableRows, kRotary / 2});
  add(true, {kTableRows, kRotary / 2});
  const bool masked = keep && cache != 2;
  if (masked) operands.push_back(d.Mask());
  operands.push_back(d.Ints({d.seq}));
  add(cache == 2, {d.batch, 3, kv});
  add(cache == 2, {d.batch, 3, kv});
  constexpr const char* kCaches[] = {"none", "start", "append"};
  const auto results = d.b.EmitAll(OpKind::kHirLlamaDecoderBlock, std::move(operands),
                                   {{"num_heads", kWidth / kHeadDim},
                                    {"num_kv_heads", kv / kHeadDim},
                                    {"head_dim", kHeadDim},
                                    {"n_rot", kRotary},
                                    {"eps", 1e-3},
                                    {"mask", std::string(masked ? "keep" : "causal")},
                                    {"norm_bias", betas},
                                    {"qkv_bias", biases},
                                    {"qk_norm", norms},
                                    {"has_positions", true},
                                    {"cache", std::string(kCaches[cache])}});
  if (results.empty()) return;
  d.Keep(results[0]);
  if (cache == 1 && kv == kWidth) d.Keep(results[1]);
}

void EncoderStep(Draft& d) {
  const int64_t inner = d.Draw(1, 12);
  const bool keep = d.Flip();
  std::vector<Value> operands = {d.Any()};
  if (keep) operands.push_back(d.Mask());
  const auto linear = [&](int64_t in, int64_t out) {
    operands.push_back(d.Float({in, out}));
    operands.push_back(d.Float({out}));
  };
  for (int i = 0; i < 4; ++i) linear(kWidth, kWidth);
  for (int i = 0; i < 2; ++i) operands.push_back(d.Float({kWidth}));
  linear(kWidth, inner);
  linear(inner, kWidth);
  for (int i = 0; i < 2; ++i) operands.push_back(d.Float({kWidth}));
  d.Keep(d.b.Emit(OpKind::kHirBertEncoderBlock, std::move(operands),
                  {{"num_heads", kWidth / kHeadDim},
                   {"head_dim", kHeadDim},
                   {"mask", std::string(keep ? "keep" : "none")},
                   {"eps", 1e-3},
                   {"activation", d.Activation()}}));
}

void ConvStep(Draft& d) {
  const int64_t taps = d.Draw(2, 4);
  std::vector<Value> operands = {d.Any(), d.Float({kWidth, 1, 1, taps})};
  if (d.Flip()) operands.push_back(d.Float({d.batch, taps - 1, kWidth}));
  d.Keep(d.b.Emit(OpKind::kHirDepthwiseConv1dCausal, std::move(operands)));
}

void QuantizedStep(Draft& d) {
  const Value w = d.b.Param(Cat("q", (*d.leaves)++), {DType::kI8, {kWidth, kWidth}});
  d.Keep(d.b.Emit(OpKind::kHirDequantMatMul, {d.Any(), w, d.Float({kWidth / 4, kWidth})},
                  {{"scheme", std::string("int8")}, {"block", int64_t{4}}}));
}

void RecurrenceStep(Draft& d) {
  const int64_t heads = kWidth / kHeadDim;
  const auto split = [&] { return d.b.Reshape(d.Any(), {d.batch, d.seq, heads, kHeadDim}); };
  std::vector<Value> operands = {split(), split(), split(), d.Float({d.batch, d.seq, heads}),
                                 d.Float({d.batch, d.seq, heads})};
  if (d.Flip()) operands.push_back(d.Float({d.batch, heads, kHeadDim, kHeadDim}));
  const Value out = d.b.Emit(OpKind::kHirGatedDeltaNet, std::move(operands));
  d.Keep(d.b.Unary(OpKind::kTanh, d.b.Reshape(out, {d.batch, d.seq, kWidth})));
}

void HeadStep(Draft& d) {
  const int64_t inner = d.Draw(1, 12);
  std::vector<Value> operands = {d.Any(), d.Ints({d.batch, d.seq})};
  const auto add = [&](Shape shape) { operands.push_back(d.Float(std::move(shape))); };
  const bool betas = d.Flip();
  const auto norm = [&](int64_t width) {
    add({width});
    if (betas) add({width});
  };
  add({kTableRows, kRotary / 2});
  add({kTableRows, kRotary / 2});
  operands.push_back(d.Ints({d.batch}));
  add({3, kWidth});
  norm(kWidth);
  norm(kWidth);
  add({2 * kWidth, kWidth});
  norm(kWidth);
  add({kWidth, 2 * kWidth});
  add({kWidth, kWidth});
  add({kWidth, kWidth});
  norm(kHeadDim);
  norm(kHeadDim);
  add({kWidth, kWidth});
  norm(kWidth);
  add({kWidth, inner});
  add({kWidth, inner});
  add({inner, kWidth});
  norm(kWidth);
  add({kWidth, kWidth});
  const auto results = d.b.EmitAll(OpKind::kHirQwen35MtpHead, std::move(operands),
                                   {{"num_heads", kWidth / kHeadDim},
                                    {"head_dim", kHeadDim},
                                    {"n_rot", kRotary},
                                    {"eps", 1e-3},
                                    {"norm_bias", betas}});
  if (results.empty()) return;
  d.Keep(d.b.Add(results[1], results[0]));  // the logits of one row on every row
}

void TensorStep(Draft& d) {
  const Value x = d.Any();
  switch (d.Draw(0, 3)) {
    case 0:
      return d.Keep(d.b.Add(x, d.Any()));
    case 1:
      return d.Keep(d.b.Mul(x, d.b.Unary(OpKind::kSigmoid, d.Any())));
    case 2:
      return d.Keep(d.b.Unary(OpKind::kTanh, x));
    default:
      return d.Keep(d.b.Softmax(x));
  }
}

using Step = void (*)(Draft&);
constexpr Step kSteps[] = {LinearStep,  SharedLinearStep, SwigluStep,    ResidualNormStep,
                           NormStep,    AttentionStep,    RopeStep,      DecoderStep,
                           EncoderStep, ConvStep,         QuantizedStep, RecurrenceStep,
                           HeadStep,    TensorStep,       TensorStep};

// A block of the module's own, used once or twice: linear layers and tensor ops over its inputs.
void CustomStep(Draft& d) {
  Graph body;
  body.name = "own";
  GraphBuilder b(body, d.b.policy());
  const TensorType x{d.options.dtype, {d.batch, d.seq, kWidth}};
  const TensorType w{d.options.dtype, {kWidth, kWidth}};
  const Value a = b.Input("x", x), gate = b.Input("w", w), up = b.Input("v", w);
  const Value inner = b.Emit(OpKind::kHirLinear, {a, gate}, {{"activation", d.Activation()}});
  b.Output("y", b.Mul(inner, b.Emit(OpKind::kHirLinear, {a, up})));
  if (d.Flip()) b.Output("inner", inner);
  EXPECT_TRUE(b.status().ok()) << Cat(b.status());
  const auto shared = std::make_shared<const Graph>(std::move(body));
  for (int64_t uses = d.Draw(1, 2); uses > 0; --uses) {
    for (Value v : d.b.EmitAll(OpKind::kCustom,
                               {d.Any(), d.Float({kWidth, kWidth}), d.Float({kWidth, kWidth})},
                               {{"name", std::string("own")}}, {shared})) {
      d.Keep(v);
    }
  }
}

}  // namespace

Module RandomHir(uint64_t seed, FusionPolicy policy, const RandomHirOptions& options) {
  Module module{Stage::kHir, policy, {}};
  module.graph.name = Cat("hir", seed);
  GraphBuilder b(module.graph, policy);
  Rng rng(seed);
  Draft d{b, rng, options, kBatchSize, kTokens, {}, nullptr};
  int leaves = 0;
  d.leaves = &leaves;
  if (options.symbolic) {
    d.batch = Dim::Symbol(kBatch);
    d.seq = Dim::Symbol(kSeq);
    module.graph.symbols = {{std::string(kBatch), {1, 3}}, {std::string(kSeq), {3, 5}}};
  }
  d.Keep(b.Input("x", {options.dtype, {d.batch, d.seq, kWidth}}));
  for (int i = 0; i < options.steps; ++i) {
    const int64_t step = d.Draw(0, std::size(kSteps) - (options.own_blocks ? 0 : 1));
    step == std::size(kSteps) ? CustomStep(d) : kSteps[step](d);
    EXPECT_TRUE(b.status().ok()) << seed << ": " << Cat(b.status());
    if (!b.status().ok()) return module;
  }
  b.Output("last", d.pool.back());
  b.Output("some", d.Any());
  const absl::Status verified = Verify(module);
  EXPECT_TRUE(verified.ok()) << seed << ": " << Cat(verified);
  return module;
}

std::vector<OpKind> RandomHirBlocks() {
  std::vector<OpKind> blocks;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    const Module module = RandomHir(seed, FusionPolicy::kDirect, {.steps = 8});
    for (const Node& node : module.graph.nodes()) {
      if (Info(node.op).level == Stage::kHir) blocks.push_back(node.op);
    }
  }
  std::sort(blocks.begin(), blocks.end());
  blocks.erase(std::unique(blocks.begin(), blocks.end()), blocks.end());
  return blocks;
}

}  // namespace rlx::test
