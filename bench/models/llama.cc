// SPDX-License-Identifier: Apache-2.0
#include "bench/models/parts.h"

namespace rlx::models {
namespace {

Value Layer(Net& net, const DecoderShape& s, Value x, Value cos, Value sin) {
  const int64_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
  return net.Block(
      OpKind::kHirLlamaDecoderBlock,
      {x, net.Param("ln1_g", {s.hidden}), net.Param("q_w", {s.hidden, q}),
       net.Param("k_w", {s.hidden, kv}), net.Param("v_w", {s.hidden, kv}),
       net.Param("o_w", {q, s.hidden}), net.Param("ln2_g", {s.hidden}),
       net.Param("gate_w", {s.hidden, s.inner}), net.Param("up_w", {s.hidden, s.inner}),
       net.Param("down_w", {s.inner, s.hidden}), cos, sin},
      {{"num_heads", s.heads},
       {"num_kv_heads", s.kv_heads},
       {"head_dim", s.head_dim},
       {"eps", 1e-5}});
}

}  // namespace

Module Llama(const DecoderShape& shape, const Extents& extents, FusionPolicy policy) {
  Net net("llama", extents, policy, shape.dtype);
  const Value ids = net.Input("ids", DType::kI64, {extents.batch, extents.seq});
  const Value cos = net.Input("cos", {extents.seq, shape.head_dim / 2});
  const Value sin = net.Input("sin", {extents.seq, shape.head_dim / 2});
  Value x = net.b().Gather(net.Param("embed", {shape.vocab, shape.hidden}), ids);
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    net.SetPrefix(Cat("layer.", layer, "."));
    x = Layer(net, shape, x, cos, sin);
  }
  net.SetPrefix("");
  x = net.b().RmsNorm(x, net.Param("norm_g", {shape.hidden}), 1e-5);
  const Value head = net.Param("head_w", {shape.hidden, shape.vocab});
  return net.Finish("logits", net.Block(OpKind::kHirLinear, {x, head}, {}));
}

}  // namespace rlx::models
