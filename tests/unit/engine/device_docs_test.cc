// SPDX-License-Identifier: Apache-2.0
#include "runtime/stages/device_docs.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "backends/cpu/cpu_backend.h"
#include "backends/cuda/cuda_backend.h"
#include "runtime/device/backend.h"

namespace rlx::stages {
namespace {

using ::testing::HasSubstr;

constexpr const char* kPath = "docs/devices.md";  // tests run in the source folder

std::string Docs() {
  const auto cpu = cpu::MakeCpuBackend();
  const auto cuda = cuda::MakeCudaBackend();
  return DeviceDocs({cpu.get(), cuda.get()});
}

TEST(DeviceDocs, AreUpToDate) {
  const std::string docs = Docs();
  if (std::getenv("RLX_UPDATE_DOCS") != nullptr) std::ofstream(kPath) << docs;
  std::ostringstream text;
  text << std::ifstream(kPath).rdbuf();
  EXPECT_EQ(text.str(), docs) << "run this test with RLX_UPDATE_DOCS=1";
}

TEST(DeviceDocs, SayWhatDevicesFollow) {
  const std::string docs = Docs();
  EXPECT_THAT(docs, HasSubstr("| `ane` | ANE | cpu | none: reports and LIR |"));
  EXPECT_THAT(docs, HasSubstr("| cpu | unbounded | unbounded | cpu, ane, opengl, directx |"));
  EXPECT_THAT(docs, HasSubstr("| wgpu | 32 | 16 | gpu, vulkan, webgpu |"));
  // By the tables cuda, rocm and tpu have no fused swiglu.
  EXPECT_THAT(docs, HasSubstr("| FusedSwiGLU | ● | ● | ● | ● |  |  |  | ✓ |"));
}

}  // namespace
}  // namespace rlx::stages
