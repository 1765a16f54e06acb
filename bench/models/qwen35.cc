// SPDX-License-Identifier: Apache-2.0
#include "bench/models/parts.h"

namespace rlx::models {
namespace {

struct Hybrid {
  Net& net;
  const HybridShape& s;
  const Extents& extents;
  Value cos, sin;

  GraphBuilder& b() const { return net.b(); }
  Value Param(std::string_view name, Shape shape) const {
    return net.Param(name, std::move(shape));
  }
  Value Linear(Value x, std::string_view name, int64_t in, int64_t out) const {
    return net.Block(OpKind::kHirLinear, {x, Param(name, {in, out})}, {});
  }
  Value Norm(Value x, std::string_view name, int64_t width) const {
    return net.Block(OpKind::kHirRmsNorm, {x, Param(name, {width})}, {{"eps", 1e-6}});
  }
  Value Silu(Value x) const { return b().Unary(OpKind::kSilu, x); }

  int64_t inner() const { return s.delta_heads * s.delta_dim; }
  // Columns `start` to `start` + inner of x, as heads.
  Value Heads(Value x, int64_t start) const {
    return b().Reshape(b().Narrow(x, 2, start, inner()),
                       {extents.batch, extents.seq, s.delta_heads, s.delta_dim});
  }
  // Heads of length one.
  Value Direction(Value x) const {
    const Value squares = b().Reduce(OpKind::kReduceSum, b().Mul(x, x), {3}, true);
    const Value length = b().Unary(OpKind::kSqrt, b().Add(squares, b().Scalar(s.dtype, 1e-6)));
    return b().Div(x, length);
  }
  // -exp(a)·log(1 + exp(x·w + bias)): how fast each head forgets.
  Value Decay(Value x) const {
    const Value rate =
        b().Add(Linear(x, "a_w", s.hidden, s.delta_heads), Param("dt_bias", {s.delta_heads}));
    const Value soft =
        b().Unary(OpKind::kLog, b().Add(b().Unary(OpKind::kExp, rate), b().Scalar(s.dtype, 1)));
    const Value speed = b().Unary(OpKind::kExp, Param("a_log", {s.delta_heads}));
    return b().Unary(OpKind::kNeg, b().Mul(speed, soft));
  }

  // x + (rms_norm(gated_delta_net(q, k, v, g, beta))·silu(z))·o_w of h = rms_norm(x).
  Value DeltaLayer(Value x) const {
    const Value h = Norm(x, "ln1_g", s.hidden);
    const Value qkv = Linear(h, "qkv_w", s.hidden, 3 * inner());
    const Value conv = net.Block(OpKind::kHirDepthwiseConv1dCausal,
                                 {qkv, Param("conv_w", {3 * inner(), 1, s.taps})}, {});
    const Value mixed = Silu(conv);
    const Value beta = b().Unary(OpKind::kSigmoid, Linear(h, "beta_w", s.hidden, s.delta_heads));
    const Value o = net.Block(OpKind::kHirGatedDeltaNet,
                              {Direction(Heads(mixed, 0)), Direction(Heads(mixed, inner())),
                               Heads(mixed, 2 * inner()), Decay(h), beta},
                              {});
    const Value z = Linear(h, "z_w", s.hidden, inner());
    const Value flat =
        b().Reshape(Norm(o, "o_norm_g", s.delta_dim), {extents.batch, extents.seq, inner()});
    return b().Add(x, Linear(b().Mul(flat, Silu(z)), "o_w", inner(), s.hidden));
  }

  Value FeedForward(Value x) const {
    const Value h = Norm(x, "ln2_g", s.hidden);
    return b().Add(
        x, net.Block(OpKind::kHirSwiglu,
                     {h, Param("up_w", {s.hidden, s.inner}), Param("gate_w", {s.hidden, s.inner}),
                      Param("down_w", {s.inner, s.hidden})},
                     {}));
  }

  Value AttentionLayer(Value x) const {
    const int64_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
    return net.Block(
        OpKind::kHirLlamaDecoderBlock,
        {x, Param("ln1_g", {s.hidden}), Param("q_w", {s.hidden, q}), Param("k_w", {s.hidden, kv}),
         Param("v_w", {s.hidden, kv}), Param("q_norm_g", {s.head_dim}),
         Param("k_norm_g", {s.head_dim}), Param("o_w", {q, s.hidden}), Param("ln2_g", {s.hidden}),
         Param("gate_w", {s.hidden, s.inner}), Param("up_w", {s.hidden, s.inner}),
         Param("down_w", {s.inner, s.hidden}), cos, sin},
        {{"num_heads", s.heads},
         {"num_kv_heads", s.kv_heads},
         {"head_dim", s.head_dim},
         {"n_rot", s.n_rot},
         {"eps", 1e-6},
         {"qk_norm", true}});
  }

  // Logits of the token after the one that was chosen.
  Value NextHead(Value h, Value embed) const {
    const int64_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim, n = s.hidden;
    const Value next = net.Input("next_ids", DType::kI64, {extents.batch, extents.seq});
    const Value last = net.Input("last_token_idx", DType::kI64, {extents.batch});
    return net.Block(OpKind::kHirQwen35MtpHead,
                     {h,
                      next,
                      cos,
                      sin,
                      last,
                      embed,
                      Param("hnorm_w", {n}),
                      Param("enorm_w", {n}),
                      Param("eh_w", {2 * n, n}),
                      Param("attn_norm_w", {n}),
                      Param("q_gate_w", {n, 2 * q}),
                      Param("k_w", {n, kv}),
                      Param("v_w", {n, kv}),
                      Param("q_norm_w", {s.head_dim}),
                      Param("k_norm_w", {s.head_dim}),
                      Param("o_w", {q, n}),
                      Param("post_norm_w", {n}),
                      Param("gate_w", {n, s.inner}),
                      Param("up_w", {n, s.inner}),
                      Param("down_w", {s.inner, n}),
                      Param("head_norm_w", {n}),
                      Param("lm_head_w", {n, s.vocab})},
                     {{"num_heads", s.heads},
                      {"num_kv_heads", s.kv_heads},
                      {"head_dim", s.head_dim},
                      {"n_rot", s.n_rot},
                      {"eps", 1e-6}});
  }
};

}  // namespace

Module Qwen35(const HybridShape& shape, const Extents& extents, FusionPolicy policy) {
  Net net("qwen35", extents, policy, shape.dtype);
  const Value ids = net.Input("ids", DType::kI64, {extents.batch, extents.seq});
  const Hybrid hybrid{net, shape, extents, net.Input("cos", {extents.max_seq, shape.n_rot / 2}),
                      net.Input("sin", {extents.max_seq, shape.n_rot / 2})};
  const Value embed = net.Param("embed", {shape.vocab, shape.hidden});
  Value x = net.b().Gather(embed, ids);
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    net.SetPrefix(Cat("layer.", layer, "."));
    x = layer % 4 == 3 ? hybrid.AttentionLayer(x) : hybrid.FeedForward(hybrid.DeltaLayer(x));
  }
  net.SetPrefix("mtp.");
  net.b().Output("next_logits", hybrid.NextHead(x, embed));
  net.SetPrefix("");
  x = hybrid.Norm(x, "norm_g", shape.hidden);
  return net.Finish("logits", hybrid.Linear(x, "head_w", shape.hidden, shape.vocab));
}

}  // namespace rlx::models
