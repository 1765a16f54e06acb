// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/safetensors_file.h"

namespace rlx::ctl {
namespace {

using test::SafetensorsFile;
using testing::ElementsAre;
using testing::HasSubstr;

std::string ErrorOf(std::string_view bytes) {
  const auto tensors = ParseSafetensors(bytes);
  return tensors.ok() ? "" : std::string(Message(tensors.status()));
}

TEST(Safetensors, NamesSlicesOfTheFile) {
  const std::string_view header =
      R"({"__metadata__":{"format":"pt"},
          "w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
          "n":{"dtype":"I64","shape":[],"data_offsets":[24,32]},
          "h":{"dtype":"BF16","shape":[1,1,2],"data_offsets":[32,36]},
          "q":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[36,39]}}   )";
  const auto tensors = ParseSafetensors(SafetensorsFile(header, 39));
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 4u);
  EXPECT_EQ(tensors->at("q").dtype, v1::DTYPE_FP8E4M3);
  const TensorSlice& w = tensors->at("w");
  EXPECT_EQ(w.dtype, v1::DTYPE_F32);
  EXPECT_THAT(w.shape, ElementsAre(2, 3));
  EXPECT_EQ(w.offset, 8 + header.size());
  EXPECT_EQ(w.length, 24u);
  EXPECT_TRUE(tensors->at("n").shape.empty());
  EXPECT_EQ(tensors->at("h").offset, 8 + header.size() + 32);
}

TEST(Safetensors, NamesTheTensorThatIsWrong) {
  const auto error = [](std::string_view entry) {
    return ErrorOf(SafetensorsFile(Cat(R"({"w":)", entry, "}"), 24));
  };
  ASSERT_EQ(error(R"({"dtype":"F32","shape":[2,3],"data_offsets":[0,24]})"), "");
  EXPECT_THAT(error("3"), HasSubstr("tensor \"w\": has no dtype"));
  EXPECT_THAT(error(R"({"dtype":"F8_E8M0","shape":[24],"data_offsets":[0,24]})"),
              HasSubstr("tensor \"w\": rlxd has no element type \"F8_E8M0\""));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[5],"data_offsets":[0,24]})"),
              HasSubstr("do not hold shape [5]"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,24]})"),
              HasSubstr("do not hold shape"));
}

}  // namespace
}  // namespace rlx::ctl
