// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "backends/cuda/api.h"
#include "backends/cuda/compile.h"
#include "backends/cuda/lowering/attention_source.h"
#include "backends/cuda/object.h"
#include "runtime/base/status.h"
#include "runtime/kernel/kernel.h"

namespace rlx::cuda {
namespace {

using Mask = AttentionShape::Mask;

// Heads as they lie in rows [batch, rows, heads * width].
AttentionShape InRows(DType dtype, int64_t width, int64_t queries, int64_t keys) {
  AttentionShape s{.dtype = dtype, .batch = 2, .heads = 4, .kv_heads = 2};
  s.queries = queries;
  s.keys = keys;
  s.head_dim = s.value_dim = width;
  s.q = s.out = {queries * 4 * width, width, 4 * width};
  s.k = s.v = {keys * 2 * width, width, 2 * width};
  return s;
}

kernel::Kernel KernelOf(const AttentionShape& shape, size_t number) {
  return {.name = Cat("k", number),
          .local = kernel::kSubgroup * shape.Warps(),
          .source = AttentionSource(shape)};
}

TEST(AttentionShape, FillsTheDevice) {
  AttentionShape s = InRows(DType::kF16, 64, 128, 128);
  EXPECT_EQ(s.Warps(), 1);  // 2 * 4 heads of eight times 16 queries
  EXPECT_EQ(s.Groups(), 64);
  s.batch = 4;
  EXPECT_EQ(s.Warps(), 2);
  s.batch = 32;
  EXPECT_EQ(s.Warps(), 4);
  EXPECT_EQ(s.Groups(), 32 * 4 * 2);
  s.queries = 1;
  EXPECT_EQ(s.Groups(), 128);
  s.queries = 0;
  EXPECT_EQ(s.Groups(), 0);
}

TEST(AttentionSource, CompilesInEveryForm) {
  const auto nvrtc = Nvrtc::Load();
  if (!nvrtc.ok()) GTEST_SKIP() << "NOTHING IS COMPILED: " << Message(nvrtc.status());
  std::vector<AttentionShape> shapes;
  for (int64_t width : {1, 9, 40, 64, 80, 128}) {
    shapes.push_back(InRows(DType::kF16, width, 70, 130));
    shapes.push_back(InRows(DType::kBF16, width, 128, 128));
  }
  AttentionShape s = InRows(DType::kF16, 64, 100, 200);
  s.causal = true;
  shapes.push_back(s);
  s.window = 6;
  s.softcap = 30;
  s.value_dim = 24;
  shapes.push_back(s);
  s = InRows(DType::kBF16, 64, 100, 200);
  s.mask_strides = {200, 0, 0, 1};
  s.mask = Mask::kKeep;
  shapes.push_back(s);
  s.mask = Mask::kBias;
  s.scale = -0.5;
  shapes.push_back(s);
  s.keys = 0;
  shapes.push_back(s);
  std::vector<kernel::Kernel> kernels;
  for (const AttentionShape& shape : shapes) kernels.push_back(KernelOf(shape, kernels.size()));
  for (std::string_view arch : {"sm_80", "sm_90"}) {
    const auto object = CompileToCubin(*nvrtc, kernels, arch, {});
    ASSERT_TRUE(object.ok()) << object.status();
    EXPECT_EQ(ReadObject(*object)->front().kernels.size(), kernels.size());
  }
}

}  // namespace
}  // namespace rlx::cuda
