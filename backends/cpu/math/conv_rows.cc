// SPDX-License-Identifier: Apache-2.0
// Four ways. A 1 x 1 window on every place is a product of matrices as they lie. Depthwise: a few
// places at a time, all their channels in turn. 3 x 3 with many channels: winograd.h. Otherwise the
// windows meet packed weights where they lie in the image, or in a copy of it with its padding
// written out.
#include "backends/cpu/math/conv_rows.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/math/conv_rows_task.h"
#include "backends/cpu/math/conv_task.h"
#include "backends/cpu/math/gemm.h"
#include "backends/cpu/math/panels.h"
#include "backends/cpu/math/winograd.h"
#include "runtime/base/thread_pool.h"

namespace rlx::cpu {
namespace {

// Output places that one unit of work covers at most: enough to use a panel of weights well.
constexpr int64_t kBlockPlaces = 128;
// Units that a team wants for each of its threads, so that all of them end at about one time.
constexpr int64_t kUnitsEach = 6;

// Channels of a unit of depthwise work: so many that a place is a run of memory, so few that what
// the windows of a strip (depthwise_rows_kernels.h) hold stays in L1 from one row of outputs to the
// next.
constexpr int64_t kStripFloats = 8 << 10, kStripPlaces = 7;
constexpr int64_t kLeastChannels = 64, kMostChannels = 256;

bool IsDepthwise(const ConvRows& c) {
  return c.groups > 1 && c.in_channels == c.groups && c.out_channels == c.groups;
}

bool IsPointwise(const ConvRows& c) {
  const Window2d& w = c.window;
  return c.groups == 1 && w.taps() == 1 && w.stride_h == 1 && w.stride_w == 1 && w.pad_top == 0 &&
         w.pad_left == 0 && w.in_h == w.out_h && w.in_w == w.out_w;
}

// Whether some window reaches beyond the image.
bool ReadsPadding(const Window2d& w) {
  return w.pad_top > 0 || w.pad_left > 0 || PaddedPlane::Height(w) > w.in_h ||
         PaddedPlane::Width(w) > w.in_w;
}

// An image as the windows read it.
struct Field {
  explicit Field(const ConvRows& c) : channels(c.in_channels) {
    const Window2d& w = c.window;
    padded = ReadsPadding(w);
    height = padded ? PaddedPlane::Height(w) : w.in_h;
    width = padded ? PaddedPlane::Width(w) : w.in_w;
  }
  int64_t floats() const { return height * width * channels; }

  bool padded = false;
  int64_t height = 0, width = 0, channels = 0;
};

// Three planes into places, the first layer of most models: four at a time, and how many it did.
int64_t InterleaveThree(const float* in, int64_t plane, int64_t count, float* out) {
  typedef float Four __attribute__((vector_size(16)));
  const auto load = [](const float* p) {
    Four x;
    std::memcpy(&x, p, sizeof x);
    return x;
  };
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const Four a = load(in + i), b = load(in + plane + i), c = load(in + 2 * plane + i);
    const Four low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    const Four middle = __builtin_shufflevector(b, c, 1, 5, 2, 6);
    const Four high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const Four places[] = {__builtin_shufflevector(low, c, 0, 1, 4, 2),
                           __builtin_shufflevector(middle, a, 0, 1, 6, 2),
                           __builtin_shufflevector(high, c, 6, 2, 3, 7)};
    std::memcpy(out + 3 * i, places, sizeof places);
  }
  return i;
}

// `count` places of an image in any order.
void GatherPlaces(const ConvRows& c, const float* in, int64_t count, float* out) {
  const int64_t place = c.x_strides[2], channel = c.x_strides[3];
  if (c.in_channels == 3 && place == 1) {
    const int64_t done = InterleaveThree(in, channel, count, out);
    in += done, out += 3 * done, count -= done;
  }
  for (int64_t i = 0; i < count; ++i, in += place) {
    for (int64_t k = 0; k < c.in_channels; ++k) *out++ = in[k * channel];
  }
}

// One row of the image with its padding.
void PadRow(const ConvRows& c, const Field& field, int64_t image, int64_t y, float* out) {
  const Window2d& w = c.window;
  const int64_t row = y - w.pad_top, channels = field.channels;
  const int64_t lead = std::min(w.pad_left, field.width);
  const bool inside = row >= 0 && row < w.in_h;
  const int64_t copied = inside ? std::min(w.in_w, field.width - lead) : 0;
  const float* in = c.x + image * c.x_strides[0] + row * c.x_strides[1];
  std::fill(out, out + lead * channels, 0.0f);
  if (c.x_strides[3] == 1 && c.x_strides[2] == channels) {
    std::copy(in, in + copied * channels, out + lead * channels);
  } else {
    GatherPlaces(c, in, copied, out + lead * channels);
  }
  std::fill(out + (lead + copied) * channels, out + field.width * channels, 0.0f);
}

void Pad(const ConvRows& c, const Field& field, Team& team, float* out) {
  const int64_t rows = c.batch * field.height;
  const int64_t grain = std::max<int64_t>(1, rows / (4 * team.size()));
  team.ParallelFor(0, rows, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      PadRow(c, field, i / field.height, i % field.height, out + i * field.width * field.channels);
    }
  });
}

// The product that a convolution is, group by group.
struct Product {
  Product(const MathKernels& kernels_in, const ConvRows& conv)
      : kernels(kernels_in),
        c(conv),
        field(conv),
        channels(c.in_channels / c.groups),
        columns(c.out_channels / c.groups),
        k(channels * c.window.taps()),
        places(c.batch * c.window.out_plane()),
        panels(kernels, columns),
        // A row of taps is one run of memory, where nothing lies between them.
        joined(c.groups == 1 && c.window.dilation_w == 1) {}

  int64_t group_floats() const { return panels.width() * k; }
  int64_t segments() const { return joined ? c.window.kernel_h : c.window.taps(); }
  int64_t depth() const { return joined ? c.window.kernel_w * channels : channels; }

  // Places in a unit of work, and how many such units there are.
  int64_t BlockFor(int threads) const {
    int64_t blocks = (places + kBlockPlaces - 1) / kBlockPlaces;
    const int64_t most = (places + kernels.tile_rows - 1) / kernels.tile_rows;
    while (blocks * panels.count() * c.groups < kUnitsEach * threads && 4 * blocks <= most) {
      blocks *= 2;
    }
    const int64_t each = (places + blocks - 1) / blocks;
    return (each + kernels.tile_rows - 1) / kernels.tile_rows * kernels.tile_rows;
  }

  void FillOffsets(int64_t* offsets) const {
    const Window2d& w = c.window;
    for (int64_t s = 0; s < segments(); ++s) {
      const int64_t i = joined ? s : s / w.kernel_w, j = joined ? 0 : s % w.kernel_w;
      offsets[s] = (i * w.dilation_h * field.width + j * w.dilation_w) * field.channels;
    }
  }

  // Where the windows of `count` places from `first` on begin.
  void FillPlaces(const float* image, int64_t first, int64_t count, const float** out) const {
    const Window2d& w = c.window;
    int64_t x = first % w.out_w, y = first / w.out_w % w.out_h, n = first / w.out_plane();
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = n * field.height + y * w.stride_h;
      out[i] = image + (row * field.width + x * w.stride_w) * field.channels;
      if (++x < w.out_w) continue;
      x = 0;
      if (++y < w.out_h) continue;
      y = 0;
      ++n;
    }
  }

  void Run(const float* image, const int64_t* offsets, int64_t first, int64_t count, int64_t group,
           int64_t p, int64_t next) const {
    const float* windows[kBlockPlaces + 16];
    FillPlaces(image + group * channels, first, count, windows);
    const Panel panel = panels.At(p);
    const float* weights = c.w + group * group_floats();
    const int64_t column = group * columns + panel.begin, at = first * c.out_channels + column;
    kernels.window_rows({.places = windows,
                         .offsets = offsets,
                         .segments = segments(),
                         .depth = depth(),
                         .out = {.rows = count,
                                 .b = weights + panel.begin * k,
                                 .next_b = weights + panels.At(next).begin * k,
                                 .columns = panel.columns,
                                 .vectors = panel.vectors,
                                 .c = c.y + at,
                                 .ldc = c.out_channels,
                                 .bias = c.bias == nullptr ? nullptr : c.bias + column,
                                 .activation = c.activation,
                                 .residual = c.residual == nullptr ? nullptr : c.residual + at,
                                 .ld_residual = c.out_channels,
                                 .residual_first = true}});
  }

  const MathKernels& kernels;
  const ConvRows& c;
  const Field field;
  const int64_t channels, columns, k, places;
  const Panels panels;
  const bool joined;
};

void RunProduct(const Product& p, Team& team, const float* image, const int64_t* offsets) {
  const int64_t block = p.BlockFor(team.size()), blocks = (p.places + block - 1) / block;
  const int64_t panels = p.panels.count(), units = blocks * p.c.groups * panels;
  const int64_t grain = std::max<int64_t>(1, units / (4 * kUnitsEach * team.size()));
  const int64_t skip = grain * (team.size() - 1);
  team.ParallelFor(0, units, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t u = begin; u < end; ++u) {
      const int64_t first = u / (panels * p.c.groups) * block;
      const int64_t next = (u + 1 < end ? u + 1 : u + 1 + skip) % panels;
      p.Run(image, offsets, first, std::min(block, p.places - first), u / panels % p.c.groups,
            u % panels, next);
    }
  });
}

void Pointwise(const MathKernels& kernels, const ConvRows& c, Team& team) {
  PackedGemm gemm{.m = c.batch * c.window.out_plane(),
                  .n = c.out_channels,
                  .k = c.in_channels,
                  .a = c.x,
                  .lda = c.in_channels,
                  .b = c.w,
                  .c = c.y,
                  .ldc = c.out_channels};
  gemm.epilogue.bias = c.bias;
  gemm.epilogue.activation = c.activation;
  gemm.epilogue.residual = c.residual;
  gemm.epilogue.ld_residual = c.out_channels;
  gemm.epilogue.residual_first = true;
  Gemm(kernels, gemm, team);
}

// How [rows, channels] of each image are cut into units of work: whole vectors of channels, and as
// few rows at a time as the threads want.
struct Cut {
  Cut(const MathKernels& kernels, int64_t images, int64_t rows_in, int64_t channels_in,
      int64_t vectors, int threads)
      : rows(rows_in), channels(channels_in), width(vectors * kernels.lanes) {
    runs = (channels + width - 1) / width;
    int64_t bands = 1;
    while (images * runs * bands < kUnitsEach * threads && 2 * bands <= rows) bands *= 2;
    height = (rows + bands - 1) / bands;
    bands_each = (rows + height - 1) / height;
    units = images * runs * bands_each;
  }
  struct Unit {
    int64_t image, row, rows, channel, channels;
  };
  Unit At(int64_t u) const {
    const int64_t channel = u % runs * width, row = u / runs % bands_each * height;
    return {u / runs / bands_each, row, std::min(height, rows - row), channel,
            std::min(width, channels - channel)};
  }

  int64_t rows, channels, width;
  int64_t runs = 0, height = 0, bands_each = 0, units = 0;
};

// Vectors of channels of a unit, even ones.
int64_t DepthwiseVectors(const MathKernels& kernels, const ConvRows& c) {
  const Window2d& w = c.window;
  const int64_t places = w.kernel_h * ((kStripPlaces - 1) * w.stride_w + w.kernel_w);
  const int64_t most = std::clamp(kStripFloats / places, kLeastChannels, kMostChannels);
  const int64_t all = (c.out_channels + kernels.lanes - 1) / kernels.lanes;
  const int64_t runs = (all * kernels.lanes + most - 1) / most;
  return (all + runs - 1) / runs;
}

void Depthwise(const MathKernels& kernels, const ConvRows& c, Team& team) {
  const Window2d& w = c.window;
  const int64_t vectors = DepthwiseVectors(kernels, c);
  const Cut cut(kernels, c.batch, w.out_h, c.out_channels, vectors, team.size());
  team.ParallelFor(0, cut.units, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t u = begin; u < end; ++u) {
      const Cut::Unit unit = cut.At(u);
      const int64_t out = unit.image * w.out_plane() * c.out_channels;
      kernels.depthwise_rows({.window = &w,
                              .all_channels = c.out_channels,
                              .row = unit.row,
                              .rows = unit.rows,
                              .channel = unit.channel,
                              .channels = unit.channels,
                              .x = c.x + unit.image * w.in_plane() * c.in_channels,
                              .w = c.w,
                              .bias = c.bias,
                              .y = c.y + out,
                              .activation = c.activation,
                              .residual = c.residual == nullptr ? nullptr : c.residual + out});
    }
  });
}

// Columns [begin, begin + columns) of the panel, k counting taps and in each its channels.
void PackPanelOf(const Product& p, int64_t group, const Panel& panel, const float* w, float* out) {
  const int64_t width = panel.vectors * p.kernels.lanes, taps = p.c.window.taps();
  for (int64_t column = 0; column < width; ++column) {
    const float* in = w + (group * p.columns + panel.begin + column) * p.k;
    for (int64_t channel = 0; channel < p.channels; ++channel) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        out[(tap * p.channels + channel) * width + column] =
            column < panel.columns ? in[channel * taps + tap] : 0;
      }
    }
  }
}

}  // namespace

int64_t ConvRowsPackedSize(const MathKernels& kernels, const ConvRows& conv) {
  if (IsDepthwise(conv)) return conv.window.taps() * conv.out_channels;
  if (IsWinograd(conv)) return WinogradPackedSize(kernels, conv);
  return Product(kernels, conv).group_floats() * conv.groups;
}

void PackConvRows(const MathKernels& kernels, const ConvRows& conv, const float* w, float* packed,
                  Team& team) {
  const int64_t taps = conv.window.taps();
  if (IsDepthwise(conv)) {
    for (int64_t c = 0; c < conv.out_channels; ++c) {
      for (int64_t t = 0; t < taps; ++t) packed[t * conv.out_channels + c] = w[c * taps + t];
    }
    return;
  }
  if (IsWinograd(conv)) return PackWinograd(kernels, conv, w, packed, team);
  const Product p(kernels, conv);
  if (conv.groups == 1 && taps == 1) {
    return PackB(kernels, p.k, p.columns, w, p.k, true, packed, team);
  }
  const int64_t panels = p.panels.count();
  team.ParallelFor(0, conv.groups * panels, 1, [&](int64_t unit, int64_t, int) {
    const Panel panel = p.panels.At(unit % panels);
    const int64_t group = unit / panels;
    PackPanelOf(p, group, panel, w, packed + group * p.group_floats() + panel.begin * p.k);
  });
}

bool CopiesImage(const ConvRows& conv) {
  return !IsDepthwise(conv) && !IsPointwise(conv) && !IsWinograd(conv) && ReadsPadding(conv.window);
}

size_t ConvRowsScratchBytes(const MathKernels& kernels, const ConvRows& conv, int threads) {
  if (IsDepthwise(conv) || IsPointwise(conv)) return 0;
  if (IsWinograd(conv)) return WinogradScratchBytes(kernels, conv, threads);
  const Product p(kernels, conv);
  const int64_t padded = p.field.padded ? conv.batch * p.field.floats() : 0;
  return static_cast<size_t>(p.segments()) * sizeof(int64_t) +
         static_cast<size_t>(padded) * sizeof(float);
}

void Convolve(const MathKernels& kernels, const ConvRows& conv, Team& team, void* scratch) {
  if (IsDepthwise(conv)) return Depthwise(kernels, conv, team);
  if (IsPointwise(conv)) return Pointwise(kernels, conv, team);
  if (IsWinograd(conv)) return ConvolveWinograd(kernels, conv, team, scratch);
  const Product p(kernels, conv);
  auto* offsets = static_cast<int64_t*>(scratch);
  p.FillOffsets(offsets);
  const float* image = conv.x;
  if (p.field.padded) {
    auto* padded = reinterpret_cast<float*>(offsets + p.segments());
    Pad(conv, p.field, team, padded);
    image = padded;
  }
  RunProduct(p, team, image, offsets);
}

void PoolOverRows(const MathKernels& kernels, const PoolRows2d& pool, Team& team) {
  const Window2d& w = pool.window;
  const Cut cut(kernels, pool.batch, w.out_h, pool.channels, 4, team.size());
  team.ParallelFor(0, cut.units, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t u = begin; u < end; ++u) {
      const Cut::Unit unit = cut.At(u);
      kernels.pool_rows({.window = &w,
                         .all_channels = pool.channels,
                         .row = unit.row,
                         .rows = unit.rows,
                         .channel = unit.channel,
                         .channels = unit.channels,
                         .largest = pool.kind == PoolKind::kMax,
                         .whole_window = pool.kind == PoolKind::kMeanOfWindow,
                         .x = pool.x + unit.image * w.in_plane() * pool.channels,
                         .y = pool.y + unit.image * w.out_plane() * pool.channels});
    }
  });
}

}  // namespace rlx::cpu
