// SPDX-License-Identifier: Apache-2.0
// Tiles are transformed into 16 rows of channels, one for each of 16 products with transformed
// weights, whose results are transformed back. A block of tiles goes through all three steps while
// it is in the cache: each thread by its own blocks, or, where there are few tiles, all threads
// through one block step by step.
#include "backends/cpu/math/winograd.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/math/panel_task.h"
#include "backends/cpu/math/panels.h"
#include "backends/cpu/math/winograd_task.h"
#include "runtime/base/thread_pool.h"

namespace rlx::cpu {
namespace {

// Fewer channels than this leave the transforms too large a share.
constexpr int64_t kLeastChannels = 32;
// Of a block's transformed tiles and products: what a core's cache holds beside weights.
constexpr int64_t kBlockBytes = 640 << 10;
constexpr int64_t kMostTiles = 256;
// A thread's own block has at least so many: each walks all weights.
constexpr int64_t kLeastTiles = 24;

// 16 results for 9 taps: G w G^T.
void TransformTaps(const float* w, float (&out)[kWinogradParts]) {
  float rows[4][3];
  for (int j = 0; j < 3; ++j) {
    const float a = w[j], b = w[3 + j], c = w[6 + j];
    rows[0][j] = a;
    rows[1][j] = 0.5f * (a + b + c);
    rows[2][j] = 0.5f * (a - b + c);
    rows[3][j] = c;
  }
  for (int i = 0; i < 4; ++i) {
    const float a = rows[i][0], b = rows[i][1], c = rows[i][2];
    out[4 * i] = a;
    out[4 * i + 1] = 0.5f * (a + b + c);
    out[4 * i + 2] = 0.5f * (a - b + c);
    out[4 * i + 3] = c;
  }
}

class Tiles {
 public:
  Tiles(const MathKernels& kernels, const ConvRows& conv)
      : kernels_(kernels),
        c_(conv),
        panels_(kernels, conv.out_channels),
        down_((conv.window.out_h + 1) / 2),
        across_((conv.window.out_w + 1) / 2) {}

  int64_t count() const { return c_.batch * down_ * across_; }
  const Panels& panels() const { return panels_; }
  int64_t part_floats() const { return panels_.width() * c_.in_channels; }

  // Each thread takes blocks of its own.
  bool Apart(int threads) const { return count() / Blocks(threads) >= kLeastTiles; }
  // Tiles of a block for a team of `threads`.
  int64_t BlockFor(int threads) const {
    if (!Apart(threads)) return std::min(count(), kMostTiles);
    return (count() + Blocks(threads) - 1) / Blocks(threads);
  }
  // No thread's own block has more.
  int64_t MostApart() const {
    const int64_t each =
        kWinogradParts * (c_.in_channels + c_.out_channels) * static_cast<int64_t>(sizeof(float));
    return std::clamp<int64_t>(kBlockBytes / each, kLeastTiles, kMostTiles);
  }
  // What a block needs: its transformed tiles, and products.
  int64_t BlockFloats(int64_t block) const {
    return kWinogradParts * block * (c_.in_channels + c_.out_channels);
  }

  // Tiles [begin, begin + count) through all steps. `zeros`: as many as a place has channels.
  void Run(int64_t begin, int64_t count, Team& team, const float* zeros, float* scratch) const {
    float* tiles = scratch;
    float* products = tiles + kWinogradParts * count * c_.in_channels;
    const int64_t grain = std::max<int64_t>(1, count / (4 * team.size()));
    team.ParallelFor(0, count, grain, [&](int64_t first, int64_t end, int) {
      for (int64_t t = first; t < end; ++t)
        Gather(begin + t, count, zeros, tiles + t * c_.in_channels);
    });
    const int64_t units = kWinogradParts * panels_.count();
    const int64_t claim = std::max<int64_t>(1, units / (4 * team.size()));
    team.ParallelFor(0, units, claim, [&](int64_t first, int64_t end, int) {
      for (int64_t u = first; u < end; ++u) Multiply(u, count, tiles, products);
    });
    team.ParallelFor(0, count, grain, [&](int64_t first, int64_t end, int) {
      for (int64_t t = first; t < end; ++t) {
        Scatter(begin + t, count, products + t * c_.out_channels);
      }
    });
  }

 private:
  // As many for each thread.
  int64_t Blocks(int threads) const {
    const int64_t needed = (count() + MostApart() - 1) / MostApart();
    return (needed + threads - 1) / threads * threads;
  }

  struct Corner {
    int64_t image, y, x;  // first output place
  };
  Corner At(int64_t tile) const {
    const int64_t x = tile % across_, y = tile / across_ % down_;
    return {tile / across_ / down_, 2 * y, 2 * x};
  }

  void Gather(int64_t tile, int64_t count, const float* zeros, float* out) const {
    const Window2d& w = c_.window;
    const Corner at = At(tile);
    const float* image = c_.x + at.image * w.in_plane() * c_.in_channels;
    WinogradTileTask task{.channels = c_.in_channels, .out = out, .stride = count * c_.in_channels};
    for (int64_t i = 0; i < 4; ++i) {
      for (int64_t j = 0; j < 4; ++j) {
        const int64_t y = at.y + i - w.pad_top, x = at.x + j - w.pad_left;
        const bool inside = y >= 0 && y < w.in_h && x >= 0 && x < w.in_w;
        task.in[4 * i + j] = inside ? image + (y * w.in_w + x) * c_.in_channels : zeros;
      }
    }
    kernels_.winograd_tile(task);
  }

  void Multiply(int64_t unit, int64_t count, const float* tiles, float* products) const {
    const int64_t part = unit / panels_.count(), p = unit % panels_.count();
    const int64_t next = (unit + 1) % (kWinogradParts * panels_.count());
    const Panel panel = panels_.At(p);
    const auto weights = [&](int64_t u) {
      return c_.w + u / panels_.count() * part_floats() +
             panels_.At(u % panels_.count()).begin * c_.in_channels;
    };
    kernels_.gemm_panel({.rows = count,
                         .k = c_.in_channels,
                         .a = tiles + part * count * c_.in_channels,
                         .lda = c_.in_channels,
                         .b = weights(unit),
                         .next_b = weights(next),
                         .columns = panel.columns,
                         .vectors = panel.vectors,
                         .c = products + part * count * c_.out_channels + panel.begin,
                         .ldc = c_.out_channels});
  }

  void Scatter(int64_t tile, int64_t count, const float* products) const {
    const Window2d& w = c_.window;
    const Corner at = At(tile);
    WinogradSumTask task{.products = products,
                         .stride = count * c_.out_channels,
                         .channels = c_.out_channels,
                         .bias = c_.bias,
                         .activation = c_.activation};
    for (int64_t i = 0; i < 2; ++i) {
      for (int64_t j = 0; j < 2; ++j) {
        const int64_t y = at.y + i, x = at.x + j;
        if (y >= w.out_h || x >= w.out_w) continue;
        const int64_t place = (at.image * w.out_h + y) * w.out_w + x;
        task.out[2 * i + j] = c_.y + place * c_.out_channels;
        if (c_.residual != nullptr)
          task.residual[2 * i + j] = c_.residual + place * c_.out_channels;
      }
    }
    kernels_.winograd_sum(task);
  }

  const MathKernels& kernels_;
  const ConvRows& c_;
  const Panels panels_;
  const int64_t down_, across_;
};

}  // namespace

bool IsWinograd(const ConvRows& conv) {
  const Window2d& w = conv.window;
  return conv.groups == 1 && w.kernel_h == 3 && w.kernel_w == 3 && w.stride_h == 1 &&
         w.stride_w == 1 && w.dilation_h == 1 && w.dilation_w == 1 &&
         conv.in_channels >= kLeastChannels && conv.out_channels >= kLeastChannels;
}

int64_t WinogradPackedSize(const MathKernels& kernels, const ConvRows& conv) {
  return kWinogradParts * Tiles(kernels, conv).part_floats();
}

void PackWinograd(const MathKernels& kernels, const ConvRows& conv, const float* w, float* packed,
                  Team& team) {
  const Tiles tiles(kernels, conv);
  team.ParallelFor(0, tiles.panels().count(), 1, [&](int64_t p, int64_t, int) {
    const Panel panel = tiles.panels().At(p);
    const int64_t width = int64_t{panel.vectors} * kernels.lanes;
    float* out = packed + panel.begin * conv.in_channels;
    for (int64_t c = 0; c < conv.in_channels; ++c) {
      for (int64_t column = 0; column < width; ++column) {
        float parts[kWinogradParts] = {};
        if (column < panel.columns) {
          TransformTaps(w + ((panel.begin + column) * conv.in_channels + c) * 9, parts);
        }
        for (int64_t i = 0; i < kWinogradParts; ++i) {
          out[i * tiles.part_floats() + c * width + column] = parts[i];
        }
      }
    }
  });
}

size_t WinogradScratchBytes(const MathKernels& kernels, const ConvRows& conv, int threads) {
  const Tiles tiles(kernels, conv);
  // A team may turn out smaller than `threads`, and its blocks then be apart.
  const int64_t together = tiles.BlockFloats(std::min(tiles.count(), kMostTiles));
  const int64_t apart = threads * tiles.BlockFloats(std::min(tiles.count(), tiles.MostApart()));
  return static_cast<size_t>(std::max(together, apart) + conv.in_channels) * sizeof(float);
}

void ConvolveWinograd(const MathKernels& kernels, const ConvRows& conv, Team& team, void* scratch) {
  const Tiles tiles(kernels, conv);
  auto* zeros = static_cast<float*>(scratch);
  std::memset(zeros, 0, static_cast<size_t>(conv.in_channels) * sizeof(float));
  float* rest = zeros + conv.in_channels;
  const int64_t block = tiles.BlockFor(team.size()), all = tiles.count();
  if (!tiles.Apart(team.size())) {
    for (int64_t begin = 0; begin < all; begin += block) {
      tiles.Run(begin, std::min(block, all - begin), team, zeros, rest);
    }
    return;
  }
  team.ParallelFor(0, (all + block - 1) / block, 1, [&](int64_t first, int64_t end, int member) {
    Team alone = team.Alone();
    for (int64_t b = first; b < end; ++b) {
      tiles.Run(b * block, std::min(block, all - b * block), alone, zeros,
                rest + member * tiles.BlockFloats(block));
    }
  });
}

}  // namespace rlx::cpu
