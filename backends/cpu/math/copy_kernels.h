// SPDX-License-Identifier: Apache-2.0
// Copying of long runs over a SIMD wrapper V; instantiated in copy_kernels_<isa>.cc.
//
// Stores are aligned, whatever the addresses are. Both sides are fetched ahead by hand: hardware
// stops at the end of every page, and each page of 4 KiB then begins with a miss of the TLB and of
// the cache, one after the other.
#pragma once

#include <cstddef>

#include "backends/cpu/math/copy_task.h"
#include "backends/cpu/math/simd_common.h"

namespace rlx::cpu {

inline constexpr int64_t kCopyAhead = 2048;  // bytes
inline constexpr int64_t kCopyLine = 64;

[[gnu::always_inline]] inline void FetchForCopy(const char* from, const char* to, int64_t begin,
                                                int64_t end) {
  for (int64_t at = begin; at < end; at += kCopyLine) {
    __builtin_prefetch(from + at, 0, 3);
    __builtin_prefetch(to + at, 1, 3);
  }
}

// Four vectors, loaded before any of them is stored.
template <class V>
[[gnu::always_inline]] inline void CopyFour(const char* from, char* to) {
  const float* in = reinterpret_cast<const float*>(from);
  float* out = reinterpret_cast<float*>(to);
  typename V::F x[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) x[i] = V::Load(in + i * V::kLanes);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) V::Store(out + i * V::kLanes, x[i]);
}

template <class V>
void CopyRun(const CopyTask& t) {
  constexpr int64_t kVector = V::kLanes * static_cast<int64_t>(sizeof(float)), kStep = 4 * kVector;
  if (t.bytes < 2 * kStep) {
    __builtin_memcpy(t.to, t.from, static_cast<size_t>(t.bytes));
    return;
  }
  FetchForCopy(t.from, t.to, 0, Least(kCopyAhead, t.bytes));
  // The first and the last few vectors stand where they stand; those between overlap them.
  CopyFour<V>(t.from, t.to);
  int64_t at = kVector - static_cast<int64_t>(reinterpret_cast<uintptr_t>(t.to) % kVector);
  for (; at + kStep <= t.bytes; at += kStep) {
    const int64_t ahead = at + kCopyAhead;
    FetchForCopy(t.from, t.to, ahead, Least(ahead + kStep, t.bytes));
    CopyFour<V>(t.from + at, t.to + at);
  }
  CopyFour<V>(t.from + t.bytes - kStep, t.to + t.bytes - kStep);
}

}  // namespace rlx::cpu
