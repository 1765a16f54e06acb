// SPDX-License-Identifier: Apache-2.0
// Decoder layers beyond the plain one: caches, biases and norms on queries and keys, and the
// multi-token-prediction head.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/verify.h"
#include "tests/unit/ir/hir_reference.h"
#include "tests/unit/ir/hir_testing.h"

namespace rlx {
namespace {

using testing::HasSubstr;

constexpr int64_t kBatches = 2, kTokens = 4, kHeads = 4, kKvHeads = 2, kHead = 6, kWidth = 10;
constexpr int64_t kInner = 14, kVocab = 17, kTable = 16, kRotary = 4;
constexpr double kEps = 1e-5;

struct Decoder {
  bool bias = false, norms = false;
  Dim past = 0;  // 0: no past, and the cache starts
  bool cache = true;
  std::string mask = "causal";

  bool appends() const { return past != Dim(0); }
  std::string CacheAttr() const { return appends() ? "append" : cache ? "start" : "none"; }
};

Block DecoderBlock(const Decoder& d, Dim seq = kTokens) {
  Block block{OpKind::kHirLlamaDecoderBlock,
              {},
              {{"num_heads", kHeads},
               {"num_kv_heads", kKvHeads},
               {"head_dim", kHead},
               {"n_rot", kRotary},
               {"eps", kEps},
               {"mask", d.mask},
               {"qkv_bias", d.bias},
               {"qk_norm", d.norms},
               {"has_positions", true},
               {"cache", d.CacheAttr()}}};
  const auto add = [&](std::string name, Shape shape) {
    block.operands.push_back({std::move(name), F64(std::move(shape))});
  };
  const int64_t q = kHeads * kHead, kv = kKvHeads * kHead;
  add("x", {kBatches, seq, kWidth});
  add("ln1_g", {kWidth});
  add("q_w", {kWidth, q});
  add("k_w", {kWidth, kv});
  add("v_w", {kWidth, kv});
  if (d.bias) add("q_b", {q}), add("k_b", {kv}), add("v_b", {kv});
  if (d.norms) add("q_norm_g", {kHead}), add("k_norm_g", {kHead});
  add("o_w", {q, kWidth});
  add("ln2_g", {kWidth});
  add("gate_w", {kWidth, kInner});
  add("up_w", {kWidth, kInner});
  add("down_w", {kInner, kWidth});
  add("cos", {kTable, kRotary / 2});
  add("sin", {kTable, kRotary / 2});
  if (d.mask == "keep") {
    block.operands.push_back({"mask", {DType::kBool, {kBatches, d.past + seq}}});
  }
  block.operands.push_back({"positions", {DType::kI64, {seq}}});
  if (d.appends()) add("past_k", {kBatches, d.past, kv}), add("past_v", {kBatches, d.past, kv});
  return block;
}

Matrix HeadNorm(const Matrix& x, const Matrix& gamma) {
  Matrix out{x.rows, 0, {}};
  for (int64_t first = 0; first < x.columns; first += gamma.columns) {
    const Matrix head = Norm(Columns(x, first, gamma.columns), gamma, kEps, false);
    out = first == 0 ? head : Beside(out, head);
  }
  return out;
}

struct Expected {
  Matrix out, k, v;
};

// BlockInputs' positions start at 2.
Expected ExpectedDecoder(const TensorMap& in, int64_t batch, const Decoder& d) {
  const auto load = [&](const std::string& name) { return Load(in, name); };
  const Matrix x = Slice(in.at("x"), batch);
  const Matrix n = Norm(x, load("ln1_g"), kEps, false);
  const auto project = [&](const std::string& name) {
    const Matrix product = n * load(Cat(name, "_w"));
    return d.bias ? product + load(Cat(name, "_b")) : product;
  };
  const auto place = [&](const std::string& name) {
    Matrix m = project(name);
    if (d.norms) m = HeadNorm(m, load(Cat(name, "_norm_g")));
    return Rotate(m, kHead, load("cos"), load("sin"), 2);
  };
  Matrix k = place("k"), v = project("v");
  if (d.appends()) {
    k = Below(Slice(in.at("past_k"), batch), k);
    v = Below(Slice(in.at("past_v"), batch), v);
  }
  const auto sees = [&](int64_t i, int64_t j) {
    if (d.mask == "keep") return in.at("mask").ToInts()[batch * k.rows + j] != 0;
    return j <= i + k.rows - x.rows;
  };
  const Matrix h = x + Attend(place("q"), k, v, kHead, sees) * load("o_w");
  const Matrix m = Norm(h, load("ln2_g"), kEps, false);
  return {h + Gated(m * load("up_w"), m * load("gate_w")) * load("down_w"), k, v};
}

void ExpectNear(const EvalTensor& got, int64_t batch, const Matrix& want) {
  const auto size = static_cast<int64_t>(want.at.size());
  ASSERT_GE(static_cast<int64_t>(got.f.size()), (batch + 1) * size);
  for (int64_t i = 0; i < size; ++i) {
    ASSERT_NEAR(got.f[batch * size + i], want.at[i], 1e-10) << batch << " " << i;
  }
}

void ExpectDecoder(const std::vector<EvalTensor>& got, const TensorMap& in, const Decoder& d) {
  ASSERT_EQ(got.size(), 3u);
  for (int64_t b = 0; b < kBatches; ++b) {
    const Expected want = ExpectedDecoder(in, b, d);
    ExpectNear(got[0], b, want.out);
    ExpectNear(got[1], b, want.k);
    ExpectNear(got[2], b, want.v);
  }
}

TensorMap InputsOf(const Block& block) {
  return BlockInputs(ModuleOf(block, FusionPolicy::kDirect)->graph);
}

TEST(HirDecoder, EveryVariantMatchesItsDefinition) {
  for (const bool bias : {false, true}) {
    for (const bool norms : {false, true}) {
      for (const int64_t past : {0, 3}) {
        for (const char* mask : {"causal", "keep"}) {
          const Decoder d{.bias = bias, .norms = norms, .past = past, .mask = mask};
          const Block block = DecoderBlock(d);
          ExpectDecoder(EvaluateBoth(block), InputsOf(block), d);
        }
      }
    }
  }
}

TEST(HirDecoder, WithoutACacheThereIsOneResult) {
  EXPECT_EQ(EvaluateBoth(DecoderBlock({.cache = false})).size(), 1u);
}

// A sequence in one call, or its first part and then the rest on top of the cache: the same rows.
TEST(HirDecoder, PrefillAndDecodeIsOneLongPrefill) {
  const Block whole = DecoderBlock({}, 5), first = DecoderBlock({}, 3);
  const Block rest = DecoderBlock({.past = 3}, 2);
  const TensorMap all = InputsOf(whole);
  const auto part = [](const HostTensor& x, int64_t from, int64_t count) {
    std::vector<double> values;
    for (int64_t b = 0; b < kBatches; ++b) {
      const Matrix rows = Rows(Slice(x, b), from, count);
      values.insert(values.end(), rows.at.begin(), rows.at.end());
    }
    return HostTensor::FromDoubles(x.dtype(), {kBatches, count, x.dims()[2]}, values);
  };
  const auto run = [](const Block& block, const TensorMap& inputs) {
    const auto graph = LowerBlock(block, FusionPolicy::kDirect);
    EXPECT_TRUE(graph.ok()) << Message(graph.status());
    const auto results = Evaluate(*graph, inputs);
    EXPECT_TRUE(results.ok()) << Message(results.status());
    return *results;
  };
  const auto want = run(whole, all);
  TensorMap inputs = all;
  inputs["x"] = part(all.at("x"), 0, 3);
  inputs["positions"] = HostTensor::FromInts(DType::kI64, {3}, {2, 3, 4});
  const auto prefill = run(first, inputs);
  inputs["x"] = part(all.at("x"), 3, 2);
  inputs["positions"] = HostTensor::FromInts(DType::kI64, {2}, {5, 6});
  inputs["past_k"] = prefill[1].ToHost();
  inputs["past_v"] = prefill[2].ToHost();
  const auto decode = run(rest, inputs);
  EXPECT_LT(MaxDifference(decode[1], want[1]), 1e-12);
  EXPECT_LT(MaxDifference(decode[2], want[2]), 1e-12);
  const EvalTensor last = EvalTensor::From(part(want[0].ToHost(), 3, 2));
  EXPECT_LT(MaxDifference(decode[0], last), 1e-12);
}

TEST(HirDecoder, SymbolicPastBindsLater) {
  const Decoder symbolic{.bias = true, .norms = true, .past = Dim::Symbol(kPastSeq)};
  for (FusionPolicy policy : {FusionPolicy::kDirect, FusionPolicy::kFusable}) {
    const auto graph = LowerBlock(DecoderBlock(symbolic, Dim::Symbol(kSeq)), policy);
    ASSERT_TRUE(graph.ok()) << Message(graph.status());
    EXPECT_EQ(graph->type(graph->outputs()[1].value).shape[1],
              Dim::Symbol(kPastSeq) + Dim::Symbol(kSeq));
    const DimBinding binding = {{std::string(kPastSeq), 3}, {std::string(kSeq), 2}};
    const auto bound = BindSymbols(*graph, binding);
    ASSERT_TRUE(bound.ok()) << Message(bound.status());
    const TensorMap inputs = BlockInputs(*bound);
    const auto got = Evaluate(*bound, inputs);
    ASSERT_TRUE(got.ok()) << Message(got.status());
    ExpectDecoder(*got, inputs, {.bias = true, .norms = true, .past = 3});
  }
}

// Queries of one group read the same keys: no head is repeated, whatever the variant.
TEST(HirDecoder, CopiesNoHeads) {
  const auto graph =
      LowerBlock(DecoderBlock({.bias = true, .norms = true, .past = 3}), FusionPolicy::kDirect);
  ASSERT_TRUE(graph.ok());
  EXPECT_EQ(CountOps(*graph, OpKind::kExpand), 0);
  EXPECT_EQ(CountOps(*graph, OpKind::kAttention), 1);
  for (const Node& node : graph->nodes()) {
    if (node.op != OpKind::kAttention) continue;
    EXPECT_EQ(graph->type(node.operands[1]).shape[2], Dim(kKvHeads * kHead));
  }
}

TEST(HirDecoder, SaysWhatIsWrong) {
  Block block = DecoderBlock({.past = 3});
  block.operands.pop_back();
  EXPECT_THAT(WhyNotBlock(block),
              HasSubstr("llama_decoder_block: has 14 operands where 15 are needed (x, ln1_g, q_w"));
  block = DecoderBlock({.past = 3});
  block.operands.back().second = F64({kBatches, 4, kKvHeads * kHead});
  EXPECT_THAT(WhyNotBlock(block), HasSubstr("past_v is f64[2,4,12] where f64[2,3,12] is needed"));
  block = DecoderBlock({.norms = true});
  block.operands[5].second = F64({kHead + 1});
  EXPECT_THAT(WhyNotBlock(block), HasSubstr("q_norm_g is f64[7] where f64[6] is needed"));
  block = DecoderBlock({.bias = true});
  block.operands[6].second.dtype = DType::kF32;
  EXPECT_THAT(WhyNotBlock(block), HasSubstr("k_b is f32 where x is f64"));
}

// ---- the multi-token-prediction head

Block HeadBlock(bool betas, Dim batch = kBatches, Dim seq = kTokens) {
  Block block{OpKind::kHirQwen35MtpHead,
              {{"h_pre_norm", F64({batch, seq, kWidth})},
               {"input_ids", {DType::kI64, {batch, seq}}},
               {"cos", F64({kTable, kRotary / 2})},
               {"sin", F64({kTable, kRotary / 2})},
               {"last_token_idx", {DType::kI32, {batch}}},
               {"embed_w", F64({kVocab, kWidth})}},
              {{"num_heads", kHeads},
               {"num_kv_heads", kKvHeads},
               {"head_dim", kHead},
               {"n_rot", kRotary},
               {"eps", kEps},
               {"norm_bias", betas}}};
  const auto add = [&](std::string name, Shape shape) {
    block.operands.push_back({std::move(name), F64(std::move(shape))});
  };
  const auto norm = [&](const std::string& name, int64_t width) {
    add(Cat(name, "_w"), {width});
    if (betas) add(Cat(name, "_b"), {width});
  };
  const int64_t q = kHeads * kHead, kv = kKvHeads * kHead;
  norm("hnorm", kWidth);
  norm("enorm", kWidth);
  add("eh_w", {2 * kWidth, kWidth});
  norm("attn_norm", kWidth);
  add("q_gate_w", {kWidth, 2 * q});
  add("k_w", {kWidth, kv});
  add("v_w", {kWidth, kv});
  norm("q_norm", kHead);
  norm("k_norm", kHead);
  add("o_w", {q, kWidth});
  norm("post_norm", kWidth);
  add("gate_w", {kWidth, kInner});
  add("up_w", {kWidth, kInner});
  add("down_w", {kInner, kWidth});
  norm("head_norm", kWidth);
  add("lm_head_w", {kWidth, kVocab});
  return block;
}

struct ExpectedHead {
  Matrix logits, hidden;
};

ExpectedHead ExpectedMtp(const TensorMap& in, int64_t batch, bool betas) {
  const auto load = [&](const std::string& name) { return Load(in, name); };
  const auto norm = [&](const Matrix& x, const std::string& name) {
    const Matrix scaled = Norm(x, load(Cat(name, "_w")), kEps, false);
    return betas ? scaled + load(Cat(name, "_b")) : scaled;
  };
  const Matrix h = Slice(in.at("h_pre_norm"), batch), embed = load("embed_w");
  Matrix e{0, kWidth, {}};
  for (int64_t t = 0; t < h.rows; ++t) {
    e = Below(e, Rows(embed, in.at("input_ids").ToInts()[batch * h.rows + t], 1));
  }
  const Matrix x = Beside(norm(e, "enorm"), norm(h, "hnorm")) * load("eh_w");
  const Matrix n = norm(x, "attn_norm");
  const Matrix joint = n * load("q_gate_w");
  Matrix gate{h.rows, 0, {}};
  const auto heads = [&](const Matrix& m, const std::string& name, int64_t stride) {
    Matrix out{m.rows, 0, {}};
    for (int64_t first = 0; first < m.columns; first += stride) {
      out = Beside(out, norm(Columns(m, first, kHead), name));
      if (stride > kHead) gate = Beside(gate, Columns(m, first + kHead, kHead));
    }
    return Rotate(out, kHead, load("cos"), load("sin"), 0);
  };
  const Matrix q = heads(joint, "q_norm", 2 * kHead), k = heads(n * load("k_w"), "k_norm", kHead);
  const auto causal = [](int64_t i, int64_t j) { return j <= i; };
  Matrix attended = Attend(q, k, n * load("v_w"), kHead, causal);
  for (size_t i = 0; i < attended.at.size(); ++i) attended.at[i] /= 1 + std::exp(-gate.at[i]);
  const Matrix y = x + attended * load("o_w");
  const Matrix m = norm(y, "post_norm");
  const Matrix z = y + Gated(m * load("up_w"), m * load("gate_w")) * load("down_w");
  const Matrix last = Rows(z, in.at("last_token_idx").ToInts()[batch], 1);
  return {norm(last, "head_norm") * load("lm_head_w"), z};
}

void ExpectHead(const std::vector<EvalTensor>& got, const TensorMap& in, bool betas) {
  ASSERT_EQ(got.size(), 2u);
  for (int64_t b = 0; b < kBatches; ++b) {
    const ExpectedHead want = ExpectedMtp(in, b, betas);
    ExpectNear(got[0], b, want.logits);
    ExpectNear(got[1], b, want.hidden);
  }
}

TEST(HirMtpHead, MatchesItsDefinition) {
  for (const bool betas : {false, true}) {
    const Block block = HeadBlock(betas);
    EXPECT_EQ(block.operands.size(), betas ? 29u : 22u);
    ExpectHead(EvaluateBoth(block), InputsOf(block), betas);
  }
}

TEST(HirMtpHead, SymbolsBindLater) {
  const Block block = HeadBlock(true, Dim::Symbol(kBatch), Dim::Symbol(kSeq));
  for (FusionPolicy policy : {FusionPolicy::kDirect, FusionPolicy::kFusable}) {
    const auto graph = LowerBlock(block, policy);
    ASSERT_TRUE(graph.ok()) << Message(graph.status());
    const auto bound =
        BindSymbols(*graph, {{std::string(kBatch), kBatches}, {std::string(kSeq), kTokens}});
    ASSERT_TRUE(bound.ok()) << Message(bound.status());
    const TensorMap inputs = BlockInputs(*bound);
    const auto got = Evaluate(*bound, inputs);
    ASSERT_TRUE(got.ok()) << Message(got.status());
    ExpectHead(*got, inputs, true);
  }
}

// A row beyond the sequence is the next batch element's first, and one before it the last of the
// one before.
TEST(HirMtpHead, TheLastTokenIsOneOfItsOwnRow) {
  const auto graph = LowerBlock(HeadBlock(false), FusionPolicy::kDirect);
  ASSERT_TRUE(graph.ok()) << Message(graph.status());
  TensorMap inputs = BlockInputs(*graph);
  for (const auto& [last, bad] : std::vector<std::pair<std::vector<int64_t>, int64_t>>{
           {{kTokens, 0}, kTokens}, {{kTokens - 1, -1}, -1}}) {
    inputs["last_token_idx"] = HostTensor::FromInts(DType::kI32, {kBatches}, last);
    const auto got = Evaluate(*graph, inputs);
    EXPECT_TRUE(absl::IsInvalidArgument(got.status())) << got.status();
    EXPECT_THAT(Message(got.status()), HasSubstr(Cat("qwen35_mtp_head last_token_idx index ", bad,
                                                     " is outside extent ", kTokens)));
  }
}

TEST(HirMtpHead, SaysWhatIsWrong) {
  Block block = HeadBlock(true);
  block.operands.pop_back();
  EXPECT_THAT(WhyNotBlock(block),
              HasSubstr("qwen35_mtp_head: has 28 operands where 29 are needed (h_pre_norm"));
  block = HeadBlock(false);
  block.operands[4].second.dtype = DType::kF64;
  EXPECT_THAT(WhyNotBlock(block), HasSubstr("last_token_idx is f64 where i32 or i64 is needed"));
  block = HeadBlock(false);
  block.operands[8].second = F64({kWidth, kWidth});
  EXPECT_THAT(WhyNotBlock(block), HasSubstr("eh_w is f64[10,10] where f64[20,10] is needed"));
}

}  // namespace
}  // namespace rlx
