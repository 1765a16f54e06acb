// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/attention.h"

#include <gtest/gtest.h>

#include "runtime/base/thread_pool.h"
#include "tests/unit/cpu_math/math_testing.h"

namespace rlx::cpu {
namespace {

enum class Layout { kHeadsInRows, kHeadsApart };  // [b, row, head, d] and [b, head, row, d]

// One of q, k, v, out with padding between rows.
struct Tensor {
  Tensor(Layout layout, int64_t batch, int64_t heads, int64_t rows, int64_t features,
         std::mt19937& rng) {
    const int64_t row = features + 3;
    strides = layout == Layout::kHeadsInRows ? HeadStrides{heads * rows * row, row, heads * row}
                                             : HeadStrides{heads * rows * row, rows * row, row};
    data.resize(batch * heads * rows * row);
    Fill(data, rng);
  }
  float& At(int64_t b, int64_t h, int64_t i, int64_t d) {
    return data[b * strides.batch + h * strides.head + i * strides.row + d];
  }
  HeadStrides strides;
  std::vector<float> data;
};

struct Problem {
  Problem(Attention shape, Layout layout, std::mt19937& rng)
      : a(shape),
        q(layout, a.batch, a.heads, a.queries, a.head_dim, rng),
        k(layout, a.batch, a.kv_heads, a.keys, a.head_dim, rng),
        v(layout, a.batch, a.kv_heads, a.keys, a.value_dim, rng),
        out(layout, a.batch, a.heads, a.queries, a.value_dim, rng) {
    if (a.scale == 1) a.scale = 3 / std::sqrt(static_cast<float>(a.head_dim));
    a.q = q.data.data(), a.k = k.data.data(), a.v = v.data.data(), a.out = out.data.data();
    a.q_strides = q.strides, a.k_strides = k.strides, a.v_strides = v.strides;
    a.out_strides = out.strides;
  }
  Problem(const Problem&) = delete;

  // A mask over [batch or 1, heads or 1, queries or 1, keys or 1].
  void Mask(bool b, bool h, bool i, bool j, bool keep, std::mt19937& rng) {
    const int64_t keys = j ? a.keys : 1, rows = i ? a.queries : 1;
    a.mask_strides = {b ? (h ? a.heads : 1) * rows * keys : 0, h ? rows * keys : 0, i ? keys : 0,
                      j ? 1 : 0};
    const int64_t size = (b ? a.batch : 1) * (h ? a.heads : 1) * rows * keys;
    std::uniform_int_distribution<int> coin(0, 2);
    for (int64_t x = 0; x < size; ++x) {
      keep_mask.push_back(coin(rng) != 0 ? 7 : 0);
      additive_mask.push_back(coin(rng) != 0 ? 0.5f * coin(rng) : -INFINITY);
    }
    keep                        ? a.keep = keep_mask.data(),
           a.additive = nullptr : (a.keep = nullptr, a.additive = additive_mask.data());
  }

  double Score(int64_t b, int64_t h, int64_t i, int64_t j) {
    const int64_t position = i + a.keys - a.queries;
    if ((a.causal || a.window >= 0) && j > position) return -INFINITY;
    if (a.window >= 0 && j < position - a.window) return -INFINITY;
    double score = 0;
    for (int64_t d = 0; d < a.head_dim; ++d) {
      score += double{q.At(b, h, i, d)} * k.At(b, h / (a.heads / a.kv_heads), j, d);
    }
    score *= a.scale;
    if (a.softcap > 0) score = a.softcap * std::tanh(score / a.softcap);
    const MaskStrides& m = a.mask_strides;
    const int64_t at = b * m.batch + h * m.head + i * m.query + j * m.key;
    if (a.keep != nullptr && a.keep[at] == 0) return -INFINITY;
    return a.additive != nullptr ? score + a.additive[at] : score;
  }

  // Scores are off by head_dim roundings of values up to `scale head_dim`; a weight follows its
  // score; the sums over keys add theirs. All values are at most 1.
  double Bound() const {
    const double scores = 0x1p-24 * a.head_dim * a.head_dim * a.scale;
    return 2 * scores + 0x1p-24 * (a.keys + 16) + 1e-6;
  }

  void Expect() {
    for (int64_t b = 0; b < a.batch; ++b) {
      for (int64_t h = 0; h < a.heads; ++h) {
        for (int64_t i = 0; i < a.queries; ++i) ExpectRow(b, h, i);
      }
    }
  }

  void ExpectRow(int64_t b, int64_t h, int64_t i) {
    std::vector<double> weights(a.keys);
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < a.keys; ++j) most = std::fmax(most, weights[j] = Score(b, h, i, j));
    for (double& w : weights) sum += w = most == -INFINITY ? 0 : std::exp(w - most);
    for (int64_t d = 0; d < a.value_dim; ++d) {
      double want = 0;
      for (int64_t j = 0; j < a.keys; ++j) {
        want += weights[j] * v.At(b, h / (a.heads / a.kv_heads), j, d);
      }
      want = sum == 0 ? 0 : want / sum;
      ASSERT_NEAR(out.At(b, h, i, d), want, Bound()) << b << " " << h << " " << i << " " << d;
    }
  }

  void Run(const MathKernels& kernels, Team& team) {
    Aligned scratch(AttentionScratchBytes(kernels, a, team.size()));
    Attend(kernels, a, team, scratch.get());
  }

  Attention a;
  Tensor q, k, v, out;
  std::vector<uint8_t> keep_mask;
  std::vector<float> additive_mask;
};

class AttentionOnIsa : public testing::TestWithParam<Isa> {
 protected:
  const MathKernels& kernels_ = MathFor(GetParam());
  std::mt19937 rng_{11};
  Team alone_;
};

TEST_P(AttentionOnIsa, AnyShape) {
  const Attention shapes[] = {{.batch = 1,
                               .heads = 2,
                               .kv_heads = 2,
                               .queries = 128,
                               .keys = 128,
                               .head_dim = 32,
                               .value_dim = 32},
                              {.batch = 2,
                               .heads = 3,
                               .kv_heads = 3,
                               .queries = 17,
                               .keys = 33,
                               .head_dim = 20,
                               .value_dim = 7},
                              {.batch = 1,
                               .heads = 4,
                               .kv_heads = 2,
                               .queries = 70,
                               .keys = 1001,
                               .head_dim = 64,
                               .value_dim = 48},
                              {.batch = 2,
                               .heads = 6,
                               .kv_heads = 2,
                               .queries = 1,
                               .keys = 530,
                               .head_dim = 80,
                               .value_dim = 80},
                              {.batch = 1,
                               .heads = 32,
                               .kv_heads = 2,
                               .queries = 1,
                               .keys = 70,
                               .head_dim = 16,
                               .value_dim = 16},
                              {.batch = 1,
                               .heads = 2,
                               .kv_heads = 1,
                               .queries = 3,
                               .keys = 5,
                               .head_dim = 1,
                               .value_dim = 1},
                              {.batch = 1,
                               .heads = 1,
                               .kv_heads = 1,
                               .queries = 66,
                               .keys = 485,
                               .head_dim = 256,
                               .value_dim = 257},
                              {.batch = 1,
                               .heads = 1,
                               .kv_heads = 1,
                               .queries = 9,
                               .keys = 1,
                               .head_dim = 5,
                               .value_dim = 100}};
  for (const Attention& shape : shapes) {
    for (Layout layout : {Layout::kHeadsInRows, Layout::kHeadsApart}) {
      SCOPED_TRACE(testing::Message() << shape.queries << " x " << shape.keys);
      Problem p(shape, layout, rng_);
      p.Run(kernels_, alone_);
      p.Expect();
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(AttentionOnIsa, CausalIsAlignedAtTheBottomRight) {
  for (auto [queries, keys] : {std::pair{130, 130}, {5, 20}, {1, 9}, {100, 600}, {20, 7}}) {
    for (int64_t window : {-1, 0, 3, 64, 1000}) {
      for (bool causal : {true, false}) {
        SCOPED_TRACE(testing::Message() << queries << " x " << keys << " window " << window);
        Problem p({.heads = 4,
                   .kv_heads = 2,
                   .queries = queries,
                   .keys = keys,
                   .head_dim = 12,
                   .value_dim = 12,
                   .causal = causal,
                   .window = window},
                  Layout::kHeadsInRows, rng_);
        p.Run(kernels_, alone_);
        p.Expect();
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(AttentionOnIsa, MasksBroadcastAlongAnyAxis) {
  for (int axes = 0; axes < 16; ++axes) {
    for (bool keep : {true, false}) {
      for (int64_t queries : {1, 67}) {
        SCOPED_TRACE(testing::Message() << "axes " << axes << " keep " << keep);
        Problem p({.batch = 2,
                   .heads = 4,
                   .kv_heads = 2,
                   .queries = queries,
                   .keys = 501,
                   .head_dim = 8,
                   .value_dim = 10,
                   .causal = axes % 3 == 0},
                  Layout::kHeadsApart, rng_);
        p.Mask(axes & 1, axes & 2, axes & 4, axes & 8, keep, rng_);
        p.Run(kernels_, alone_);
        p.Expect();
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(AttentionOnIsa, SoftcapComesBetweenScaleAndMask) {
  for (int64_t queries : {2, 40}) {
    Problem p({.heads = 2,
               .kv_heads = 2,
               .queries = queries,
               .keys = 40,
               .head_dim = 16,
               .value_dim = 16,
               .softcap = 0.7f,
               .causal = true},
              Layout::kHeadsInRows, rng_);
    p.Mask(false, true, true, true, false, rng_);
    p.Run(kernels_, alone_);
    p.Expect();
  }
}

TEST_P(AttentionOnIsa, RowsThatSeeNothingAreZero) {
  Problem p({.heads = 1, .kv_heads = 1, .queries = 30, .keys = 700, .head_dim = 8, .value_dim = 9},
            Layout::kHeadsInRows, rng_);
  p.Mask(false, false, true, true, true, rng_);
  for (int64_t i : {0, 7, 29}) std::fill_n(p.keep_mask.begin() + i * 700, 700, 0);
  std::fill_n(p.keep_mask.begin() + 700, 600, 0);  // row 1 sees something in its last block alone
  p.Run(kernels_, alone_);
  p.Expect();
  for (int64_t d = 0; d < 9; ++d) EXPECT_EQ(p.out.At(0, 0, 7, d), 0);
}

TEST_P(AttentionOnIsa, LargeScoresDoNotOverflow) {
  Problem p({.heads = 1,
             .kv_heads = 1,
             .queries = 20,
             .keys = 1000,
             .head_dim = 4,
             .value_dim = 4,
             .scale = 500},
            Layout::kHeadsInRows, rng_);
  p.Run(kernels_, alone_);
  for (int64_t i = 0; i < 20; ++i) {
    for (int64_t d = 0; d < 4; ++d) EXPECT_LE(std::abs(p.out.At(0, 0, i, d)), 1.0001f);
  }
}

TEST_P(AttentionOnIsa, ThreadsDoNotChangeABit) {
  ThreadPool pool(3);
  for (int64_t heads : {1, 6}) {
    for (int64_t queries : {1, 300}) {
      Problem p({.heads = heads,
                 .kv_heads = 1,
                 .queries = queries,
                 .keys = 600,
                 .head_dim = 32,
                 .value_dim = 32,
                 .causal = true},
                Layout::kHeadsInRows, rng_);
      p.Run(kernels_, alone_);
      const std::vector<float> once = p.out.data;
      for (int threads : {2, 4}) {
        Team team = pool.Lease(threads);
        p.Run(kernels_, team);
        EXPECT_TRUE(SameBits(once, p.out.data)) << threads;
      }
    }
  }
}

// The scores of one head are never there whole: what a thread needs grows with the keys at most,
// and at many of them is a small part of what scores would take.
TEST_P(AttentionOnIsa, ScoresAreNeverStored) {
  Attention a{.queries = 4096, .keys = 4096, .head_dim = 64, .value_dim = 64};
  const size_t scores = 4096 * 4096 * sizeof(float);
  const size_t long_keys = AttentionScratchBytes(kernels_, a, 1);
  EXPECT_LT(long_keys, scores / 8);
  EXPECT_EQ(AttentionScratchBytes(kernels_, a, 3), 3 * long_keys);
  a.queries = 8192;
  EXPECT_EQ(AttentionScratchBytes(kernels_, a, 1), long_keys) << "of the queries a block at a time";
  a.keys = 8192;
  EXPECT_LE(AttentionScratchBytes(kernels_, a, 1), 2 * long_keys);
}

INSTANTIATE_TEST_SUITE_P(All, AttentionOnIsa, testing::ValuesIn(IsasHere()),
                         [](const auto& isa) { return std::string(IsaName(isa.param)); });

}  // namespace
}  // namespace rlx::cpu
