// SPDX-License-Identifier: Apache-2.0
#include "bench/models/parts.h"

namespace rlx::models {
namespace {

// What all layers read.
struct Shared {
  const DecoderShape& shape;
  const Extents& extents;
  Cache cache;
  Value cos, sin, positions;
};

std::vector<Value> Operands(Net& net, const Shared& all, Value x, int64_t layer) {
  const DecoderShape& s = all.shape;
  const int64_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
  std::vector<Value> operands = {x};
  const auto param = [&](std::string_view name, Shape shape) {
    operands.push_back(net.Param(name, std::move(shape)));
  };
  param("ln1_g", {s.hidden});
  param("q_w", {s.hidden, q});
  param("k_w", {s.hidden, kv});
  param("v_w", {s.hidden, kv});
  if (s.qkv_bias) param("q_b", {q}), param("k_b", {kv}), param("v_b", {kv});
  if (s.qk_norm) param("q_norm_g", {s.head_dim}), param("k_norm_g", {s.head_dim});
  param("o_w", {q, s.hidden});
  param("ln2_g", {s.hidden});
  param("gate_w", {s.hidden, s.inner});
  param("up_w", {s.hidden, s.inner});
  param("down_w", {s.inner, s.hidden});
  operands.insert(operands.end(), {all.cos, all.sin, all.positions});
  if (all.cache == Cache::kAppend) {
    const Shape past = {all.extents.batch, Dim::Symbol(kPastSeq), kv};
    operands.push_back(net.Input(Cat("past_k.", layer), past));
    operands.push_back(net.Input(Cat("past_v.", layer), past));
  }
  return operands;
}

Value Layer(Net& net, const Shared& all, Value x, int64_t layer) {
  constexpr std::string_view kCaches[] = {"none", "start", "append"};
  const DecoderShape& s = all.shape;
  const Value out = net.Block(OpKind::kHirLlamaDecoderBlock, Operands(net, all, x, layer),
                              {{"num_heads", s.heads},
                               {"num_kv_heads", s.kv_heads},
                               {"head_dim", s.head_dim},
                               {"eps", 1e-5},
                               {"qkv_bias", s.qkv_bias},
                               {"qk_norm", s.qk_norm},
                               {"has_positions", true},
                               {"cache", std::string(kCaches[static_cast<size_t>(all.cache)])}});
  if (all.cache != Cache::kNone) {
    net.b().Output(Cat("k.", layer), {out.node, 1});
    net.b().Output(Cat("v.", layer), {out.node, 2});
  }
  return out;
}

}  // namespace

Module Decoder(const DecoderShape& shape, const Extents& extents, FusionPolicy policy,
               Cache cache) {
  Net net("decoder", extents, policy, shape.dtype);
  if (cache == Cache::kAppend) net.Declare(Dim::Symbol(kPastSeq), extents.max_seq);
  const int64_t context = 2 * extents.max_seq;
  const Value ids = net.Input("ids", DType::kI64, {extents.batch, extents.seq});
  const Shared all{.shape = shape,
                   .extents = extents,
                   .cache = cache,
                   .cos = net.Input("cos", {context, shape.head_dim / 2}),
                   .sin = net.Input("sin", {context, shape.head_dim / 2}),
                   .positions = net.Input("positions", DType::kI64, {extents.seq})};
  Value x = net.b().Gather(net.Param("embed", {shape.vocab, shape.hidden}), ids);
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    net.SetPrefix(Cat("layer.", layer, "."));
    x = Layer(net, all, x, layer);
  }
  net.SetPrefix("");
  x = net.b().RmsNorm(x, net.Param("norm_g", {shape.hidden}), 1e-5);
  const Value head = net.Param("head_w", {shape.hidden, shape.vocab});
  return net.Finish("logits", net.Block(OpKind::kHirLinear, {x, head}, {}));
}

}  // namespace rlx::models
