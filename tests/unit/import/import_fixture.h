// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>

#include "runtime/import/import.h"
#include "runtime/ir/evaluate.h"
#include "tests/support/onnx_model.h"

namespace rlx::onnx {

inline absl::StatusOr<Imported> ImportBytes(std::string bytes, const Limits& limits = {}) {
  return Import(SharedBytes(std::move(bytes)), {}, limits);
}

inline absl::StatusOr<Imported> ImportText(const test::GraphText& graph, int64_t opset = 17) {
  return ImportBytes(test::ModelOf(graph, opset));
}

// The outputs of a model whose weights all lie in itself, for such inputs.
std::vector<EvalTensor> RunModel(const std::string& bytes, TensorMap inputs,
                                 const DimBinding& sizes = {});

inline HostTensor F32(std::vector<int64_t> dims, const std::vector<double>& values) {
  return HostTensor::FromDoubles(DType::kF32, std::move(dims), values);
}
inline HostTensor I64(std::vector<int64_t> dims, const std::vector<int64_t>& values) {
  return HostTensor::FromInts(DType::kI64, std::move(dims), values);
}

}  // namespace rlx::onnx
