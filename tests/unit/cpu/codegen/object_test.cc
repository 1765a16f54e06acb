// SPDX-License-Identifier: Apache-2.0
#include <elf.h>

#include <cstring>
#include <fstream>
#include <thread>

#include "runtime/base/status.h"
#include "tests/support/standard_kernels.h"
#include "tests/unit/cpu/codegen/harness.h"

// Targets, objects and their loading.
namespace rlx::cpu::test {
namespace {

using namespace kernel::test;

std::string Object(const kernel::Kernel& kernel, std::string_view target) {
  auto object = CompileToObject({&kernel, 1}, *TargetByName(target));
  EXPECT_TRUE(object.ok()) << object.status();
  return object.ok() ? *object : "";
}

TEST(Target, ProfilesGrow) {
  EXPECT_EQ(TargetByName("x86-64")->lanes, 4);
  EXPECT_EQ(TargetByName("x86-64-v3")->lanes, 8);
  EXPECT_EQ(TargetByName("x86-64-v4")->lanes, 16);
  EXPECT_TRUE(TargetByName("x86-64-v4")->Has("fma"));
  EXPECT_FALSE(TargetByName("x86-64")->Has("avx"));
  EXPECT_EQ(Message(TargetByName("i386").status()), "no cpu profile \"i386\"");
}

TEST(Target, FingerprintsDiffer) {
  const std::string v3 = TargetByName("x86-64-v3")->Fingerprint();
  EXPECT_NE(v3, TargetByName("x86-64-v4")->Fingerprint());
  EXPECT_EQ(v3, TargetByName("x86-64-v3")->Fingerprint());
  EXPECT_NE(v3.find("llvm=19"), std::string::npos) << v3;
}

TEST(Target, HostRunsItselfAndTheBaseline) {
  EXPECT_TRUE(CheckHostRuns(HostTarget()).ok());
  EXPECT_TRUE(CheckHostRuns(*TargetByName("x86-64")).ok());
}

TEST(Object, IsRefusedWhereTheProcessorLacksAFeature) {
  CpuTarget target = *TargetByName("x86-64");
  target.name = "future";
  target.features += ",+amx-avx512";
  EXPECT_EQ(Message(CheckHostRuns(target)),
            "code for future needs amx-avx512, which this processor lacks");
  // The object says itself what it needs: one made for more than the host has is refused at load.
  std::string object = Object(AddKernel(4, 8), "x86-64");
  const size_t at = object.find("+cx8,+fxsr");
  ASSERT_NE(at, object.npos);
  object.replace(at, 10, "+cx8,+qxsr");
  const auto loaded = LoadedObject::Load(object);
  EXPECT_EQ(loaded.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Message(loaded.status()),
            "code for this object needs qxsr, which this processor lacks");
}

TEST(Object, IsTheSameForTheSameInput) {
  const kernel::Kernel kernel = LayerNormKernel(16, 384, 1e-5F);
  EXPECT_EQ(Object(kernel, "x86-64-v3"), Object(kernel, "x86-64-v3"));
  EXPECT_NE(Object(kernel, "x86-64-v3"), Object(kernel, "x86-64-v4"));
}

TEST(Object, HoldsSeveralKernels) {
  const kernel::Kernel kernels[] = {AddKernel(8, 64), SoftmaxKernel(8, 64), ReverseKernel(8)};
  const auto object = CompileToObject(kernels, HostTarget());
  ASSERT_TRUE(object.ok()) << object.status();
  const auto code = LoadedObject::Load(*object);
  ASSERT_TRUE(code.ok()) << code.status();
  for (const char* name : {"add", "softmax", "reverse"})
    EXPECT_NE((*code)->Find(name), nullptr) << name;
  EXPECT_EQ((*code)->Find("mul"), nullptr);
}

TEST(Object, HoldsMoreKernelsThanGoIntoOneModule) {
  std::vector<kernel::Kernel> kernels;
  for (int k = 0; k < 20; ++k) {
    kernels.push_back(AddKernel(8, 64 + k));
    kernels.back().name = Cat("add", k);
  }
  const auto object = CompileToObject(kernels, HostTarget());
  ASSERT_TRUE(object.ok()) << object.status();
  const auto code = LoadedObject::Load(*object);
  ASSERT_TRUE(code.ok()) << code.status();
  for (const kernel::Kernel& kernel : kernels) EXPECT_NE((*code)->Find(kernel.name), nullptr);
  // Of several objects the last is cut, or followed by what is none.
  EXPECT_EQ(LoadedObject::Load(object->substr(0, object->size() - 1)).status().code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(LoadedObject::Load(*object + "x").status().code(), absl::StatusCode::kDataLoss);
}

TEST(Object, StopsWhenNobodyWaits) {
  std::stop_source stop;
  stop.request_stop();
  const kernel::Kernel kernel = AddKernel(8, 64);
  const auto object = CompileToObject({&kernel, 1}, HostTarget(), CancelToken(stop.get_token()));
  EXPECT_EQ(object.status().code(), absl::StatusCode::kCancelled);
}

TEST(Object, RefusesWhatIsNoKernel) {
  const kernel::Kernel twice[] = {AddKernel(8, 64), AddKernel(8, 64)};
  EXPECT_EQ(Message(CompileToObject(twice, HostTarget()).status()),
            "two kernels have the name add");
  kernel::Kernel broken = AddKernel(8, 64);
  broken.body.pop_back();
  EXPECT_EQ(CompileToObject({&broken, 1}, HostTarget()).status().code(),
            absl::StatusCode::kInternal);
  const kernel::Kernel wide = AddKernel(128, 512);
  EXPECT_EQ(CompileToObject({&wide, 1}, HostTarget()).status().code(),
            absl::StatusCode::kUnimplemented);
}

// Every prefix, and every file with one byte changed in its headers, is loaded or refused, but
// never read past its end.
TEST(Object, SurvivesDamage) {
  const std::string whole =
      Object(MathKernel(4, kernel::Op::kPow, kernel::Type::kF64, 8), "x86-64");
  for (size_t size = 0; size < whole.size(); size += 7) {
    const std::string cut(whole.data(), size);
    EXPECT_EQ(LoadedObject::Load(cut).status().code(), absl::StatusCode::kDataLoss) << size;
  }
  Elf64_Ehdr header;
  std::memcpy(&header, whole.data(), sizeof(header));
  const auto damage = [&](size_t begin, size_t end) {
    for (size_t at = begin; at < end; ++at) {
      for (int value : {0x00, 0x7f, 0xff}) {
        std::string bad = whole;
        bad[at] = static_cast<char>(value);
        const auto loaded = LoadedObject::Load(bad);
        EXPECT_TRUE(loaded.ok() || !Message(loaded.status()).empty());
      }
    }
  };
  damage(0, sizeof(Elf64_Ehdr));
  damage(header.e_shoff, whole.size());
}

// Writable and executable at once is nowhere.
TEST(Object, CodeIsNotWritable) {
  const std::string object = Object(GeluKernel(4, 64), "x86-64");
  const auto code = LoadedObject::Load(object);
  ASSERT_TRUE(code.ok());
  const auto address = reinterpret_cast<uint64_t>((*code)->Find("gelu"));
  std::ifstream maps("/proc/self/maps");
  bool found = false;
  for (std::string line; std::getline(maps, line);) {
    uint64_t begin = 0, end = 0;
    char modes[5] = {};
    ASSERT_EQ(std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, modes), 3);
    if (address < begin || address >= end) continue;
    found = true;
    EXPECT_EQ(std::string(modes), "r-xp");
  }
  EXPECT_TRUE(found);
}

TEST(Object, CompilesInSeveralThreadsAtOnce) {
  const kernel::Kernel kernel = SoftmaxKernel(8, 100);
  const std::string want = Object(kernel, "x86-64-v3");
  std::vector<std::string> got(4);
  std::vector<std::thread> threads;
  for (std::string& out : got) {
    threads.emplace_back([&] { out = Object(kernel, "x86-64-v3"); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& object : got) EXPECT_EQ(object, want);
}

}  // namespace
}  // namespace rlx::cpu::test
