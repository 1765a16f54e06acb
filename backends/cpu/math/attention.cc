// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/attention.h"

#include <algorithm>
#include <limits>

#include "backends/cpu/math/attention_task.h"
#include "backends/cpu/math/panel_task.h"
#include "backends/cpu/math/panels.h"
#include "runtime/base/thread_pool.h"

namespace rlx::cpu {
namespace {

// A block of scores, kBlockRows x kBlockKeys, stays in L2. The keys are whole panels on every ISA.
constexpr int64_t kBlockRows = 64;
constexpr int64_t kBlockKeys = 480;
constexpr int64_t kScoresRow = kBlockKeys + 16;  // rows do not fall on the same cache sets

// Up to so many rows for one key-value head, packing its keys costs more than it saves.
constexpr int64_t kFewRows = 8;

struct Range {
  int64_t begin, end;
};

// Query rows of one head, or, for a single query, the heads of one group: rows that are evenly
// spaced and share their keys.
struct Rows {
  int64_t count = 0;
  const float* q = nullptr;
  int64_t q_row = 0;
  float* out = nullptr;
  int64_t out_row = 0;
  int64_t position = 0, step = 0;  // of the first row, and from row to row
  int64_t mask = 0, mask_row = 0;  // element offset into the mask
};

// How the rows of one key-value head are cut: `strips` of rows, each into blocks of kBlockRows.
struct Cut {
  explicit Cut(const Attention& a)
      : group(a.heads / a.kv_heads),
        folded(a.queries == 1),
        strips(folded ? 1 : group),
        rows(folded ? group : a.queries),
        blocks((rows + kBlockRows - 1) / kBlockRows) {}
  int64_t total() const { return strips * blocks; }

  int64_t group;
  bool folded;
  int64_t strips, rows, blocks;
};

bool PacksKeys(const Attention& a) { return a.queries * (a.heads / a.kv_heads) > kFewRows; }

// Block `index` of key-value head `kv` in `batch`.
Rows BlockRows(const Attention& a, const Cut& cut, int64_t batch, int64_t kv, int64_t index) {
  const int64_t head = kv * cut.group + index / cut.blocks;
  const int64_t first = index % cut.blocks * kBlockRows;
  const auto pick = [&](int64_t row, int64_t head_stride) {
    return cut.folded ? head_stride : row;
  };
  const HeadStrides &q = a.q_strides, &o = a.out_strides;
  const MaskStrides& m = a.mask_strides;
  Rows rows{.count = std::min(kBlockRows, cut.rows - first),
            .q_row = pick(q.row, q.head),
            .out_row = pick(o.row, o.head),
            .position = a.keys - a.queries + (cut.folded ? 0 : first),
            .step = cut.folded ? 0 : 1,
            .mask_row = pick(m.query, m.head)};
  rows.q = a.q + batch * q.batch + head * q.head + first * rows.q_row;
  rows.out = a.out + batch * o.batch + head * o.head + first * rows.out_row;
  rows.mask = batch * m.batch + head * m.head + first * rows.mask_row;
  return rows;
}

// The keys that the query at `position` sees, before any mask tensor.
Range Visible(const Attention& a, int64_t position) {
  if (!a.causal && a.window < 0) return {0, a.keys};
  const int64_t begin = a.window < 0 ? 0 : position - a.window;
  return {std::clamp<int64_t>(begin, 0, a.keys), std::clamp<int64_t>(position + 1, 0, a.keys)};
}

Range Visible(const Attention& a, const Rows& rows) {
  const int64_t last = rows.position + (rows.count - 1) * rows.step;
  return {Visible(a, rows.position).begin, Visible(a, last).end};
}

int64_t Rounded(int64_t floats) { return (floats + 15) / 16 * 16; }

// Sizes, in floats, of one thread's part of the scratch.
struct Sizes {
  Sizes(const MathKernels& kernels, const Attention& a) {
    if (!PacksKeys(a)) return;
    packed_k = Rounded(Panels(kernels, a.keys).width() * a.head_dim);
    packed_v = Rounded(Panels(kernels, a.value_dim).width() * a.keys);
  }
  int64_t total() const { return scores + mask + 2 * kBlockRows + packed_k + packed_v; }

  int64_t scores = kBlockRows * kScoresRow, mask = kScoresRow;
  int64_t packed_k = 0, packed_v = 0;
};

// One block of rows after the other against the keys of one key-value head, on one thread.
class Worker {
 public:
  Worker(const MathKernels& kernels, const Attention& attention, float* scratch)
      : kernels_(kernels), a_(attention), value_panels_(kernels, attention.value_dim) {
    const Sizes sizes(kernels, attention);
    scores_ = scratch;
    mask_ = scores_ + sizes.scores;
    maximum_ = mask_ + sizes.mask;
    sum_ = maximum_ + kBlockRows;
    packed_k_ = sum_ + kBlockRows;
    packed_v_ = packed_k_ + sizes.packed_k;
  }

  // Chooses the head, and packs what `range` of its keys and values needs.
  void Load(int64_t batch, int64_t kv, Range range) {
    range_ = range;
    k_ = a_.k + batch * a_.k_strides.batch + kv * a_.k_strides.head;
    v_ = a_.v + batch * a_.v_strides.batch + kv * a_.v_strides.head;
    if (PacksKeys(a_) && range.begin < range.end) Pack();
  }

  void Run(const Rows& rows) {
    std::fill_n(maximum_, rows.count, -std::numeric_limits<float>::infinity());
    std::fill_n(sum_, rows.count, 0.0f);
    const Range seen = Visible(a_, rows);
    bool started = false;
    // Blocks of keys start where panels do, counted from the first packed key.
    const int64_t skipped = (seen.begin - range_.begin) / kBlockKeys * kBlockKeys;
    for (int64_t k = range_.begin + skipped; k < seen.end; k += kBlockKeys) {
      const Range keys{k, std::min(k + kBlockKeys, seen.end)};
      Scores(rows, keys);
      Softmax(rows, keys, started);
      Values(rows, keys, started);
      started = true;
    }
    for (int64_t r = 0; r < rows.count; ++r) {
      const float factor = started && sum_[r] != 0 ? 1 / sum_[r] : 0;
      kernels_.scale_row({.x = rows.out + r * rows.out_row, .n = a_.value_dim, .factor = factor});
    }
  }

 private:
  // Every block of keys is packed on its own; the values as one.
  void Pack() {
    for (int64_t k = range_.begin; k < range_.end; k += kBlockKeys) {
      const Panels panels = KeyPanels(k);
      for (int64_t p = 0; p < panels.count(); ++p) {
        const Panel panel = panels.At(p);
        kernels_.pack_panel({.b = k_ + (k + panel.begin) * a_.k_strides.row,
                             .ldb = a_.k_strides.row,
                             .transposed = true,
                             .k = a_.head_dim,
                             .columns = panel.columns,
                             .vectors = panel.vectors,
                             .out = PackedKeys(k, panel)});
      }
    }
    for (int64_t p = 0; p < value_panels_.count(); ++p) {
      const Panel panel = value_panels_.At(p);
      kernels_.pack_panel({.b = v_ + range_.begin * a_.v_strides.row + panel.begin,
                           .ldb = a_.v_strides.row,
                           .transposed = false,
                           .k = range_.end - range_.begin,
                           .columns = panel.columns,
                           .vectors = panel.vectors,
                           .out = PackedValues(range_.begin, panel)});
    }
  }

  Panels KeyPanels(int64_t block) const {
    return Panels(kernels_, std::min(kBlockKeys, range_.end - block));
  }
  float* PackedKeys(int64_t block, const Panel& panel) const {
    return packed_k_ + (block - range_.begin + panel.begin) * a_.head_dim;
  }
  float* PackedValues(int64_t key, const Panel& panel) const {
    return packed_v_ + panel.begin * (range_.end - range_.begin) +
           (key - range_.begin) * panel.vectors * kernels_.lanes;
  }

  void Scores(const Rows& rows, Range keys) {
    if (!PacksKeys(a_)) {
      kernels_.dot_rows({.rows = rows.count,
                         .keys = keys.end - keys.begin,
                         .features = a_.head_dim,
                         .q = rows.q,
                         .q_row = rows.q_row,
                         .k = k_ + keys.begin * a_.k_strides.row,
                         .k_row = a_.k_strides.row,
                         .scale = a_.scale,
                         .scores = scores_,
                         .scores_row = kScoresRow});
      return;
    }
    const Panels panels = KeyPanels(keys.begin);
    for (int64_t p = 0; p < panels.count() && panels.At(p).begin < keys.end - keys.begin; ++p) {
      const Panel panel = panels.At(p);
      const float* packed = PackedKeys(keys.begin, panel);
      kernels_.gemm_panel({.rows = rows.count,
                           .k = a_.head_dim,
                           .a = rows.q,
                           .lda = rows.q_row,
                           .b = packed,
                           .next_b = packed,
                           .columns = panel.columns,
                           .vectors = panel.vectors,
                           .c = scores_ + panel.begin,
                           .ldc = kScoresRow,
                           .alpha = a_.scale});
    }
  }

  // Scores to weights; output rows of earlier blocks follow the new maximum.
  void Softmax(const Rows& rows, Range keys, bool started) {
    int64_t hidden = -1;  // the mask row that mask_ holds
    for (int64_t r = 0; r < rows.count; ++r) {
      const Range seen = Visible(a_, rows.position + r * rows.step);
      const int64_t row = rows.mask + r * rows.mask_row;
      const float* additive =
          AdditiveRow(row + keys.begin * a_.mask_strides.key, keys.end - keys.begin, hidden == row);
      hidden = row;
      const int64_t n = keys.end - keys.begin;
      const float factor =
          kernels_.softmax_row({.scores = scores_ + r * kScoresRow,
                                .keys = n,
                                .begin = std::clamp<int64_t>(seen.begin - keys.begin, 0, n),
                                .end = std::clamp<int64_t>(seen.end - keys.begin, 0, n),
                                .softcap = a_.softcap,
                                .additive = additive,
                                .maximum = maximum_ + r,
                                .sum = sum_ + r});
      if (started && factor != 1) {
        kernels_.scale_row({rows.out + r * rows.out_row, a_.value_dim, factor});
      }
    }
  }

  // The mask from element `at` on as values to add, or null. `held`: mask_ has them already.
  const float* AdditiveRow(int64_t at, int64_t keys, bool held) {
    if (a_.keep == nullptr && a_.additive == nullptr) return nullptr;
    const int64_t step = a_.mask_strides.key;
    if (a_.additive != nullptr && step == 1) return a_.additive + at;
    if (held) return mask_;
    if (a_.keep != nullptr && step == 1) {
      kernels_.hide_keys({.keep = a_.keep + at, .keys = keys, .out = mask_});
      return mask_;
    }
    constexpr float kHidden = -std::numeric_limits<float>::infinity();
    for (int64_t j = 0; j < keys; ++j, at += step) {
      mask_[j] = a_.additive != nullptr ? a_.additive[at] : a_.keep[at] != 0 ? 0 : kHidden;
    }
    return mask_;
  }

  void Values(const Rows& rows, Range keys, bool started) {
    const int64_t n = keys.end - keys.begin;
    if (!PacksKeys(a_)) {
      kernels_.weighted_rows({.rows = rows.count,
                              .keys = n,
                              .features = a_.value_dim,
                              .weights = scores_,
                              .weights_row = kScoresRow,
                              .v = v_ + keys.begin * a_.v_strides.row,
                              .v_row = a_.v_strides.row,
                              .out = rows.out,
                              .out_row = rows.out_row,
                              .accumulate = started});
      return;
    }
    for (int64_t p = 0; p < value_panels_.count(); ++p) {
      const Panel panel = value_panels_.At(p);
      const float* packed = PackedValues(keys.begin, panel);
      kernels_.gemm_panel({.rows = rows.count,
                           .k = n,
                           .a = scores_,
                           .lda = kScoresRow,
                           .b = packed,
                           .next_b = packed,
                           .columns = panel.columns,
                           .vectors = panel.vectors,
                           .c = rows.out + panel.begin,
                           .ldc = rows.out_row,
                           .accumulate = started});
    }
  }

  const MathKernels& kernels_;
  const Attention& a_;
  const Panels value_panels_;
  Range range_ = {0, 0};
  const float *k_ = nullptr, *v_ = nullptr;
  float *scores_, *mask_, *maximum_, *sum_, *packed_k_, *packed_v_;
};

// Keys that any of the blocks sees.
Range SeenBy(const Attention& a, const Cut& cut, int64_t batch, int64_t kv, Range blocks) {
  Range all{a.keys, 0};
  for (int64_t i = blocks.begin; i < blocks.end; ++i) {
    const Range seen = Visible(a, BlockRows(a, cut, batch, kv, i));
    all = {std::min(all.begin, seen.begin), std::max(all.end, seen.end)};
  }
  return all;
}

// Tasks for each key-value head: one, unless there are too few heads to keep the team busy. Each
// packs the keys it needs for itself.
int64_t TasksPerHead(const Attention& a, const Cut& cut, int threads) {
  const int64_t heads = a.batch * a.kv_heads;
  const int64_t wanted = (3 * threads + heads - 1) / heads;
  return threads == 1 ? 1 : std::min(wanted, cut.total());
}

// Tasks that a thread claims at a time. Keys that are read where they lie, and that the cores' own
// caches can hold, may still be where they were made: each thread takes one part of them, as copies
// do (copy.cc).
int64_t Grain(const Attention& a, int64_t tasks, int threads) {
  constexpr int64_t kOwnFloats = 256 << 10;
  const int64_t floats = a.batch * a.kv_heads * a.keys * (a.head_dim + a.value_dim);
  return PacksKeys(a) || floats > threads * kOwnFloats ? 1 : (tasks + threads - 1) / threads;
}

}  // namespace

size_t AttentionScratchBytes(const MathKernels& kernels, const Attention& attention, int threads) {
  return static_cast<size_t>(Sizes(kernels, attention).total() * threads) * sizeof(float);
}

void Attend(const MathKernels& kernels, const Attention& attention, Team& team, void* scratch) {
  const Attention& a = attention;
  const Cut cut(a);
  const int64_t per_head = TasksPerHead(a, cut, team.size());
  const int64_t size = Sizes(kernels, a).total();
  const auto run = [&](int64_t task, int member) {
    const int64_t head = task / per_head, part = task % per_head;
    const int64_t batch = head / a.kv_heads, kv = head % a.kv_heads;
    const Range blocks{cut.total() * part / per_head, cut.total() * (part + 1) / per_head};
    Worker worker(kernels, a, static_cast<float*>(scratch) + member * size);
    worker.Load(batch, kv, SeenBy(a, cut, batch, kv, blocks));
    for (int64_t i = blocks.begin; i < blocks.end && !team.Ended(); ++i) {
      worker.Run(BlockRows(a, cut, batch, kv, i));
    }
  };
  const int64_t tasks = a.batch * a.kv_heads * per_head;
  team.ParallelFor(0, tasks, Grain(a, tasks, team.size()),
                   [&](int64_t begin, int64_t end, int member) {
                     for (int64_t task = begin; task < end; ++task) run(task, member);
                   });
}

}  // namespace rlx::cpu
