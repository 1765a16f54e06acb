// SPDX-License-Identifier: Apache-2.0
// The peer in gemm_bench: oneDNN's matmul with bias, weights in the layout it asks for.
#pragma once

#include <omp.h>

#include <dnnl.hpp>
#include <unordered_map>
#include <vector>

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

}  // namespace rlx::bench
