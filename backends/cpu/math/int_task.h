// SPDX-License-Identifier: Apache-2.0
// What the inner kernels of the product of i32 are told. Sums wrap, as i32 does, so any way of
// adding up is exact. Most such products are of 8-bit codes less a zero point: a row of A, and a
// column of B, then spans 256 values at most, and is held as codes of a byte above its own `low`:
//
//   A = a' + low of the row, a' in [0, 255]      B = b' + low of the column, b' in [-128, 127]
//   A·B = Σ a'·b' + low_row · Σ b' + low_column · Σ A
//
// Four codes along k meet four others in one lane. A panel of B in which a column spans more, and
// a row of A that does, are multiplied as they are.
#pragma once

#include <cstdint>

namespace rlx::cpu {

// Codes along k that lie side by side in a lane.
inline constexpr int64_t kQuad = 4;

// One row of A: its codes, and what they stand for.
struct IntRow {
  int32_t low = 0, sum = 0;  // of A, not of its codes
  bool wide = false;         // spans more than codes hold: there are none
};
struct IntRowTask {
  const int32_t* a = nullptr;
  int64_t k = 0;
  uint8_t* codes = nullptr;  // k of them, and zeros up to a whole quad
};

// What precedes the elements of a panel: for each column the sum of its codes, and its low.
struct IntPanelHead {
  const int32_t* sums = nullptr;
  const int32_t* lows = nullptr;
};

// C[rows, columns] = A B for one panel; pointers are to the first element that the task touches.
struct IntPanelTask {
  int64_t rows = 0, k = 0;
  const int32_t* a = nullptr;
  int64_t lda = 0;
  const uint8_t* codes = nullptr;  // of A, whole quads a row
  const IntRow* row = nullptr;
  bool wide = false;  // b has i32, k rows of a whole panel's width; else quads of codes
  const void* b = nullptr;
  IntPanelHead head = {};
  int columns = 0;
  int32_t* c = nullptr;
  int64_t ldc = 0;
};

// One of each for every ISA. AVX-512 has two ways to multiply codes: with VNNI, and without it.
IntRow CodeRowGeneric(const IntRowTask&);
IntRow CodeRowAvx2(const IntRowTask&);
IntRow CodeRowAvx512(const IntRowTask&);
void IntPanelGeneric(const IntPanelTask&);
void IntPanelAvx2(const IntPanelTask&);
void IntPanelAvx512(const IntPanelTask&);
void IntPanelVnni(const IntPanelTask&);

}  // namespace rlx::cpu
