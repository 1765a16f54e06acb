// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

// The Call steps of this back end's programs.
namespace rlx::cuda {

// Buffers a, b, bias or absent, residual or absent, d; ints as MatMulInt. Row by row:
// d = activation(a · b + bias) or d = a · b + bias + residual.
inline constexpr std::string_view kMatMulRoutine = "cublaslt_matmul";
enum MatMulInt : size_t {
  kM,
  kN,
  kK,
  kLda,  // elements from a row to the next; from a column to the next where transposed
  kTransposedA,
  kLdb,
  kTransposedB,
  kDType,
  kEpilogue,
  kBatch,
  kStrideA,  // elements from a matrix of the batch to the next
  kStrideB,
  kStrideD,
  kMatMulInts
};
enum class Epilogue : int64_t { kNone, kRelu, kGeluTanh };

// Buffer word, of four bytes: what launches write there instead goes to a table that is read after
// each run; a word that is not 0 fails it with the step's label.
inline constexpr std::string_view kFaultRoutine = "fault_word";

}  // namespace rlx::cuda
