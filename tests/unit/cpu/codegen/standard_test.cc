// SPDX-License-Identifier: Apache-2.0
#include "tests/support/standard_kernels.h"
#include "tests/unit/cpu/codegen/harness.h"

// The shapes of kernels that lowering makes, at sizes with and without tails, for several group
// widths.
namespace rlx::cpu::test {
namespace {

using namespace kernel::test;
using kernel::Type;

class StandardKernels : public ::testing::TestWithParam<int> {
 protected:
  int local() const { return GetParam(); }
  int64_t Groups(int64_t elements) const { return (elements + local() - 1) / local(); }
};

TEST_P(StandardKernels, Add) {
  for (int64_t n : {1, 7, 64, 100, 257}) {
    ExpectAgrees(
        {AddKernel(local(), n),
         {Spread(Type::kF32, n, -3, 3), Spread(Type::kF32, n, 0, 1), Filled(Type::kF32, n, 9)},
         {},
         Groups(n)});
  }
}

TEST_P(StandardKernels, BiasTanhBroadcastsAlongRows) {
  for (int64_t columns : {1, 3, 16, 48, 64}) {
    const int64_t n = 5 * columns;
    ExpectAgrees({BiasTanhKernel(local(), 5, columns),
                  {Spread(Type::kF32, n, -3, 3), Spread(Type::kF32, columns, 0, 1),
                   Filled(Type::kF32, n, 9)},
                  {},
                  Groups(n)},
                 {1e-6, 1e-6});
  }
}

TEST_P(StandardKernels, Gelu) {
  const int64_t n = 203;
  ExpectAgrees({GeluKernel(local(), n),
                {Spread(Type::kF32, n, -6, 6), Filled(Type::kF32, n, 9)},
                {},
                Groups(n)},
               {2e-7, 1e-6});
}

TEST_P(StandardKernels, Softmax) {
  for (int64_t columns : {1, 15, 64, 100, 384}) {
    ExpectAgrees({SoftmaxKernel(local(), columns),
                  {Spread(Type::kF32, 3 * columns, -20, 20), Filled(Type::kF32, 3 * columns, 9)},
                  {},
                  3},
                 {1e-7, 3e-6});
  }
}

TEST_P(StandardKernels, LayerNorm) {
  for (int64_t columns : {1, 20, 64, 100, 384}) {
    const int64_t n = 4 * columns;
    ExpectAgrees({LayerNormKernel(local(), columns, 1e-5F),
                  {Spread(Type::kF32, n, -3, 5), Spread(Type::kF32, n, -1, 1),
                   Spread(Type::kF32, columns, 0.5, 1.5), Spread(Type::kF32, columns, -1, 1),
                   Filled(Type::kF32, n, 0), Filled(Type::kF32, n, 0)},
                  {},
                  4},
                 {1e-6, 1e-6});
  }
}

TEST_P(StandardKernels, ReduceOverAMiddleAxis) {
  for (int64_t inner : {1, 5, 64}) {
    const int64_t outer = 3, n = 11;
    ExpectAgrees(
        {ReduceMiddleKernel(local(), outer, n, inner),
         {Spread(Type::kF32, outer * n * inner, -1, 1), Filled(Type::kF32, outer * inner, 9)},
         {},
         Groups(outer * inner)});
  }
}

TEST_P(StandardKernels, Transpose) {
  for (int64_t rows : {1, 7, 64}) {
    const int64_t n = rows * 33;
    ExpectAgrees({TransposeKernel(local(), rows, 33),
                  {Spread(Type::kF32, n, -1, 1), Filled(Type::kF32, n, 9)},
                  {},
                  Groups(n)});
  }
}

TEST_P(StandardKernels, GatherClampsIndices) {
  for (int64_t columns : {1, 10, 64}) {
    const std::vector<kernel::Bits> index = {3, 0, -5, 9, 4, 3};
    ExpectAgrees(
        {GatherKernel(local(), 5, columns),
         {Spread(Type::kF32, 5 * columns, -1, 1), index, Filled(Type::kF32, 6 * columns, 9)},
         {},
         6});
  }
}

TEST_P(StandardKernels, ArgMax) {
  for (int64_t columns : {1, 17, 128}) {
    ExpectAgrees({ArgMaxKernel(local(), columns),
                  {Spread(Type::kF32, 3 * columns, -1, 1), Filled(Type::kI64, 3, 9)},
                  {},
                  3});
  }
}

TEST_P(StandardKernels, ReverseThroughSharedMemory) {
  const int64_t n = 3 * local();
  ExpectAgrees(
      {ReverseKernel(local()), {Spread(Type::kF32, n, -1, 1), Filled(Type::kF32, n, 9)}, {}, 3});
}

INSTANTIATE_TEST_SUITE_P(Widths, StandardKernels, ::testing::Values(1, 4, 8, 16, 32));

}  // namespace
}  // namespace rlx::cpu::test
