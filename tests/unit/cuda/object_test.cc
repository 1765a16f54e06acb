// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/object.h"

#include <gmock/gmock.h>

namespace rlx::cuda {
namespace {

std::vector<ObjectPart> TwoParts() {
  const TensorMap map{.buffer = 1,
                      .dtype = DType::kBF16,
                      .dims = {64, 100, 3},
                      .strides = {192, 128},
                      .box = {64, 64, 2},
                      .swizzle = 64};
  const LaunchNotes notes{.shared_bytes = 4096, .waits = true, .maps = {map}};
  return {{{{"k0", 256}, {"k1", 32, notes}}, std::string("\177ELF\n\0x", 7)}, {{{"k2", 1}}, ""}};
}

TEST(Object, ReadsWhatItWrote) {
  const auto parts = ReadObject(WriteObject(TwoParts()));
  ASSERT_TRUE(parts.ok()) << parts.status();
  ASSERT_EQ(parts->size(), 2u);
  EXPECT_EQ((*parts)[0].kernels[1].name, "k1");
  EXPECT_EQ((*parts)[0].kernels[1].lanes, 32);
  EXPECT_EQ((*parts)[0].kernels[0].notes, LaunchNotes());
  EXPECT_EQ((*parts)[0].kernels[1].notes, TwoParts()[0].kernels[1].notes);
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
  ASSERT_TRUE(ReadObject("rlx-cubin-2 1 0\nk0 1 0 0 0\n").ok());
  for (const char* text :
       {"rlx-cubin-2 -1 0\n", "rlx-cubin-2 1 0\nk0 0 0 0 0\n", "rlx-cubin-2 1 0\nk0 4096 0 0 0\n",
        "rlx-cubin-2 0 99999999999999999999\n", "cubin 0 0\n", "\n",
        "rlx-cubin-2 1 0\nk0 1\n",                                // no notes
        "rlx-cubin-2 1 0\nk0 1 0 0\n",                            // too few
        "rlx-cubin-2 1 0\nk0 1 0 0 0 0\n",                        // too many
        "rlx-cubin-2 1 0\nk0 1 -1 0 0\n",                         // shared memory below none
        "rlx-cubin-2 1 0\nk0 1 999999 0 0\n",                     // more than a part has
        "rlx-cubin-2 1 0\nk0 1 0 2 0\n",                          // neither yes nor no
        "rlx-cubin-2 1 0\nk0 1 0 0 5\n",                          // too many maps
        "rlx-cubin-2 1 0\nk0 1 0 0 1 0 0 1 8 8 1\n",              // a map of rank one
        "rlx-cubin-2 1 0\nk0 1 0 0 1 0 0 2 0 1 16 8 1 1\n",       // of nothing
        "rlx-cubin-2 1 0\nk0 1 0 0 1 0 0 2 8 1 16 512 1 1\n"}) {  // with too large a box
    EXPECT_EQ(ReadObject(text).status().code(), absl::StatusCode::kDataLoss) << text;
  }
}

}  // namespace
}  // namespace rlx::cuda
