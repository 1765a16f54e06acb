// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/machine_memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temp_dir.h"

namespace rlx {
namespace {

constexpr int64_t kMachine = 64'000;

class MachineMemoryTest : public testing::Test {
 protected:
  void Say(const std::string& file, const std::string& text) const {
    const std::filesystem::path path(root_ / file);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text << "\n";
  }
  int64_t Limit(const std::string& membership) const {
    return LeastMemoryLimit(kMachine, membership, root_.path());
  }
  TempDir root_;
};

TEST_F(MachineMemoryTest, IsTheMachinesWithoutALimit) {
  EXPECT_EQ(Limit(""), kMachine);
  EXPECT_EQ(Limit("0::/\n"), kMachine);
  Say("memory.max", "max");
  Say("memory/memory.limit_in_bytes", "9223372036854771712");
  EXPECT_EQ(Limit("0::/\n4:memory:/\n"), kMachine);
  EXPECT_GT(UsableMemory(), 0);
}

TEST_F(MachineMemoryTest, IsTheLeastOfTheGroupsAboveUs) {
  Say("system.slice/rlxd.service/memory.max", "3000");
  EXPECT_EQ(Limit("0::/system.slice/rlxd.service\n"), 3000);
  Say("system.slice/memory.max", "2000");
  EXPECT_EQ(Limit("0::/system.slice/rlxd.service\n"), 2000);
  EXPECT_EQ(Limit("0::/other.slice\n"), kMachine);
  Say("memory.max", "1000");
  EXPECT_EQ(Limit("0::/system.slice/rlxd.service\n"), 1000);
}

TEST_F(MachineMemoryTest, IsTheContainersWhoseNameIsTheHosts) {
  Say("memory/memory.limit_in_bytes", "5000");
  EXPECT_EQ(Limit("7:cpu,cpuacct:/docker/abc\n4:hugetlb,memory:/docker/abc\n0::/docker/abc\n"),
            5000);
  EXPECT_EQ(Limit("7:cpu,cpuacct:/docker/abc\n"), kMachine);
}

TEST_F(MachineMemoryTest, TakesNoNonsense) {
  Say("memory.max", "-5");
  EXPECT_EQ(Limit("0::/\n0:\nmemory\n::\n4:memory:relative\n0::/../..\n"), kMachine);
}

}  // namespace
}  // namespace rlx
