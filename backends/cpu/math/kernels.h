// SPDX-License-Identifier: Apache-2.0
// The table of inner kernels for one ISA. Drivers (gemm.cc, attention.cc, conv.cc) are compiled
// once for the base machine and reach wide instructions through these pointers alone. Kernels run
// on one thread, allocate nothing and know nothing of teams.
#pragma once

#include <cstdint>

#include "backends/cpu/math/isa.h"

namespace rlx::cpu {

struct CodesTask;
struct CopyTask;
struct DecodeTask;
struct DepthwiseRowsTask;
struct DepthwiseTask;
struct DotBlocksTask;
struct DotTask;
struct IntPanelTask;
struct IntRow;
struct IntRowTask;
struct KeepTask;
struct PackTask;
struct PadTask;
struct PanelTask;
struct PoolRowsTask;
struct PoolTask;
struct ScaleTask;
struct SoftmaxTask;
struct SumCodesTask;
struct UnfoldTask;
struct WeightedTask;
struct WindowRowsTask;
struct WinogradSumTask;
struct WinogradTileTask;

struct MathKernels {
  Isa isa;
  int lanes;          // floats in a vector
  int panel_vectors;  // vectors across a full panel of packed B
  int tile_rows;      // rows that a register tile covers

  // panel_task.h
  void (*pack_panel)(const PackTask&);
  void (*gemm_panel)(const PanelTask&);
  void (*finish)(const PanelTask&, int64_t begin, int64_t end);  // activation and residual of rows

  // copy_task.h
  void (*copy_run)(const CopyTask&);

  // decode_task.h
  void (*decode_blocks)(const DecodeTask&);
  void (*dot_blocks)(const DotBlocksTask&);
  void (*sum_codes)(const SumCodesTask&);
  void (*decode_codes)(const CodesTask&);

  // attention_task.h
  float (*softmax_row)(const SoftmaxTask&);
  void (*dot_rows)(const DotTask&);
  void (*weighted_rows)(const WeightedTask&);
  void (*hide_keys)(const KeepTask&);
  void (*scale_row)(const ScaleTask&);

  // conv_task.h
  void (*unfold)(const UnfoldTask&);
  void (*pad_plane)(const PadTask&);
  void (*depthwise)(const DepthwiseTask&);
  void (*pool_plane)(const PoolTask&);

  // conv_rows_task.h
  void (*window_rows)(const WindowRowsTask&);
  void (*depthwise_rows)(const DepthwiseRowsTask&);
  void (*pool_rows)(const PoolRowsTask&);

  // winograd_task.h
  void (*winograd_tile)(const WinogradTileTask&);
  void (*winograd_sum)(const WinogradSumTask&);

  // int_task.h
  IntRow (*code_row)(const IntRowTask&);
  void (*int_panel)(const IntPanelTask&);
  int int_columns;  // of a panel of i32

  int panel_width() const { return lanes * panel_vectors; }
};

// The kernels for `isa`, which must not be above DetectIsa(). Lives forever.
const MathKernels& MathFor(Isa isa);

}  // namespace rlx::cpu
