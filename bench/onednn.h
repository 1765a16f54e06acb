// SPDX-License-Identifier: Apache-2.0
// The peer of gemm_bench and conv_bench: oneDNN's products and convolutions with bias, weights (and
// for convolutions all tensors) in the layouts it asks for.
#pragma once

#include <omp.h>

#include <cstring>
#include <dnnl.hpp>
#include <unordered_map>
#include <vector>

#include "backends/cpu/math/conv.h"
#include "backends/cpu/math/isa.h"

namespace rlx::bench {

inline void UseOneDnn(cpu::Isa isa, int threads) {
  omp_set_num_threads(threads);
  dnnl::set_max_cpu_isa(isa == cpu::Isa::kGeneric ? dnnl::cpu_isa::sse41
                        : isa == cpu::Isa::kAvx2  ? dnnl::cpu_isa::avx2
                                                  : dnnl::cpu_isa::avx512_core);
}

class OneDnnGemm {
 public:
  OneDnnGemm(int64_t m, int64_t k, int64_t n, int copies) {
    using dnnl::memory;
    using Tag = memory::format_tag;
    const auto f32 = memory::data_type::f32;
    const dnnl::matmul::desc desc({{m, k}, f32, Tag::ab}, {{k, n}, f32, Tag::any},
                                  {{1, n}, f32, Tag::ab}, {{m, n}, f32, Tag::ab});
    const dnnl::matmul::primitive_desc primitive(desc, engine_);
    matmul_ = dnnl::matmul(primitive);
    a_ = memory({{m, k}, f32, Tag::ab}, engine_);
    bias_ = memory({{1, n}, f32, Tag::ab}, engine_);
    c_ = memory({{m, n}, f32, Tag::ab}, engine_);
    memory rows({{k, n}, f32, Tag::ab}, engine_);
    for (int i = 0; i < copies; ++i) {
      weights_.emplace_back(primitive.weights_desc(), engine_);
      dnnl::reorder(rows, weights_.back()).execute(stream_, rows, weights_.back());
    }
    stream_.wait();
  }

  void Run(int i) {
    matmul_.execute(stream_, {{DNNL_ARG_SRC, a_},
                              {DNNL_ARG_WEIGHTS, weights_[i % weights_.size()]},
                              {DNNL_ARG_BIAS, bias_},
                              {DNNL_ARG_DST, c_}});
    stream_.wait();
  }

 private:
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::matmul matmul_;
  dnnl::memory a_, bias_, c_;
  std::vector<dnnl::memory> weights_;
};

class OneDnnConv {
 public:
  explicit OneDnnConv(const cpu::Conv2d& c) {
    using dnnl::memory;
    const auto f32 = memory::data_type::f32;
    const auto any = memory::format_tag::any;
    const cpu::Window2d& w = c.window;
    const int64_t bottom =
        (w.out_h - 1) * w.stride_h + (w.kernel_h - 1) * w.dilation_h + 1 - w.in_h - w.pad_top;
    const int64_t right =
        (w.out_w - 1) * w.stride_w + (w.kernel_w - 1) * w.dilation_w + 1 - w.in_w - w.pad_left;
    const memory::dims weights =
        c.groups == 1 ? memory::dims{c.out_channels, c.in_channels, w.kernel_h, w.kernel_w}
                      : memory::dims{c.groups, c.out_channels / c.groups, c.in_channels / c.groups,
                                     w.kernel_h, w.kernel_w};
    const dnnl::convolution_forward::desc desc(
        dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
        {{c.batch, c.in_channels, w.in_h, w.in_w}, f32, any}, {weights, f32, any},
        {{c.out_channels}, f32, memory::format_tag::a},
        {{c.batch, c.out_channels, w.out_h, w.out_w}, f32, any}, {w.stride_h, w.stride_w},
        {w.dilation_h - 1, w.dilation_w - 1}, {w.pad_top, w.pad_left}, {bottom, right});
    const dnnl::convolution_forward::primitive_desc primitive(desc, engine_);
    conv_ = dnnl::convolution_forward(primitive);
    x_ = memory(primitive.src_desc(), engine_);
    w_ = memory(primitive.weights_desc(), engine_);
    bias_ = memory(primitive.bias_desc(), engine_);
    y_ = memory(primitive.dst_desc(), engine_);
    for (memory* m : {&x_, &w_, &bias_}) {
      std::memset(m->get_data_handle(), 0, m->get_desc().get_size());
    }
  }

  void Run() {
    conv_.execute(
        stream_,
        {{DNNL_ARG_SRC, x_}, {DNNL_ARG_WEIGHTS, w_}, {DNNL_ARG_BIAS, bias_}, {DNNL_ARG_DST, y_}});
    stream_.wait();
  }

 private:
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::convolution_forward conv_;
  dnnl::memory x_, w_, bias_, y_;
};

}  // namespace rlx::bench
