// SPDX-License-Identifier: Apache-2.0
#include "bench/models/parts.h"

namespace rlx::models {
namespace {

Value Layer(Net& net, const EncoderShape& s, Value x, Value keep) {
  const int64_t h = s.hidden;
  std::vector<Value> operands = {x, keep};
  const auto linear = [&](std::string_view name, int64_t in, int64_t out) {
    operands.push_back(net.Param(Cat(name, "_w"), {in, out}));
    operands.push_back(net.Param(Cat(name, "_b"), {out}));
  };
  const auto norm = [&](std::string_view name) {
    operands.push_back(net.Param(Cat(name, "_g"), {h}));
    operands.push_back(net.Param(Cat(name, "_b"), {h}));
  };
  for (const char* name : {"q", "k", "v", "o"}) linear(name, h, h);
  norm("ln1");
  linear("ffn1", h, s.inner);
  linear("ffn2", s.inner, h);
  norm("ln2");
  return net.Block(OpKind::kHirBertEncoderBlock, std::move(operands),
                   {{"num_heads", s.heads},
                    {"head_dim", h / s.heads},
                    {"mask", std::string("keep")},
                    {"eps", 1e-12}});
}

}  // namespace

Module Bert(const EncoderShape& shape, const Extents& extents, FusionPolicy policy) {
  Net net("bert", extents, policy);
  const Value ids = net.Input("ids", DType::kI64, {extents.batch, extents.seq});
  const Value places = net.Input("places", DType::kI64, {extents.seq});
  const Value keep = net.Input("keep", DType::kBool, {extents.batch, extents.seq});
  GraphBuilder& b = net.b();
  Value x = b.Gather(net.Param("word", {shape.vocab, shape.hidden}), ids);
  x = b.Add(x, b.Gather(net.Param("position", {shape.positions, shape.hidden}), places));
  x = b.Add(x, net.Param("type", {shape.hidden}));
  x = b.LayerNorm(x, net.Param("ln_g", {shape.hidden}), net.Param("ln_b", {shape.hidden}), 1e-12);
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    net.SetPrefix(Cat("layer.", layer, "."));
    x = Layer(net, shape, x, keep);
  }
  return net.Finish("hidden", x);
}

}  // namespace rlx::models
