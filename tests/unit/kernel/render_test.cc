// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/render/render.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "runtime/base/status.h"
#include "runtime/kernel/builder.h"
#include "tests/support/gpu_kernels.h"
#include "tests/support/standard_kernels.h"

namespace rlx::kernel {
namespace {

using ::testing::HasSubstr;

std::string Rendered(const Kernel& kernel) {
  const auto text = Render({&kernel, 1}, CudaDialect());
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? text->substr(CudaDialect().prelude.size()) : "";
}

// The whole text of kernels of every shape; unit_cuda has NVRTC take the same ones.
TEST(Render, Cuda) {
  constexpr const char* kPath = "tests/unit/kernel/golden/cuda.txt";
  const auto text = Render(test::GpuKernels(), CudaDialect());
  ASSERT_TRUE(text.ok()) << text.status();
  if (std::getenv("RLX_UPDATE_DOCS") != nullptr) std::ofstream(kPath) << *text;
  std::ostringstream wanted;
  wanted << std::ifstream(kPath).rdbuf();
  EXPECT_EQ(*text, wanted.str()) << "run this test with RLX_UPDATE_DOCS=1 and read what changed";
}

// Every op and cast that the verifier lets through has a word.
TEST(Render, CudaHasAWordForEverything) {
  for (const Kernel& kernel : test::EveryOp()) {
    const auto text = Render({&kernel, 1}, CudaDialect());
    EXPECT_TRUE(text.ok()) << kernel.name << ": " << text.status();
  }
}

TEST(Render, IndexArithmeticIsPlainAndTheRestWraps) {
  Builder b("k", 8);
  const Value in = b.Input(Type::kI64), out = b.Output(Type::kI64);
  const Value at = b.GlobalId(Type::kI64);
  const Value data = b.Load(in, b.Div(at, b.I64(3)));
  b.Store(out, at, b.Add(data, b.I64(5)));
  const auto kernel = std::move(b).Finish();
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  const std::string text = Rendered(*kernel);
  EXPECT_THAT(text, HasSubstr(" / 3ll;"));
  EXPECT_THAT(text, HasSubstr("(long long)((unsigned long long)v"));
}

TEST(Render, ConstantsReadBack) {
  Builder b("k", 1);
  const Value f = b.Output(Type::kF32), d = b.Output(Type::kF64), i = b.Output(Type::kI64);
  b.Store(f, b.I32(0), b.F32(0.1F));
  b.Store(f, b.I32(1), b.Float(Type::kF32, -0.0));
  b.Store(f, b.I32(2), b.Identity(Op::kReduceMax, Type::kF32));
  b.Store(d, b.I32(0), b.Float(Type::kF64, 1e300));
  b.Store(i, b.I32(0), b.Identity(Op::kReduceMax, Type::kI64));
  const auto kernel = std::move(b).Finish();
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  const std::string text = Rendered(*kernel);
  for (const char* line :
       {"b0[0] = 0.1f;", "b0[1] = (-0.0f);", "b0[2] = rlx_bits<float>(4286578688u);",
        "b1[0] = 1e+300;", "b2[0] = (-9223372036854775807ll - 1);"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(Render, RefusesWhatDoesNotVerify) {
  Kernel kernel = test::AddKernel(8, 100);
  kernel.local = 7;
  EXPECT_EQ(Render({&kernel, 1}, CudaDialect()).status().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace rlx::kernel
