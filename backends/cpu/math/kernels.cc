// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/kernels.h"

#include "backends/cpu/math/int_task.h"

namespace rlx::cpu {

struct Generic;
struct Avx2;
struct Avx512;

// Instantiated per ISA in files of their own.
template <class V>
void PackPanel(const PackTask&);
template <class V>
void GemmPanel(const PanelTask&);
template <class V>
void Finish(const PanelTask&, int64_t begin, int64_t end);
template <class V>
void CopyRun(const CopyTask&);
template <class V>
void DecodeBlocks(const DecodeTask&);
template <class V>
void DotBlocks(const DotBlocksTask&);
template <class V>
void SumCodes(const SumCodesTask&);
template <class V>
void DecodeCodes(const CodesTask&);
template <class V>
float SoftmaxRow(const SoftmaxTask&);
template <class V>
void DotRows(const DotTask&);
template <class V>
void WeightedRows(const WeightedTask&);
template <class V>
void HideKeys(const KeepTask&);
template <class V>
void ScaleRow(const ScaleTask&);
template <class V>
void Unfold(const UnfoldTask&);
template <class V>
void PadPlane(const PadTask&);
template <class V>
void Depthwise(const DepthwiseTask&);
template <class V>
void PoolPlane(const PoolTask&);
template <class V>
void WindowRows(const WindowRowsTask&);
template <class V>
void DepthwiseRows(const DepthwiseRowsTask&);
template <class V>
void PoolRows(const PoolRowsTask&);
template <class V>
void WinogradTile(const WinogradTileTask&);
template <class V>
void WinogradSum(const WinogradSumTask&);

namespace {

struct IntKernels {
  IntRow (*code_row)(const IntRowTask&);
  void (*panel)(const IntPanelTask&);
  int columns;
};

void IntPanelWide(const IntPanelTask& t) { HasVnni() ? IntPanelVnni(t) : IntPanelAvx512(t); }

template <class V>
constexpr MathKernels Table(Isa isa, int lanes, int panel_vectors, int tile_rows,
                            const IntKernels& ints) {
  return {.isa = isa,
          .lanes = lanes,
          .panel_vectors = panel_vectors,
          .tile_rows = tile_rows,
          .pack_panel = PackPanel<V>,
          .gemm_panel = GemmPanel<V>,
          .finish = Finish<V>,
          .copy_run = CopyRun<V>,
          .decode_blocks = DecodeBlocks<V>,
          .dot_blocks = DotBlocks<V>,
          .sum_codes = SumCodes<V>,
          .decode_codes = DecodeCodes<V>,
          .softmax_row = SoftmaxRow<V>,
          .dot_rows = DotRows<V>,
          .weighted_rows = WeightedRows<V>,
          .hide_keys = HideKeys<V>,
          .scale_row = ScaleRow<V>,
          .unfold = Unfold<V>,
          .pad_plane = PadPlane<V>,
          .depthwise = Depthwise<V>,
          .pool_plane = PoolPlane<V>,
          .window_rows = WindowRows<V>,
          .depthwise_rows = DepthwiseRows<V>,
          .pool_rows = PoolRows<V>,
          .winograd_tile = WinogradTile<V>,
          .winograd_sum = WinogradSum<V>,
          .code_row = ints.code_row,
          .int_panel = ints.panel,
          .int_columns = ints.columns};
}

constexpr MathKernels kTables[] = {
    Table<Generic>(Isa::kGeneric, 4, 2, 4, {CodeRowGeneric, IntPanelGeneric, 8}),
    Table<Avx2>(Isa::kAvx2, 8, 3, 4, {CodeRowAvx2, IntPanelAvx2, 16}),
    Table<Avx512>(Isa::kAvx512, 16, 3, 8, {CodeRowAvx512, IntPanelWide, 48})};

}  // namespace

const MathKernels& MathFor(Isa isa) { return kTables[static_cast<int>(isa)]; }

}  // namespace rlx::cpu
