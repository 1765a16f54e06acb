// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/base/status.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

// Whether query row i sees key row j, both counted so that the last rows align.
struct Visibility {
  bool causal = false;
  int64_t window = std::numeric_limits<int64_t>::max();
  int64_t shift = 0;  // k_len - q_len

  explicit Visibility(const Node& node, int64_t q_len, int64_t k_len) : shift(k_len - q_len) {
    const std::string& mask = node.Str("mask");
    causal = mask == "causal" || mask == "sliding_window";
    if (mask == "sliding_window") window = node.Int("window");
  }
  bool Sees(int64_t i, int64_t j) const {
    return !causal || (j <= i + shift && i + shift - j <= window);
  }
};

// What evaluation of one attention holds on to.
struct Scorer {
  const EvalContext& ctx;
  Visibility visibility;
  HeadView q, k;
  double scale, softcap;
  std::vector<int64_t> mask_dims;  // [.., .., .., ..] when there is a mask operand

  double Mask(double score, int64_t b, int64_t h, int64_t i, int64_t j) const {
    if (!visibility.Sees(i, j)) return -std::numeric_limits<double>::infinity();
    if (mask_dims.empty()) return score;
    const EvalTensor& mask = *ctx.operands[3];
    const double value = mask.at(BroadcastOffset({b, h, i, j}, mask_dims));
    if (mask.dtype != DType::kBool) return score + value;
    return value != 0 ? score : -std::numeric_limits<double>::infinity();
  }

  // Scale, cap, then mask.
  double Score(int64_t b, int64_t h, int64_t kv, int64_t i, int64_t j) const {
    const double* x = &ctx.operands[0]->f[q.At(b, h, i)];
    const double* y = &ctx.operands[1]->f[k.At(b, kv, j)];
    double score = 0;
    for (int64_t d = 0; d < q.width; ++d) score += x[d] * y[d];
    score *= scale;
    if (softcap > 0) score = softcap * std::tanh(score / softcap);
    return Mask(score, b, h, i, j);
  }
};

// exp(s - max) in place; returns the sum. A row of -inf (all masked) has sum 0 and weights 0.
double Exponentials(std::vector<double>& scores) {
  const double top = *std::ranges::max_element(scores);
  double sum = 0;
  for (double& s : scores) sum += s = std::isinf(top) && top < 0 ? 0 : std::exp(s - top);
  return sum;
}

std::vector<int64_t> MaskDims(const EvalContext& ctx) {
  if (!HasMaskOperand(ctx.node)) return {};
  const std::vector<int64_t>& dims = ctx.operands[3]->dims;
  return TensorType{DType::kBool, MaskShape4(ctx.node, Shape(dims.begin(), dims.end()))}
      .StaticDims();
}

absl::Status EvaluateAttention(EvalContext& ctx) {
  const EvalTensor &q = *ctx.operands[0], &k = *ctx.operands[1], &v = *ctx.operands[2];
  EvalTensor& out = ctx.results[0];
  const AttentionDims dims = ReadAttention(ctx.node, {q.dtype, {q.dims.begin(), q.dims.end()}},
                                           {k.dtype, {k.dims.begin(), k.dims.end()}},
                                           {v.dtype, {v.dims.begin(), v.dims.end()}});
  const int64_t q_len = dims.q_len.value(), k_len = dims.k_len.value();
  const Scorer scorer{ctx,
                      Visibility(ctx.node, q_len, k_len),
                      {q.dims, dims.head_dim},
                      {k.dims, dims.head_dim},
                      ScoreScale(ctx.node),
                      ctx.node.Float("softcap"),
                      MaskDims(ctx)};
  const HeadView values{v.dims, dims.v_head_dim}, results{out.dims, dims.v_head_dim};
  std::vector<double> scores(k_len);
  std::vector<int64_t> at(3, 0);
  do {
    const int64_t b = at[0], h = at[1], i = at[2];
    const int64_t kv = h / (dims.heads / dims.kv_heads);
    for (int64_t j = 0; j < k_len; ++j) scores[j] = scorer.Score(b, h, kv, i, j);
    const double sum = Exponentials(scores);
    double* row = &out.f[results.At(b, h, i)];
    for (int64_t j = 0; j < k_len && sum != 0; ++j) {
      const double* value = &v.f[values.At(b, kv, j)];
      for (int64_t d = 0; d < dims.v_head_dim; ++d) row[d] += scores[j] / sum * value[d];
    }
  } while (NextIndex(at, {dims.batch.value(), dims.heads, q_len}));
  return absl::OkStatus();
}

OpSample SampleAttention(Rng& rng) {
  const int64_t kv = Draw(rng, 1, 3), h = kv * Draw(rng, 1, 3), d = Draw(rng, 1, 9);
  const int64_t dv = Flip(rng) ? d : Draw(rng, 1, 7), b = Draw(rng, 1, 2);
  const int64_t sq = Draw(rng, 1, 9), sk = Flip(rng) ? sq : Draw(rng, 1, 17);
  const bool rank4 = Flip(rng);
  auto heads = [&](int64_t count, int64_t s, int64_t width) {
    return FloatOperand(rank4 ? Shape{b, count, s, width} : Shape{b, s, count * width});
  };
  const auto mask = Pick<std::string>(rng, {"none", "causal", "sliding_window", "keep", "bias"});
  OpSample sample{{heads(h, sq, d), heads(kv, sk, d), heads(kv, sk, dv)},
                  {{"num_heads", h}, {"head_dim", d}, {"mask", mask}}};
  if (kv != h) sample.attrs.push_back({"num_kv_heads", kv});
  if (mask == "sliding_window") sample.attrs.push_back({"window", Draw(rng, 0, 6)});
  if (Flip(rng)) sample.attrs.push_back({"scale", Pick(rng, {0.25, 1.0, -0.5})});
  if (Flip(rng)) sample.attrs.push_back({"softcap", Pick(rng, {1.5, 30.0})});
  const Shape full = Pick<Shape>(rng, {{b, h, sq, sk}, {1, 1, sq, sk}, {b, 1, 1, sk}, {sq, sk}});
  if (mask == "bias") sample.operands.push_back(FloatOperand(full));
  if (mask == "keep") {
    Shape shape = full.size() == 2 ? Shape{b, sk} : full;
    sample.operands.push_back({{DType::kBool, std::move(shape)}, 0, 1});
  }
  return sample;
}

constexpr RunCheck kRopeChecks[] = {{.operand = 3}};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kAttention,
     .name = "attention",
     .claim = "Attention",
     .op_class = OpClass::kComposite,
     .min_operands = 3,
     .max_operands = 4,
     .attrs = kAttentionAttrs,
     .infer = InferAttention,
     .evaluate = EvaluateAttention,
     .decompose = DecomposeAttention,
     .sample = SampleAttention,
     .doc =
         "(q, k, v[, mask]): softmax(mask(cap(scale·q·kᵀ)))·v for each head; rank 3 is [b,s,h·d], "
         "rank 4 [b,h,s,d]; query head h reads key and value head h floordiv "
         "(num_heads/num_kv_heads); causal masks align the last rows; sliding_window keeps "
         "i-window ≤ j ≤ i; keep is bool ([b,s_k] or broadcasting to [b,h,s_q,s_k]), bias is "
         "added; a fully masked row gives zeros"},
    {.kind = OpKind::kRope,
     .name = "rope",
     .claim = "Rope",
     .op_class = OpClass::kComposite,
     .min_operands = 3,
     .max_operands = 4,
     .attrs = kRopeAttrs,
     .checks = kRopeChecks,
     .infer = InferRope,
     .evaluate = EvaluateRope,
     .decompose = DecomposeRope,
     .sample = SampleRope,
     .doc = "(x, cos [p,n_rot/2], sin [p,n_rot/2][, positions [s] or [b,s]]): in each head the "
            "halves (a, b) of the first n_rot dims become (a·cos - b·sin, b·cos + a·sin); a row of "
            "the tables is chosen by position, by default the index along the sequence"},
};

}  // namespace

std::span<const OpInfo> AttentionOps() { return kTable; }

}  // namespace rlx
