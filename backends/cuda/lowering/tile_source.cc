// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/lowering/tile_source.h"

#include "backends/cuda/launch_notes.h"
#include "backends/cuda/lowering/rows_source.h"
#include "backends/cuda/lowering/source_text.h"

namespace rlx::cuda {
namespace {

constexpr std::string_view kHelpers = R"(
struct __align__(64) Map { unsigned long long words[16]; };
__device__ __forceinline__ unsigned Address(const void* shared) {
  return (unsigned)__cvta_generic_to_shared(shared);
}
__device__ __forceinline__ void Init(unsigned barrier, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}
__device__ __forceinline__ void Expect(unsigned barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void Arrive(unsigned barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
__device__ __forceinline__ void Await(unsigned barrier, unsigned parity) {
  unsigned done = 0;
  while (done == 0) {
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
  }
}
__device__ __forceinline__ void FetchRows(unsigned to, const Map& map, int column, int row,
                                          unsigned barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3}], [%4];" ::"r"(to),
      "l"(&map), "r"(column), "r"(row), "r"(barrier)
      : "memory");
}
__device__ __forceinline__ void FetchStrips(unsigned to, const Map& map, int row, int strip,
                                            unsigned barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3, %4}], [%5];" ::"r"(to),
      "l"(&map), "r"(0), "r"(row), "r"(strip), "r"(barrier)
      : "memory");
}
__device__ __forceinline__ void BeginProducts() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void CommitProducts() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kLeft>
__device__ __forceinline__ void AwaitProducts() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
}
)";

// A tile of x lies in shared memory as rows of 64 features, 128 bytes with their 16-byte pieces
// permuted within every 1024 bytes; one of w as strips of kStrip columns, k rows of them each.
constexpr std::string_view kBody = R"(
constexpr int kRows = 64 * kGroups;
constexpr int kXBytes = kRows * 128, kWBytes = kColumns * 128, kStageBytes = kXBytes + kWBytes;
constexpr int kSteps = (kK + 63) / 64, kRowTiles = (kM + kRows - 1) / kRows;
constexpr int kTiles = kRowTiles * ((kN + kColumns - 1) / kColumns);
constexpr unsigned long long kXForm = 1ull << 62 | (1024ull >> 4) << 32 | 1ull << 16;
constexpr unsigned long long kWForm = (kStrip == 64 ? 1ull : 2ull) << 62 |
                                      (kStrip * 16ull >> 4) << 32 | (kStrip * 128ull >> 4) << 16;
constexpr int kWStep = kStrip * 32 >> 4;  // 16 rows of a strip

// acc = x · w + acc over 64 features, or without acc.
__device__ __forceinline__ void Multiply(float (&acc)[kColumns / 2], unsigned x, unsigned w,
                                         bool first) {
  const unsigned long long a = kXForm | (x & 0x3ffff) >> 4, b = kWForm | (w & 0x3ffff) >> 4;
#pragma unroll
  for (int s = 0; s < 4; ++s) Mma(acc, a + 2 * s, b + kWStep * s, !(first && s == 0));
}

extern "C" __global__ void $cluster__launch_bounds__(kLanes, kResident)
$k(const __grid_constant__ Map x_map, const __grid_constant__ Map w_map,
   const Half*, const Half*, $parametersHalf* y) {
$absent  extern __shared__ unsigned char raw[];
  __shared__ __align__(8) unsigned long long full[kStages], empty[kStages];
  __shared__ float2 biases[2][kGroups][kColumns / 2];
  unsigned char* const memory =
      (unsigned char*)(((unsigned long long)raw + 1023) & ~1023ull);
  const unsigned stages = Address(memory), full0 = Address(full), empty0 = Address(empty);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int rank = kSplit == 1 ? 0 : (int)(blockIdx.x % kSplit), tile0 = blockIdx.x / kSplit;
  // Row tiles of one column tile one after the other: its part of w stays near.
  const auto row_of = [](int tile) { return tile % kRowTiles * kRows; };
  const auto column_of = [](int tile) { return tile / kRowTiles * kColumns; };
  const int begin = kSteps * rank / kSplit, end = kSteps * (rank + 1) / kSplit;
  if (threadIdx.x == 128 * kGroups) {
    for (int s = 0; s < kStages; ++s) {
      Init(full0 + 8 * s, 1);
      Init(empty0 + 8 * s, kGroups);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  if (kLetsFollow) LetFollow();

  if (warp == 4 * kGroups) {
    if (lane == 0) {
      const auto fetch_w = [&](int tile, int i, int s) {
        Expect(full0 + 8 * s, kStageBytes);
        FetchStrips(stages + s * kStageBytes + kXBytes, w_map, 64 * i, column_of(tile) / kStrip,
                    full0 + 8 * s);
      };
      if (!kFixed) AwaitBefore();
      int ahead = min(kStages, end - begin);
      for (int s = 0; s < ahead; ++s) fetch_w(tile0, begin + s, s);
      if (kFixed) AwaitBefore();
      int s = 0;
      unsigned parity = 1;  // of the round before the first, which counts as over
      for (int tile = tile0; tile < kTiles; tile += kStride) {
        for (int i = begin; i < end; ++i) {
          if (ahead > 0) {
            --ahead;
          } else {
            Await(empty0 + 8 * s, parity);
            fetch_w(tile, i, s);
          }
          FetchRows(stages + s * kStageBytes, x_map, 64 * i, row_of(tile), full0 + 8 * s);
          if (++s == kStages) {
            s = 0;
            parity ^= 1;
          }
        }
      }
    }
    __syncwarp();
    if (kSplit > 1) {
      MeetCluster();
      MeetCluster();
    }
    return;
  }

  const int group = warp / 4;
  int stage = 0, before = 0, turn = 0;
  unsigned parity = 0;
  if (!kFixed) AwaitBefore();
#pragma unroll 1
  for (int tile = tile0; tile < kTiles; tile += kStride, turn ^= 1) {
    const int row0 = row_of(tile), column0 = column_of(tile);
    float2* const more = biases[turn][group];
    for (int c = threadIdx.x % 128; kBias && c < kColumns; c += 128) {
      ((float*)more)[c] = column0 + c < kN ? Widen(bias[column0 + c]) : 0.0f;
    }
    if (kFixed && tile == tile0) AwaitBefore();
    float acc[kColumns / 2] = {};
#pragma unroll 1
    for (int i = begin; i < end; ++i) {
      Await(full0 + 8 * stage, parity);
      const unsigned x = stages + stage * kStageBytes + group * 8192;
      const unsigned w = stages + stage * kStageBytes + kXBytes;
      BeginProducts();
      Multiply(acc, x, w, i == begin);
      CommitProducts();
      AwaitProducts<1>();
      if (i > begin && threadIdx.x % 128 == 0) Arrive(empty0 + 8 * before);
      before = stage;
      if (++stage == kStages) {
        stage = 0;
        parity ^= 1;
      }
    }
    AwaitProducts<0>();
    if (threadIdx.x % 128 == 0) Arrive(empty0 + 8 * before);
$finish  }
}
}  // namespace
)";

// The warpgroup's tile through shared memory that only it has read, so that a row leaves in 16-byte
// pieces. Lane l holds the columns 2(l mod 4) and the next of every 8, rows l / 4 and l / 4 + 8.
constexpr std::string_view kFinishWhole = R"(
  constexpr int kPart = kStrip, kPitch = 2 * kPart + 16, kPieces = kPart / 8;
  static_assert(kOneRound ? 2 * 16 * kPitch <= 8192 && kStages >= 2 : kPitch <= kOutPitch,
                "two warps share a stage's rows, or each has memory of its own");
  unsigned char* const own =
      kOneRound ? memory + warp % 4 / 2 * kStageBytes + group * 8192 + warp % 2 * 16 * kPitch
                : memory + kStages * kStageBytes + warp * 16 * kPitch;
  const int own_row = row0 + 64 * group + 16 * (warp % 4);
  asm volatile("bar.sync %0, 128;" ::"r"(1 + group) : "memory");
#pragma unroll
  for (int part = 0; part < kColumns / kPart; ++part) {
    float2 shift[kPart / 8];
#pragma unroll
    for (int j = 0; j < kPart / 8; ++j) {
      shift[j] = kBias ? more[kPart / 2 * part + 4 * j + lane % 4] : float2{0, 0};
    }
    unsigned out[kPart / 8][2];
#pragma unroll
    for (int j = 0; j < kPart / 8; ++j) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const float* const v = acc + 4 * (kPart / 8 * part + j) + 2 * h;
        float low = Activate(v[0] + shift[j].x), high = Activate(v[1] + shift[j].y);
        const int row = own_row + lane / 4 + 8 * h;
        const int column = column0 + kPart * part + 8 * j + 2 * (lane % 4);
        if (kResidual && row < kM && column < kN) {
          const unsigned both = *(const unsigned*)(residual + (long long)row * kN + column);
          low += Widen((Half)both);
          high += Widen((Half)(both >> 16));
        }
        out[j][h] = Pair(low, high);
      }
    }
#pragma unroll
    for (int j = 0; j < kPart / 8; ++j) {
      unsigned char* const to = own + lane / 4 * kPitch + 16 * j + 4 * (lane % 4);
      *(unsigned*)to = out[j][0];
      *(unsigned*)(to + 8 * kPitch) = out[j][1];
    }
    __syncwarp();
#pragma unroll
    for (int piece = lane; piece < 16 * kPieces; piece += 32) {
      const int line = piece / kPieces, row = own_row + line;
      const int column = column0 + kPart * part + 8 * (piece % kPieces);
      if (row < kM && column < kN) {
        *(uint4*)(y + (long long)row * kN + column) =
            *(const uint4*)(own + line * kPitch + 16 * (piece % kPieces));
      }
    }
    __syncwarp();
  }
)";

// The cluster's partial sums, always in the order of its ranks; each workgroup finishes some rows.
constexpr std::string_view kFinishSplit = R"(
  constexpr int kPitch = kColumns + 4, kMine = 64 / kSplit, kFours = kColumns / 4;
  static_assert(64 * kPitch * 4 <= kStages * kStageBytes && kGroups == 1 && kOneRound,
                "a tile of sums fits");
  float* const sums = (float*)memory;
  asm volatile("bar.sync 1, 128;" ::: "memory");
#pragma unroll
  for (int j = 0; j < kColumns / 8; ++j) {
    float* const to = sums + (16 * warp + lane / 4) * kPitch + 8 * j + 2 * (lane % 4);
    *(float2*)to = make_float2(acc[4 * j], acc[4 * j + 1]);
    *(float2*)(to + 8 * kPitch) = make_float2(acc[4 * j + 2], acc[4 * j + 3]);
  }
  MeetCluster();
#pragma unroll
  for (int four = threadIdx.x; four < kMine * kFours; four += 128) {
    const int line = rank * kMine + four / kFours, local = four % kFours * 4;
    const int row = row0 + line, column = column0 + local;
    float v[4] = {0, 0, 0, 0};
#pragma unroll
    for (int r = 0; r < kSplit; ++r) {
      const float4 part = OfRank(sums + line * kPitch + local, r);
      v[0] += part.x;
      v[1] += part.y;
      v[2] += part.z;
      v[3] += part.w;
    }
    if (row < kM && column < kN) {
      const long long at = (long long)row * kN + column;
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        v[e] = Activate(kBias ? v[e] + ((const float*)more)[local + e] : v[e]);
        if (kResidual) v[e] += Widen(residual[at + e]);
      }
      *(uint2*)(y + at) = make_uint2(Pair(v[0], v[1]), Pair(v[2], v[3]));
    }
  }
  MeetCluster();
)";

constexpr std::string_view kCluster = R"(
__device__ __forceinline__ void MeetCluster() {
  asm volatile(
      "barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::
          : "memory");
}
__device__ __forceinline__ float4 OfRank(const float* own, int rank) {
  unsigned there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(Address(own)), "r"(rank));
  float4 v;
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "r"(there)
               : "memory");
  return v;
}
)";

constexpr std::string_view kNoCluster = "__device__ __forceinline__ void MeetCluster() {}\n";

std::string Pair(DType dtype) {
  return Cat(
      "__device__ __forceinline__ unsigned Pair(float low, float high) {\n  unsigned out;\n"
      "  asm(\"cvt.rn.",
      dtype == DType::kBF16 ? "bf16" : "f16",
      "x2.f32 %0, %1, %2;\" : \"=r\"(out) : \"f\"(high), \"f\"(low));\n  return out;\n}\n");
}

// The instruction that multiplies 64 rows by all columns over 16 features, its list of registers
// written out.
std::string Mma(const TileShape& s) {
  const std::string_view type = s.dtype == DType::kBF16 ? "bf16" : "f16";
  const int count = s.columns / 2;
  std::string list, operands;
  for (int i = 0; i < count; ++i) {
    list += Cat(i == 0 ? "" : ", ", "%", i);
    operands += Cat(i == 0 ? "" : ", ", "\"+f\"(d[", i, "])");
  }
  return Cat("__device__ __forceinline__ void Mma(float (&d)[", count,
             "], unsigned long long a, unsigned long long b, bool more) {\n"
             "  asm volatile(\"{\\n.reg .pred p;\\nsetp.ne.b32 p, %",
             count + 2, ", 0;\\nwgmma.mma_async.sync.aligned.m64n", s.columns, "k16.f32.", type,
             ".", type, " {", list, "}, %", count, ", %", count + 1,
             ", p, 1, 1, 0, 1;\\n}\" : ", operands,
             " : \"l\"(a), \"l\"(b), \"r\"((int)more));\n}\n");
}

std::string Replaced(std::string_view text, std::string_view what, std::string_view with) {
  const size_t at = text.find(what);
  return Cat(text.substr(0, at), with, text.substr(at + what.size()));
}

LaunchNotes Notes(const TileShape& s) {
  const auto strip = static_cast<uint32_t>(s.Strip());
  const auto rows = static_cast<uint32_t>(64 * s.groups);
  LaunchNotes notes{.shared_bytes = s.SharedBytes(), .waits = true};
  notes.maps.push_back({.buffer = 0,
                        .dtype = s.dtype,
                        .dims = {s.k, s.m},
                        .strides = {2 * s.x_row},
                        .box = {TileShape::kDepth, rows},
                        .swizzle = 128});
  notes.maps.push_back({.buffer = 1,
                        .dtype = s.dtype,
                        .dims = {strip, s.k, s.n / strip},
                        .strides = {2 * s.w_row, 2 * int64_t{strip}},
                        .box = {strip, TileShape::kDepth, static_cast<uint32_t>(s.columns) / strip},
                        .swizzle = static_cast<int>(2 * strip)});
  return notes;
}

}  // namespace

std::string TileSource(const TileShape& s) {
  const bool twice = s.SharedBytes() <= 112 * 1024 && s.columns <= 128;
  const auto absent = [](std::string_view name, bool there) {
    return there ? "" : Cat("  const Half* const ", name, " = nullptr;\n");
  };
  std::string body(kBody);
  body = Replaced(body, "$cluster", s.split > 1 ? Cat("__cluster_dims__(", s.split, ") ") : "");
  body =
      Replaced(body, "$parameters",
               Cat(s.bias ? "const Half* bias, " : "", s.residual ? "const Half* residual, " : ""));
  body = Replaced(body, "$absent", Cat(absent("bias", s.bias), absent("residual", s.residual)));
  body = Replaced(body, "$finish", s.split > 1 ? kFinishSplit : kFinishWhole);
  return Cat(NotesText(Notes(s)), "namespace $k_space {\n", HalfWords(s.dtype),
             "constexpr int kM = ", s.m, ", kN = ", s.n, ", kK = ", s.k, ", kGroups = ", s.groups,
             ", kColumns = ", s.columns, ", kStages = ", s.stages, ", kSplit = ", s.split,
             ", kLanes = ", s.Lanes(), ", kResident = ", twice ? 2 : 1, ", kStrip = ", s.Strip(),
             ", kStride = ", s.Groups() / s.split, ", kOutPitch = ", TileShape::kOutPitch, ";\n",
             BoolConstant("kOneRound", s.OneRound()), BoolConstant("kLetsFollow", s.LetsFollow()),
             BoolConstant("kBias", s.bias), BoolConstant("kResidual", s.residual),
             BoolConstant("kFixed", s.fixed), kFollowing, kHelpers,
             s.split > 1 ? kCluster : kNoCluster, ActivationWords(s.activation), Pair(s.dtype),
             Mma(s), body);
}

}  // namespace rlx::cuda
