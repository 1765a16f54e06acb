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

// y = the param of that place, among two.
std::shared_ptr<const device::Program> CopyOf(int32_t param, const device::Target& target) {
  const TensorType type{DType::kF32, {4}};
  auto program = std::make_shared<device::Program>();
  program->target_fingerprint = target.fingerprint;
  program->params = {{"p", type}, {"q", type}};
  program->outputs = {{"y", type}};
  program->buffers = {{.storage = Storage::kParam, .index = param, .bytes = 16},
                      {.storage = Storage::kOutput, .index = 0, .bytes = 16}};
  program->steps = {{.kind = device::Step::Kind::kCopy, .buffers = {0, 1}}};
  return program;
}

// A set of weights holds what its own program reads: another one's run is an error, no read of
// what is not there.
TEST(CpuExecutable, AMissingParamIsAnError) {
  const auto backend = MakeCpuBackend();
  std::string why_none;
  const auto info = backend->Enumerate(why_none);
  const auto device = backend->Open(info.at(0).id, {.threads = 1});
  ASSERT_TRUE(device.ok()) << device.status();
  const auto first = (*device)->Load(CopyOf(0, info[0].target));
  const auto second = (*device)->Load(CopyOf(1, info[0].target));
  ASSERT_TRUE(first.ok() && second.ok()) << first.status();
  const SharedBytes bytes(std::string(16, 'x'));
  const std::vector<SharedBytes> both = {bytes, bytes}, lacking = {bytes, SharedBytes()};
  const absl::Status unbound = (*second)->BindWeights(lacking, {}).status();
  EXPECT_TRUE(absl::IsInternal(unbound)) << unbound;
  EXPECT_THAT(Cat(unbound), HasSubstr("param \"q\" has 16 bytes, 0 are bound"));
  const auto weights = (*first)->BindWeights(both, {});
  ASSERT_TRUE(weights.ok()) << weights.status();
  std::string y(16, '\0');
  const std::span<uint8_t> out{reinterpret_cast<uint8_t*>(y.data()), y.size()};
  const auto run = [&](const device::Executable& executable) {
    const auto context = executable.NewContext();
    return context.ok() ? (*context)->Run(**weights, {}, {&out, 1}, {}) : context.status();
  };
  EXPECT_TRUE(run(**first).ok());
  EXPECT_EQ(y, bytes.view());
  const absl::Status elsewhere = run(**second);
  EXPECT_TRUE(absl::IsInternal(elsewhere)) << elsewhere;
  EXPECT_THAT(Cat(elsewhere), HasSubstr("lack param \"q\""));
}

}  // namespace
}  // namespace rlx::cpu
