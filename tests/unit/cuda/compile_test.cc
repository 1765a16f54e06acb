// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/compile.h"

#include <gmock/gmock.h>

#include "backends/cuda/api.h"
#include "backends/cuda/object.h"
#include "runtime/base/status.h"
#include "tests/support/gpu_kernels.h"

namespace rlx::cuda {
namespace {

using kernel::test::EveryOp;
using kernel::test::GpuKernels;
using ::testing::StartsWith;

// NVRTC needs no GPU, but it has to be there.
class Compile : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!nvrtc_.ok()) GTEST_SKIP() << "NOTHING IS COMPILED: " << Message(nvrtc_.status());
  }

  std::vector<ObjectPart> Parts(const std::vector<kernel::Kernel>& kernels, std::string_view arch) {
    const auto object = CompileToCubin(*nvrtc_, kernels, arch, {});
    EXPECT_TRUE(object.ok()) << object.status();
    const auto parts = object.ok() ? ReadObject(*object) : object.status();
    EXPECT_TRUE(parts.ok()) << parts.status();
    return parts.ok() ? *parts : std::vector<ObjectPart>();
  }

  const absl::StatusOr<Nvrtc> nvrtc_ = Nvrtc::Load();
};

TEST_F(Compile, TheGoldenKernels) {
  const std::vector<kernel::Kernel> kernels = GpuKernels();
  for (std::string_view arch : {"sm_80", "sm_90"}) {
    const std::vector<ObjectPart> parts = Parts(kernels, arch);
    ASSERT_EQ(parts.size(), 1u);
    EXPECT_THAT(parts[0].cubin, StartsWith("\177ELF"));
    ASSERT_EQ(parts[0].kernels.size(), kernels.size());
    for (size_t k = 0; k < kernels.size(); ++k) {
      EXPECT_EQ(parts[0].kernels[k].name, kernels[k].name);
      EXPECT_EQ(parts[0].kernels[k].lanes, kernels[k].local);
    }
  }
}

TEST_F(Compile, EveryOpOnEveryType) {
  const std::vector<kernel::Kernel> kernels = EveryOp();
  size_t compiled = 0;
  for (const ObjectPart& part : Parts(kernels, "sm_90")) compiled += part.kernels.size();
  EXPECT_EQ(compiled, kernels.size());
}

TEST_F(Compile, TheSameToTheSameBytes) {
  const auto kernels = GpuKernels();
  const auto once = CompileToCubin(*nvrtc_, kernels, "sm_90", {});
  const auto again = CompileToCubin(*nvrtc_, kernels, "sm_90", {});
  ASSERT_TRUE(once.ok() && again.ok());
  EXPECT_TRUE(*once == *again);
}

TEST_F(Compile, StopsWhenNobodyWaits) {
  const CancelToken late({}, CancelToken::Clock::now());
  const auto kernels = GpuKernels();
  EXPECT_EQ(CompileToCubin(*nvrtc_, kernels, "sm_90", late).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(Compile, SaysWhatNvrtcSays) {
  const auto kernels = GpuKernels();
  const auto object = CompileToCubin(*nvrtc_, kernels, "sm_1", {});
  EXPECT_EQ(object.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(Message(object.status())), StartsWith("nvrtc: "));
}

}  // namespace
}  // namespace rlx::cuda
