// SPDX-License-Identifier: Apache-2.0
// What both ways through packed weights (dequant_gemm.cc, dequant_few_rows.cc) share.
#pragma once

#include "backends/cpu/math/decode_task.h"
#include "backends/cpu/math/dequant_gemm.h"

namespace rlx::cpu {

// Bytes of packed weights that a thread claims at a time, where they are claimed in small pieces.
inline constexpr int64_t kClaimBytes = 32 << 10;

// The kernels' name of a scheme of blocks.
BlockForm FormOf(QuantScheme scheme);

inline bool IsNibbles(const DequantGemm& g) { return g.w.scheme == QuantScheme::kInt4; }
// Bytes of a row: [k, n] codes have k of them, [n, blocks] n.
inline int64_t CodeRowBytes(const DequantGemm& g) { return IsNibbles(g) ? g.n / 2 : g.n; }
inline int64_t BlockRowBytes(const DequantGemm& g) {
  const QuantSchemeInfo& info = Info(g.w.scheme);
  return g.k / info.block_elements * info.block_bytes;
}

// Row `group` of the scales or zero points, `count` columns from `begin` on: as they lie where they
// are floats, else read into `out`.
inline const float* NumbersOf(const void* from, decltype(QuantWeights::read_scale) read, int64_t at,
                              int64_t count, float* out) {
  if (from == nullptr) return nullptr;
  if (read == nullptr) return static_cast<const float*>(from) + at;
  read(from, at, count, out);
  return out;
}

}  // namespace rlx::cpu
