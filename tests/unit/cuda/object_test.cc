// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/object.h"

#include <gmock/gmock.h>

namespace rlx::cuda {
namespace {

std::vector<ObjectPart> TwoParts() {
  return {{{{"k0", 256}, {"k1", 32}}, std::string("\177ELF\n\0x", 7)}, {{{"k2", 1}}, ""}};
}

TEST(Object, ReadsWhatItWrote) {
  const auto parts = ReadObject(WriteObject(TwoParts()));
  ASSERT_TRUE(parts.ok()) << parts.status();
  ASSERT_EQ(parts->size(), 2u);
  EXPECT_EQ((*parts)[0].kernels[1].name, "k1");
  EXPECT_EQ((*parts)[0].kernels[1].lanes, 32);
  EXPECT_EQ((*parts)[0].cubin, TwoParts()[0].cubin);
  EXPECT_EQ((*parts)[1].kernels[0].lanes, 1);
  EXPECT_TRUE(ReadObject("")->empty());
}

TEST(Object, TakesNothingElse) {
  const std::string whole = WriteObject(TwoParts());
  const size_t second = WriteObject({TwoParts()[0]}).size();  // ends well there
  for (size_t end = 1; end < whole.size(); ++end) {
    if (end == second) continue;
    EXPECT_EQ(ReadObject(whole.substr(0, end)).status().code(), absl::StatusCode::kDataLoss) << end;
  }
  for (const char* text : {"rlx-cubin -1 0\n", "rlx-cubin 1 0\nk0 0\n", "rlx-cubin 1 0\nk0 4096\n",
                           "rlx-cubin 0 99999999999999999999\n", "cubin 0 0\n", "\n"}) {
    EXPECT_EQ(ReadObject(text).status().code(), absl::StatusCode::kDataLoss) << text;
  }
}

}  // namespace
}  // namespace rlx::cuda
