// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/cpu_backend.h"

#include <gmock/gmock.h>

#include "backends/cpu/codegen/codegen.h"
#include "runtime/base/text.h"
#include "runtime/device/backend.h"

namespace rlx::cpu {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

// A patch of LLVM may change code, so that the whole number joins the key.
TEST(CpuBackend, NamesTheLlvmThatIsLoaded) {
  const auto backend = MakeCpuBackend();
  EXPECT_THAT(LlvmVersion(), MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
  EXPECT_EQ(backend->CompilerVersion(), Cat("llvm ", LlvmVersion()));
  for (const device::Target& target : backend->Targets()) {
    EXPECT_THAT(target.fingerprint, HasSubstr(Cat(";llvm=", LlvmVersion(), ";")));
  }
}

TEST(CpuBackend, DescribesTheProcessor) {
  std::string why_none;
  const auto devices = MakeCpuBackend()->Enumerate(why_none);
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_THAT(devices[0].vendor, MatchesRegex("[A-Za-z]+"));
  EXPECT_FALSE(devices[0].name.empty());
  EXPECT_GT(devices[0].memory_bytes, 0);
  EXPECT_EQ(devices[0].target.arch, "host");
}

}  // namespace
}  // namespace rlx::cpu
