// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/ir/graph.h"

// Modules in the shape of well-known networks, without their weights: what benches and tests
// compile. A block a layer, so that what is measured is the way from HIR down.
namespace rlx::models {

// Extents of a module's batch and sequence: constants, or symbols with a range.
struct Extents {
  Dim batch = 1, seq = 128;
  // `batch` in [1, max_batch] and `seq` in [1, max_seq].
  static Extents Symbolic() { return {Dim::Symbol(kBatch), Dim::Symbol(kSeq)}; }
  int64_t max_batch = 8, max_seq = 2048;  // and of what is cached
};

struct DecoderShape {
  int64_t layers, hidden, heads, kv_heads, head_dim, inner, vocab;
  DType dtype = DType::kF32;
  bool qkv_bias = false;  // as in Qwen 2
  bool qk_norm = false;   // as in Qwen 3
};
inline constexpr DecoderShape kLlama8B{32, 4096, 32, 8, 128, 14336, 128256, DType::kBF16};
inline constexpr DecoderShape kLlama70B{80, 8192, 64, 8, 128, 28672, 128256, DType::kBF16};
inline constexpr DecoderShape kQwen2{28, 3584, 28, 4, 128, 18944, 152064, DType::kBF16, true};
inline constexpr DecoderShape kQwen3{36,    4096,   32,           8,     128,
                                     12288, 151936, DType::kBF16, false, true};

// What a decoder does with keys and values: nothing, hand them out, or read those of earlier calls
// (inputs past_k.N and past_v.N, [batch, past_seq, kv width]) and hand out all (outputs k.N, v.N).
enum class Cache { kNone, kStart, kAppend };

// Inputs ids i64 [batch, seq], positions i64 [seq], cos and sin [context, head_dim/2]; output
// logits [batch, seq, vocab].
Module Decoder(const DecoderShape& shape, const Extents& extents, FusionPolicy policy,
               Cache cache = Cache::kNone);

struct HybridShape {
  int64_t layers, hidden, heads, kv_heads, head_dim, n_rot, inner, vocab;
  int64_t delta_heads, delta_dim, taps = 4;  // of the layers that recur
  DType dtype = DType::kF32;
};

// Qwen 3.5's shape: three layers of gated delta networks to one of attention (without its gate),
// and the head that predicts a token more. Inputs ids and next_ids i64 [batch, seq], cos and sin
// [max_seq, n_rot/2], last_token_idx i64 [batch]; outputs logits [batch, seq, vocab] and
// next_logits [batch, 1, vocab].
Module Qwen35(const HybridShape& shape, const Extents& extents, FusionPolicy policy);

struct EncoderShape {
  int64_t layers = 12, hidden = 768, heads = 12, inner = 3072, vocab = 30522, positions = 512;
};

// Inputs ids i64 and keep bool, both [batch, seq]; output hidden [batch, seq, hidden].
Module Bert(const EncoderShape& shape, const Extents& extents, FusionPolicy policy);

// Input x [batch, widths[0]]; a linear layer with gelu from each width to the next; output y.
Module Mlp(const std::vector<int64_t>& widths, const Extents& extents, FusionPolicy policy);

// ResNet-50's shape: input image [batch, 3, size, size], batch norms unfolded; output logits
// [batch, 1000].
Module ResNet(int64_t size, const Extents& extents, FusionPolicy policy);

struct ZooEntry {
  std::string name;
  std::function<Module(FusionPolicy)> make;
};
// Every network at sizes that plan: static, and with symbolic batch and sequence.
std::vector<ZooEntry> Zoo();

}  // namespace rlx::models
