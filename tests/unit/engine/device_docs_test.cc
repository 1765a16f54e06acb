// SPDX-License-Identifier: Apache-2.0
#include "runtime/stages/device_docs.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "backends/cpu/cpu_backend.h"
#if RLX_WITH_CUDA
#include "backends/cuda/cuda_backend.h"
#endif
#include "runtime/device/backend.h"

namespace rlx::stages {
namespace {

using ::testing::HasSubstr;

constexpr const char* kPath = "docs/devices.md";  // tests run in the source folder

// Of every back end. A build that leaves one out, or lacks its compiler, cannot tell: empty.
std::string Docs() {
#if RLX_WITH_CUDA
  const auto cpu = cpu::MakeCpuBackend();
  const auto cuda = cuda::MakeCudaBackend();
  return cuda->Targets().empty() ? "" : DeviceDocs({cpu.get(), cuda.get()});
#else
  return "";
#endif
}

TEST(DeviceDocs, AreUpToDate) {
  const std::string docs = Docs();
  if (docs.empty()) GTEST_SKIP() << "a back end or its compiler is not here";
  if (std::getenv("RLX_UPDATE_DOCS") != nullptr) std::ofstream(kPath) << docs;
  std::ostringstream text;
  text << std::ifstream(kPath).rdbuf();
  EXPECT_EQ(text.str(), docs) << "run this test with RLX_UPDATE_DOCS=1";
}

TEST(DeviceDocs, SayWhatDevicesFollow) {
  const std::string docs = Docs();
  if (docs.empty()) GTEST_SKIP() << "a back end or its compiler is not here";
  EXPECT_THAT(docs, HasSubstr("| `ane` | ANE | cpu | none: reports and LIR |"));
  EXPECT_THAT(docs, HasSubstr("| cpu | unbounded | unbounded | cpu, ane, opengl, directx |"));
  EXPECT_THAT(docs, HasSubstr("| wgpu | 32 | 16 | gpu, vulkan, webgpu |"));
  // By the tables cuda, rocm and tpu have no fused swiglu.
  EXPECT_THAT(docs, HasSubstr("| FusedSwiGLU | ● | ● | ● | ● |  |  |  | ✓ |"));
}

}  // namespace
}  // namespace rlx::stages
