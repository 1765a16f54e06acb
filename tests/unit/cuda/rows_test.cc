// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "backends/cuda/api.h"
#include "backends/cuda/compile.h"
#include "backends/cuda/lowering/rows_source.h"
#include "backends/cuda/object.h"
#include "runtime/base/status.h"
#include "runtime/kernel/kernel.h"

namespace rlx::cuda {
namespace {

TEST(NormShape, FillsTheDevice) {
  NormShape s{.rows = 128, .width = 768};
  EXPECT_EQ(s.Warps(), 1);
  EXPECT_EQ(s.Groups(), 128);
  s.rows = 4097;
  EXPECT_EQ(s.Warps(), 8);
  EXPECT_EQ(s.Groups(), 513);
  s.rows = 0;
  EXPECT_EQ(s.Groups(), 0);
}

TEST(EpilogueShape, TakesEightElementsALane) {
  EpilogueShape s{.elements = 8 * 256};
  EXPECT_EQ(s.Groups(), 1);
  s.elements += 8;
  EXPECT_EQ(s.Groups(), 2);
  EXPECT_TRUE(EpilogueShape::Knows("gelu"));
  EXPECT_FALSE(EpilogueShape::Knows("mish"));
}

TEST(RowsSource, CompilesInEveryForm) {
  const auto nvrtc = Nvrtc::Load();
  if (!nvrtc.ok()) GTEST_SKIP() << "NOTHING IS COMPILED: " << Message(nvrtc.status());
  std::vector<kernel::Kernel> kernels;
  const auto add = [&](int lanes, std::string source) {
    kernels.push_back(
        {.name = Cat("k", kernels.size()), .local = lanes, .source = std::move(source)});
  };
  for (DType dtype : {DType::kF16, DType::kBF16}) {
    for (const char* activation : {"none", "relu", "gelu"}) {
      for (bool residual : {false, true}) {
        const EpilogueShape shape{dtype, 4096, activation, residual};
        add(EpilogueShape::kLanes, EpilogueSource(shape));
      }
    }
    for (int roles = 0; roles < 64; roles += 7) {
      NormShape shape{.dtype = dtype, .rows = 1000, .width = 8 + 72 * roles, .eps = 1e-12};
      shape.width = std::min(shape.width, NormShape::kMostWidth);
      shape.centered = (roles & 1) != 0;
      shape.residual = (roles & 2) != 0;
      shape.bias = (roles & 4) != 0;
      shape.gamma = (roles & 8) != 0;
      shape.beta = (roles & 16) != 0;
      shape.sum = (roles & 32) != 0;
      shape.norm = !shape.sum || shape.centered;
      add(kernel::kSubgroup * shape.Warps(), NormSource(shape));
    }
  }
  for (std::string_view arch : {"sm_80", "sm_90"}) {
    const auto object = CompileToCubin(*nvrtc, kernels, arch, {});
    ASSERT_TRUE(object.ok()) << object.status();
    EXPECT_EQ(ReadObject(*object)->front().kernels.size(), kernels.size());
  }
}

}  // namespace
}  // namespace rlx::cuda
