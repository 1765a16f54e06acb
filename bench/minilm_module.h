// SPDX-License-Identifier: Apache-2.0
// A sentence encoder of MiniLM-L6's shape as an HIR module, with weights drawn at random: what the
// benches compile and run without a download.
#pragma once

#include <random>

#include "runtime/base/check.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/evaluate.h"

namespace rlx::bench {

struct EncoderShape {
  int64_t layers = 6, hidden = 384, heads = 12, ffn = 1536, vocab = 30522, positions = 512;
};

// Inputs ids i64 [batch, seq], keep bool [batch, seq]; output embedding f32 [batch, hidden].
inline Module EncoderModule(const EncoderShape& shape, int64_t batch, int64_t seq) {
  Module module{.stage = Stage::kHir, .policy = FusionPolicy::kFusable};
  Graph& g = module.graph;
  g.name = "encoder";
  GraphBuilder b(g);
  const auto param = [&](std::string name, Shape dims) {
    return b.Param(name, {DType::kF32, std::move(dims)});
  };
  const int64_t h = shape.hidden;
  const Value ids = b.Input("ids", {DType::kI64, {batch, seq}});
  const Value keep = b.Input("keep", {DType::kBool, {batch, seq}});
  Value x = b.Gather(param("word", {shape.vocab, h}), ids);
  x = b.Add(x, b.Narrow(param("position", {shape.positions, h}), 0, 0, seq));
  x = b.Add(x, param("type", {h}));
  x = b.LayerNorm(x, param("ln_g", {h}), param("ln_b", {h}), 1e-12);
  for (int64_t l = 0; l < shape.layers; ++l) {
    const auto p = [&](const char* name, Shape dims) {
      return param(Cat("layer", l, ".", name), std::move(dims));
    };
    x = b.Emit(OpKind::kHirBertEncoderBlock,
               {x, keep, p("q_w", {h, h}), p("q_b", {h}), p("k_w", {h, h}), p("k_b", {h}),
                p("v_w", {h, h}), p("v_b", {h}), p("o_w", {h, h}), p("o_b", {h}), p("ln1_g", {h}),
                p("ln1_b", {h}), p("f1_w", {h, shape.ffn}), p("f1_b", {shape.ffn}),
                p("f2_w", {shape.ffn, h}), p("f2_b", {h}), p("ln2_g", {h}), p("ln2_b", {h})},
               {{"num_heads", shape.heads},
                {"head_dim", h / shape.heads},
                {"mask", "keep"},
                {"eps", 1e-12},
                {"activation", "gelu"}});
  }
  const Value weight = b.Reshape(b.Cast(keep, DType::kF32), {batch, seq, 1});
  const Value sum = b.Reduce(OpKind::kReduceSum, b.Mul(x, weight), {1}, false);
  const Value count = b.Reduce(OpKind::kReduceSum, weight, {1}, false);
  const Value mean = b.Div(sum, count);
  const Value square = b.Reduce(OpKind::kReduceSum, b.Mul(mean, mean), {1}, true);
  b.Output("embedding", b.Div(mean, b.Unary(OpKind::kSqrt, square)));
  CHECK(b.status().ok(), Cat(b.status()));
  return module;
}

// Multiply-adds count two; embedding and norms are left out.
inline double EncoderFlops(const EncoderShape& s, int64_t batch, int64_t seq) {
  const double rows = static_cast<double>(batch * seq), h = static_cast<double>(s.hidden);
  const double linear = 4 * h * h + 2 * h * static_cast<double>(s.ffn);
  return 2 * rows * static_cast<double>(s.layers) * (linear + 2 * static_cast<double>(seq) * h);
}

// A value for every input and param.
inline TensorMap EncoderTensors(const Graph& graph, const EncoderShape& shape) {
  std::mt19937 rng(7);
  std::normal_distribution<float> normal(0, 0.05f);
  TensorMap out;
  for (const Node& node : graph.nodes()) {
    if (node.op != OpKind::kParam && node.op != OpKind::kInput) continue;
    const TensorType& type = node.results[0];
    const auto count = static_cast<size_t>(*type.NumElements());
    std::string bytes(static_cast<size_t>(*type.ByteSize()), '\1');
    if (type.dtype == DType::kF32) {
      for (size_t i = 0; i < count; ++i) reinterpret_cast<float*>(bytes.data())[i] = normal(rng);
    } else if (type.dtype == DType::kI64) {
      for (size_t i = 0; i < count; ++i) {
        reinterpret_cast<int64_t*>(bytes.data())[i] =
            static_cast<int64_t>(rng() % static_cast<uint64_t>(shape.vocab));
      }
    }
    out.emplace(node.name,
                *HostTensor::Create(type.dtype, type.StaticDims(), SharedBytes(std::move(bytes))));
  }
  return out;
}

}  // namespace rlx::bench
