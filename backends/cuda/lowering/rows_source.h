// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/tensor/dtype.h"

// Kernels of f16 or bf16 that move eight elements at once, as CUDA C++ under the name $k: what runs
// between the products of a network and is bound by memory.
namespace rlx::cuda {

inline constexpr int64_t kStep = 8;

// Words for `Activate`, a function of a float: of an activation that EpilogueShape knows.
std::string ActivationWords(std::string_view activation);

// y = activation(x) + residual, element by element. Buffers x, residual if there is one, y.
struct EpilogueShape {
  DType dtype = DType::kF16;
  int64_t elements = 0;  // a multiple of kStep
  std::string_view activation = "none";
  bool residual = false;

  static constexpr int kLanes = 256;
  // Whether there are words for an activation.
  static bool Knows(std::string_view activation);
  int64_t Groups() const { return (elements + kStep * kLanes - 1) / (kStep * kLanes); }
};
std::string EpilogueSource(const EpilogueShape& shape);

// Layer norm or RMS norm of x + residual + bias over rows, of which a subgroup takes each and keeps
// it in registers. Buffers x, those of residual, bias, gamma and beta that there are, and those of
// norm and sum (x + residual + bias) that are wanted.
struct NormShape {
  DType dtype = DType::kF16;
  int64_t rows = 1, width = kStep;  // a multiple of kStep, at most kMostWidth
  bool centered = true;
  bool residual = false, bias = false, gamma = false, beta = false;
  bool norm = true, sum = false;
  bool fixed = false;  // no step writes bias, gamma and beta: they are read while others still run
  double eps = 0;

  static constexpr int64_t kMostWidth = 1024;
  static constexpr int64_t kFewRows = 256;  // up to here the launch before is a short one, too
  // From here on four workgroups of eight subgroups share a multiprocessor.
  static constexpr int64_t kManyRows = 2048;
  int Warps() const;  // subgroups, and so rows, of a workgroup
  int64_t Groups() const { return (rows + Warps() - 1) / Warps(); }
};
std::string NormSource(const NormShape& shape);

}  // namespace rlx::cuda
