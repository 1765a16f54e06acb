// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rlx::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string File(std::string_view header, size_t data_bytes, uint64_t length) {
  std::string out(reinterpret_cast<const char*>(&length), sizeof(length));
  return Cat(out, header, std::string(data_bytes, 'x'));
}
std::string File(std::string_view header, size_t data_bytes) {
  return File(header, data_bytes, header.size());
}

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
  const auto tensors = ParseSafetensors(File(header, 39));
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

TEST(Safetensors, SaysThatItIsNone) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("is no safetensors file"));
  EXPECT_THAT(ErrorOf("1234567"), HasSubstr("is no safetensors file"));
  EXPECT_THAT(ErrorOf(File("", 8)), HasSubstr("a header of 0 bytes"));
  EXPECT_THAT(ErrorOf(File("{}", 0, 3)), HasSubstr("a header of 3 bytes"));
  EXPECT_THAT(ErrorOf(File("{}", 0, UINT64_MAX)), HasSubstr("is no safetensors file"));
  EXPECT_THAT(ErrorOf(File("{", 8)), HasSubstr("no JSON object"));
  EXPECT_THAT(ErrorOf(File("[1]", 8)), HasSubstr("no JSON object"));
  EXPECT_THAT(ErrorOf(File(std::string(100'000, '['), 0)), HasSubstr("no JSON object"));
  EXPECT_THAT(ErrorOf(File("\xFF\xFE\x00", 8)), HasSubstr("no JSON object"));
}

TEST(Safetensors, NamesTheTensorThatIsWrong) {
  const auto error = [](std::string_view entry) {
    return ErrorOf(File(Cat(R"({"w":)", entry, "}"), 24));
  };
  ASSERT_EQ(error(R"({"dtype":"F32","shape":[2,3],"data_offsets":[0,24]})"), "");
  EXPECT_THAT(error("3"), HasSubstr("tensor \"w\": is described by no object"));
  EXPECT_THAT(error(R"({"dtype":"F8_E8M0","shape":[24],"data_offsets":[0,24]})"),
              HasSubstr("tensor \"w\": rlxd has no element type \"F8_E8M0\""));
  EXPECT_THAT(error(R"({"shape":[24],"data_offsets":[0,24]})"), HasSubstr("no element type"));
  EXPECT_THAT(error(R"({"dtype":"F32","data_offsets":[0,24]})"), HasSubstr("has no shape"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[6],"data_offsets":[0]})"),
              HasSubstr("has no shape"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[-6],"data_offsets":[0,24]})"),
              HasSubstr("has no shape"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[1.5],"data_offsets":[0,6]})"),
              HasSubstr("has no shape"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":["6"],"data_offsets":[0,24]})"),
              HasSubstr("has no shape"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[6],"data_offsets":[4,28]})"),
              HasSubstr("bytes 4 to 28 are not in the file's 24 bytes"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[6],"data_offsets":[24,0]})"),
              HasSubstr("are not in the file"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[5],"data_offsets":[0,24]})"),
              HasSubstr("do not hold shape [5]"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,24]})"),
              HasSubstr("do not hold shape"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[18446744073709551617],"data_offsets":[0,24]})"),
              HasSubstr("has no shape"));
}

TEST(Safetensors, SurvivesDamage) {
  const std::string whole = File(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
  ASSERT_EQ(ErrorOf(whole), "");
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(ErrorOf(std::string_view(whole).substr(0, size)), "") << size;
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const char byte : {'\0', '{', '9', '\xFF'}) {
      std::string damaged = whole;
      damaged[i] = byte;
      const auto tensors = ParseSafetensors(damaged);
      if (!tensors.ok()) continue;
      for (const auto& [name, slice] : *tensors)
        EXPECT_LE(slice.offset + slice.length, whole.size());
    }
  }
}

}  // namespace
}  // namespace rlx::ctl
