// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/lowering/attention_source.h"

#include "backends/cuda/launch_notes.h"
#include "backends/cuda/lowering/source_text.h"

namespace rlx::cuda {
namespace {

constexpr int64_t kQueriesOfAWarp = 16;
constexpr int64_t kEnoughGroups = 48;
constexpr int64_t kProcessors = 132;  // of a large part

// Of 16-bit floats as their bits, two in a register; lane l of a warp has, of a 16 x 8 tile of
// scores or results, the columns 2(l mod 4) and the next of rows l / 4 and l / 4 + 8.
constexpr std::string_view kF16 = R"(
__device__ __forceinline__ unsigned Pack(float low, float high) {
  unsigned out;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  return out;
}
__device__ __forceinline__ void Multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0,
                                         unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
)";

constexpr std::string_view kBF16 = R"(
__device__ __forceinline__ unsigned Pack(float low, float high) {
  unsigned out;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  return out;
}
__device__ __forceinline__ void Multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0,
                                         unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
)";

constexpr std::string_view kHelpers = R"(
constexpr int kRows = 16 * kWarps, kTile = 64, kLanes = 32 * kWarps;
constexpr int kQkSteps = (kHeadDim + 15) / 16, kValueSteps = (kValueDim + 15) / 16;
// Rows in shared memory: eight more, so that rows of one column lie in different banks.
constexpr int kQkRow = 16 * kQkSteps + 8, kValueRow = 16 * kValueSteps + 8;
constexpr int kTileElements = kTile * (kQkRow + kValueRow);
// Two tiles of keys and values, so that one arrives while the other is used, where they fit.
constexpr int kStages = 2 * 2 * kTileElements <= 47 * 1024 ? 2 : 1;
constexpr float kLog2e = 1.44269504f;
// Queries have memory of their own where it is there to be had; else they borrow a tile's.
constexpr bool kOwnQueries =
    kStages == 2 && 2 * (2 * kTileElements + kRows * kQkRow) <= 47 * 1024;
// Where nothing stands between a score and its exponential, their difference from the highest is
// scaled on the way there.
constexpr bool kPlain = kSoftcap == 0 && (!kMasked || kKeep) && kScale > 0;
constexpr float kFactor = kPlain ? kScale * kLog2e : 1.0f;
// A mask of keys, the same for every query, is read once a tile; so is where the keys end.
constexpr bool kKeepsKeys = kMasked && kKeep && kMaskQuery == 0;
constexpr bool kColumns = kKeepsKeys || kKeys % kTile != 0;
static_assert(2 * kTileElements <= 47 * 1024 && kRows <= kTile, "queries borrow a tile of keys");

__device__ __forceinline__ unsigned Address(const Half* shared) {
  return (unsigned)__cvta_generic_to_shared(shared);
}
__device__ __forceinline__ void Load4(unsigned (&r)[4], const Half* shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(Address(shared)));
}
__device__ __forceinline__ void Load4Transposed(unsigned (&r)[4], const Half* shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(Address(shared)));
}
__device__ __forceinline__ void Commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kLeft>
__device__ __forceinline__ void Await() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

// Rows first .. first + kCount - 1 of one head into shared memory; zeros where there are none.
template <int kCount, int kWidth, int kSteps>
__device__ __forceinline__ void Fetch(Half* to, const Half* from, long long stride, int first,
                                      int rows) {
  constexpr int kChunks = 2 * kSteps, kRow = 16 * kSteps + 8;
  if (kWidth % 8 == 0 && stride % 8 == 0 && (unsigned long long)from % 16 == 0) {
    for (int i = threadIdx.x; i < kCount * kChunks; i += kLanes) {
      const int row = i / kChunks, column = i % kChunks * 8;
      const bool inside = first + row < rows && column < kWidth;
      const Half* source = inside ? from + (first + row) * stride + column : from;
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                       Address(to + row * kRow + column)),
                   "l"(source), "r"(inside ? 16 : 0)
                   : "memory");
    }
    return;
  }
  for (int i = threadIdx.x; i < kCount * 16 * kSteps; i += kLanes) {
    const int row = i / (16 * kSteps), column = i % (16 * kSteps);
    const bool inside = first + row < rows && column < kWidth;
    to[row * kRow + column] = inside ? from[(first + row) * stride + column] : (Half)0;
  }
}

__device__ __forceinline__ float Exp2(float v) {
  float out;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(v));
  return out;
}
__device__ __forceinline__ float Never() { return __uint_as_float(0xff800000u); }  // -infinity

// Over the four lanes that share a row.
__device__ __forceinline__ float MaxOfRow(float v) {
  v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 1));
  return fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 2));
}
__device__ __forceinline__ float SumOfRow(float v) {
  v += __shfl_xor_sync(0xffffffffu, v, 1);
  return v + __shfl_xor_sync(0xffffffffu, v, 2);
}
)";

constexpr std::string_view kBody = R"(
  __shared__ __align__(16) Half memory[kStages * kTileElements + kOwnQueries * kRows * kQkRow];
  __shared__ unsigned seen[kStages][kTile / 32];  // a bit a key: whether any query sees it
  if (kOneRound) LetFollow();
  AwaitBefore();
  const int block = (int)(blockIdx.x % kBlocks), warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const long long head = blockIdx.x / kBlocks % kHeads, batch = blockIdx.x / kBlocks / kHeads;
  const long long kv_head = head / (kHeads / kKvHeads);
  const int row0 = block * kRows;  // of the workgroup
  q += batch * kQBatch + head * kQHead;
  k += batch * kKBatch + kv_head * kKHead;
  v += batch * kVBatch + kv_head * kVHead;
  out += batch * kOutBatch + head * kOutHead;

  // Tiles that any query here sees.
  constexpr int kShift = kKeys - kQueries;
  int first = 0, end = (kKeys + kTile - 1) / kTile;
  if (kCausal) {
    const int last_key = min(row0 + kRows, kQueries) - 1 + kShift;
    end = last_key < 0 ? 0 : min(end, last_key / kTile + 1);
    if (kWindow >= 0) first = max(0, row0 + kShift - kWindow) / kTile;
  }
  const auto stage_of = [&](int tile) { return kStages == 2 ? (tile - first) % 2 : 0; };
  const auto fetch = [&](int tile) {
    Half* const to = memory + stage_of(tile) * kTileElements;
    Fetch<kTile, kHeadDim, kQkSteps>(to, k, kKRow, tile * kTile, kKeys);
    Fetch<kTile, kValueDim, kValueSteps>(to + kTile * kQkRow, v, kVRow, tile * kTile, kKeys);
    Commit();
  };
  // Which keys of a tile are seen: asked for first, written down when the answer is there.
  constexpr int kAsks = (kTile + kLanes - 1) / kLanes;
  struct Answer { bool sees[kAsks]; };
  const auto ask = [&](int tile) {
    Answer answer;
#pragma unroll
    for (int a = 0; a < kAsks; ++a) {
      const int c = threadIdx.x + a * kLanes, j = tile * kTile + c;
      bool sees = c < kTile && j < kKeys;
      if (kKeepsKeys && sees) {
        sees = mask[batch * kMaskBatch + head * kMaskHead + j * kMaskKey] != 0;
      }
      answer.sees[a] = sees;
    }
    return answer;
  };
  const auto note = [&](int tile, const Answer& answer) {
#pragma unroll
    for (int a = 0; kColumns && a < kAsks; ++a) {
      const int c = threadIdx.x + a * kLanes;
      const unsigned bits = __ballot_sync(0xffffffffu, answer.sees[a]);
      if (lane == 0 && c < kTile) seen[stage_of(tile)][c / 32] = bits;
    }
  };

  // Queries by way of a tile's memory that is not in use yet, where they have none.
  Half* const staged = memory + (kOwnQueries ? kStages : kStages - 1) * kTileElements;
  Fetch<kRows, kHeadDim, kQkSteps>(staged, q, kQRow, row0, kQueries);
  if (kStages == 1 || first >= end) Commit();
  if (kStages == 2 && first < end) fetch(first);
  if (kOwnQueries && first + 1 < end) {
    fetch(first + 1);
    const Answer one = ask(first), other = ask(first + 1);
    note(first, one);
    note(first + 1, other);
    Await<1>();
  } else {
    if (first < end) note(first, ask(first));
    Await<0>();
  }
  __syncthreads();
  unsigned queries[kQkSteps][4];
#pragma unroll
  for (int s = 0; s < kQkSteps; ++s) {
    Load4(queries[s], staged + (16 * warp + lane % 16) * kQkRow + 16 * s + lane / 16 * 8);
  }
  if (!kOwnQueries) {
    __syncthreads();
    if (kStages == 1 && first < end) fetch(first);
    if (kStages == 2 && first + 1 < end) {
      fetch(first + 1);
      note(first + 1, ask(first + 1));
    }
  }

  float sums[2 * kValueSteps][4] = {};
  float top[2] = {Never(), Never()}, total[2] = {0, 0};
  const int row = row0 + 16 * warp + lane / 4;  // and row + 8
  for (int tile = first; tile < end; ++tile) {
    if (kStages == 2 && tile + 1 < end) {
      Await<1>();
    } else {
      Await<0>();
    }
    __syncthreads();
    const Answer answer = ask(tile + kStages);
    const Half* const keys = memory + stage_of(tile) * kTileElements;
    const Half* const values = keys + kTile * kQkRow;

    float scores[kTile / 8][4] = {};
#pragma unroll
    for (int n = 0; n < kTile / 16; ++n) {
#pragma unroll
      for (int s = 0; s < kQkSteps; ++s) {
        unsigned r[4];
        Load4(r, keys + (16 * n + lane % 8 + lane / 16 * 8) * kQkRow + 16 * s + lane / 8 % 2 * 8);
        Multiply(scores[2 * n], queries[s], r[0], r[1]);
        Multiply(scores[2 * n + 1], queries[s], r[2], r[3]);
      }
    }

    // Scale, cap, mask; then, times kFactor, in units of which Exp2 is the exponential.
    float highest[2] = {Never(), Never()};
    unsigned bits[kTile / 32];
    bool all_seen = true;
#pragma unroll
    for (int w = 0; w < kTile / 32; ++w) {
      bits[w] = kColumns ? seen[stage_of(tile)][w] : 0xffffffffu;
      all_seen &= bits[w] == 0xffffffffu;
      bits[w] >>= lane % 4 * 2;
    }
    if (!kPlain || kCausal || (kMasked && !kKeepsKeys) || !all_seen) {
#pragma unroll
      for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int i = row + e / 2 * 8, j = tile * kTile + 8 * n + lane % 4 * 2 + e % 2;
          float score = kPlain ? scores[n][e] : scores[n][e] * kScale;
          if (kSoftcap > 0) score = kSoftcap * tanhf(score / kSoftcap);
          bool sees = (bits[n / 4] >> (n % 4 * 8 + e % 2) & 1) != 0;
          if (kCausal) sees &= j <= i + kShift && (kWindow < 0 || i + kShift - j <= kWindow);
          if (kMasked && !kKeepsKeys && sees && (kMaskQuery == 0 || i < kQueries)) {
            const long long at =
                batch * kMaskBatch + head * kMaskHead + i * kMaskQuery + j * kMaskKey;
            if (kKeep) {
              sees = mask[at] != 0;
            } else {
              score += Widen((Half)mask[at]);
            }
          }
          scores[n][e] = !sees ? Never() : kPlain ? score : score * kLog2e;
        }
      }
    }
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) highest[e / 2] = fmaxf(highest[e / 2], scores[n][e]);
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      highest[h] = fmaxf(top[h], MaxOfRow(highest[h]));
      const float base = highest[h] == Never() ? 0 : highest[h] * kFactor;
      const float fade = Exp2(fmaf(top[h], kFactor, -base));
      top[h] = highest[h];
      total[h] *= fade;
#pragma unroll
      for (int n = 0; n < 2 * kValueSteps; ++n) {
        sums[n][2 * h] *= fade;
        sums[n][2 * h + 1] *= fade;
      }
#pragma unroll
      for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
        for (int e = 2 * h; e < 2 * h + 2; ++e) {
          scores[n][e] = Exp2(fmaf(scores[n][e], kFactor, -base));
          total[h] += scores[n][e];
        }
      }
    }

#pragma unroll
    for (int m = 0; m < kTile / 16; ++m) {
      const unsigned weights[4] = {Pack(scores[2 * m][0], scores[2 * m][1]),
                                   Pack(scores[2 * m][2], scores[2 * m][3]),
                                   Pack(scores[2 * m + 1][0], scores[2 * m + 1][1]),
                                   Pack(scores[2 * m + 1][2], scores[2 * m + 1][3])};
#pragma unroll
      for (int n = 0; n < kValueSteps; ++n) {
        unsigned r[4];
        Load4Transposed(r, values + (16 * m + lane % 16) * kValueRow + 16 * n + lane / 16 * 8);
        Multiply(sums[2 * n], weights, r[0], r[1]);
        Multiply(sums[2 * n + 1], weights, r[2], r[3]);
      }
    }
    __syncthreads();
    if (tile + kStages < end) {
      fetch(tile + kStages);
      note(tile + kStages, answer);
    }
  }

#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int i = row + 8 * h;
    const float sum = SumOfRow(total[h]);
    const float share = sum == 0 ? 0 : 1 / sum;  // a row that sees nothing is 0
    if (i >= kQueries) continue;
    Half* const to = out + i * kOutRow;
#pragma unroll
    for (int n = 0; n < 2 * kValueSteps; ++n) {
      const int column = 8 * n + lane % 4 * 2;
      const float low = sums[n][2 * h] * share, high = sums[n][2 * h + 1] * share;
      if (kValueDim % 2 == 0 && kOutRow % 2 == 0) {
        if (column < kValueDim) *(unsigned*)(to + column) = Pack(low, high);
      } else {
        if (column < kValueDim) to[column] = Narrow(low);
        if (column + 1 < kValueDim) to[column + 1] = Narrow(high);
      }
    }
  }
}
}  // namespace
)";

std::string Constant(std::string_view type, std::string_view name, auto value) {
  return Cat("constexpr ", type, " ", name, " = ", value, ";\n");
}

std::string Constants(const AttentionShape& s) {
  using Mask = AttentionShape::Mask;
  std::string out;
  const auto strides = [&](std::string_view name, const AttentionShape::Strides& of) {
    out += Constant("long long", Cat("k", name, "Batch"), of.batch);
    out += Constant("long long", Cat("k", name, "Head"), of.head);
    out += Constant("long long", Cat("k", name, "Row"), of.row);
  };
  const int64_t rows = kQueriesOfAWarp * s.Warps();
  out += Constant("int", "kWarps", s.Warps());
  out += Constant("int", "kBlocks", (s.queries + rows - 1) / rows);
  out += Constant("int", "kHeads", s.heads);
  out += Constant("int", "kKvHeads", s.kv_heads);
  out += Constant("int", "kQueries", s.queries);
  out += Constant("int", "kKeys", s.keys);
  out += Constant("int", "kHeadDim", s.head_dim);
  out += Constant("int", "kValueDim", s.value_dim);
  out += Constant("int", "kWindow", s.window);
  out += BoolConstant("kOneRound", s.Groups() <= kProcessors);
  out += BoolConstant("kCausal", s.causal);
  out += BoolConstant("kMasked", s.mask != Mask::kNone);
  out += BoolConstant("kKeep", s.mask == Mask::kKeep);
  out += Constant("float", "kScale", FloatText(s.scale));
  out += Constant("float", "kSoftcap", FloatText(s.softcap));
  strides("Q", s.q);
  strides("K", s.k);
  strides("V", s.v);
  strides("Out", s.out);
  out += Constant("long long", "kMaskBatch", s.mask_strides.batch);
  out += Constant("long long", "kMaskHead", s.mask_strides.head);
  out += Constant("long long", "kMaskQuery", s.mask_strides.query);
  out += Constant("long long", "kMaskKey", s.mask_strides.key);
  return out;
}

std::string Signature(const AttentionShape& s) {
  using Mask = AttentionShape::Mask;
  const std::string_view type = s.mask == Mask::kKeep ? "unsigned char" : "Half";
  const std::string mask = Cat("const ", type, "* mask");
  return Cat(
      "extern \"C\" __global__ void __launch_bounds__(kLanes) $k(const Half* q, const Half* k, "
      "const Half* v, ",
      s.mask == Mask::kNone ? "" : Cat(mask, ", "), "Half* out) {\n",
      s.mask == Mask::kNone ? "  const Half* const mask = nullptr;\n" : "");
}

}  // namespace

int AttentionShape::Warps() const {
  const auto groups = [&](int64_t warps) {
    return batch * heads * ((queries + kQueriesOfAWarp * warps - 1) / (kQueriesOfAWarp * warps));
  };
  int warps = 4;
  while (warps > 1 && groups(warps) < kEnoughGroups) warps /= 2;
  return warps;
}

int64_t AttentionShape::Groups() const {
  const int64_t rows = kQueriesOfAWarp * Warps();
  return batch * heads * ((queries + rows - 1) / rows);
}

std::string AttentionSource(const AttentionShape& shape) {
  const std::string_view words = shape.dtype == DType::kBF16 ? kBF16 : kF16;
  return Cat(NotesText({.waits = true}), "namespace $k_space {\n", Constants(shape),
             HalfWords(shape.dtype), kFollowing, words, kHelpers, Signature(shape), kBody);
}

}  // namespace rlx::cuda
