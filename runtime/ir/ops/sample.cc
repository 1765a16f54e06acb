// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/base/status.h"
#include "runtime/ir/ops/elementwise.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"
#include "runtime/tensor/philox.h"

namespace rlx {
namespace {

absl::Status InferSample(InferContext& ctx) {
  const TensorType& logits = ctx.operands[0];
  RLX_TRY(RequireFloats(ctx, 1));
  if (logits.rank() != 2)
    return InvalidArgument("logits have rank ", logits.rank(), " where 2 is needed");
  const double p = ctx.node.Float("top_p"), temperature = ctx.node.Float("temperature");
  if (!(p > 0 && p <= 1)) return InvalidArgument("top_p is ", p, ", outside (0, 1]");
  if (temperature < 0) return InvalidArgument("temperature is ", temperature, ", below 0");
  if (ctx.operands.size() > 1) {
    RLX_TRY(RequireIndices(ctx, 1));
    RLX_TRY(RequireShape(ctx, 1, "seeds", {logits.shape[0]}));
  }
  ctx.results = {{DType::kI64, {logits.shape[0]}}};
  return absl::OkStatus();
}

// The probabilities of a row of logits after temperature, top-k and top-p; dropped ones are 0.
std::vector<double> Probabilities(const Node& node, const double* logits, int64_t count) {
  const double temperature = std::max(node.Float("temperature"), 1e-6);
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return logits[a] > logits[b]; });
  const int64_t k = node.Int("top_k");
  const double least =
      k > 0 && k < count ? logits[order[k - 1]] : -std::numeric_limits<double>::infinity();
  std::vector<double> p(count, 0);
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (logits[i] >= least) p[i] = std::exp((logits[i] - logits[order[0]]) / temperature);
    sum += p[i];
  }
  double kept = 0;
  for (int64_t i : order) {
    if (kept >= node.Float("top_p") * sum) p[i] = 0;
    kept += p[i];
  }
  return p;
}

// The first index whose cumulative probability passes `uniform`, in index order.
int64_t IndexAt(const std::vector<double>& p, double uniform) {
  const double target = uniform * std::accumulate(p.begin(), p.end(), 0.0);
  double cumulative = 0;
  int64_t last = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0) continue;
    last = static_cast<int64_t>(i);
    cumulative += p[i];
    if (cumulative > target) return last;
  }
  return last;
}

absl::Status EvaluateSample(EvalContext& ctx) {
  const EvalTensor& logits = *ctx.operands[0];
  const int64_t width = logits.dims[1];
  for (int64_t row = 0; row < logits.dims[0]; ++row) {
    const double* line = logits.f.data() + row * width;
    for (int64_t i = 0; i < width; ++i)
      if (std::isnan(line[i])) return InvalidArgument("logit ", i, " of row ", row, " is NaN");
    const bool own = ctx.operands.size() > 1;
    const auto key = static_cast<uint64_t>(own ? ctx.operands[1]->i[row] : ctx.node.Int("seed"));
    const uint32_t counter = own ? 0 : static_cast<uint32_t>(row);
    ctx.results[0].i[row] =
        IndexAt(Probabilities(ctx.node, line, width), PhiloxUniform({counter, 0, 0, 0}, key));
  }
  return absl::OkStatus();
}

OpSample SampleSample(Rng& rng) {
  const int64_t batch = Draw(rng, 1, 4), width = Draw(rng, 1, 40);
  OpSample sample{{FloatOperand({batch, width}, -4, 4)},
                  {{"top_k", Draw(rng, 0, 5)},
                   {"top_p", Pick(rng, {1.0, 0.9, 0.3})},
                   {"temperature", Pick(rng, {1.0, 0.7, 0.0})},
                   {"seed", Draw(rng, 0, 1 << 20)}}};
  if (Flip(rng)) {
    sample.operands.push_back({.type = {DType::kI64, {batch}}, .low = 0, .high = 1 << 20});
  }
  return sample;
}

constexpr AttrSpec kAttrs[] = {
    {.name = "top_k",
     .type = AttrType::kInt,
     .required = false,
     .fallback = int64_t{0},
     .min = 0,
     .doc = "keeps the logits that are not less than the k-th greatest; 0: all"},
    {.name = "top_p",
     .type = AttrType::kFloat,
     .required = false,
     .fallback = 1.0,
     .doc = "then keeps the fewest greatest whose probabilities reach it"},
    {.name = "temperature",
     .type = AttrType::kFloat,
     .required = false,
     .fallback = 1.0,
     .doc = "divides the logits; less than 1e-6 counts as that, which picks a greatest"},
    {.name = "seed",
     .type = AttrType::kInt,
     .required = false,
     .fallback = int64_t{0},
     .doc = "Philox key where there is no seeds operand; then the counter is the row"},
};

constexpr RunCheck kChecks[] = {{.operand = 0}};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kSample,
     .name = "sample",
     .claim = "Sample",
     .op_class = OpClass::kSpecial,
     .min_operands = 1,
     .max_operands = 2,
     .attrs = kAttrs,
     .checks = kChecks,
     .infer = InferSample,
     .evaluate = EvaluateSample,
     .sample = SampleSample,
     .doc = "(logits [b,v][, seeds [b]]): for each row an index (i64) drawn from softmax(logits / "
            "temperature) after top-k and top-p, by inverting the cumulative sum in index order at "
            "one uniform of Philox 4x32-10 (published multipliers): key seeds[row] and counter 0, "
            "or key `seed` and counter row"},
};

}  // namespace

std::span<const OpInfo> SampleOps() { return kTable; }

}  // namespace rlx
